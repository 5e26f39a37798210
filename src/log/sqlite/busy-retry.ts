import { setTimeout as sleep } from "node:timers/promises";
import { isBusy, toStoreError } from "./engine.ts";

const LONGEST_PAUSE_MS = 50;

/** Pauses between attempts at a lock: short at first, so that a short commit of another process costs little. */
export function pauseMs(attempt: number): number {
  return Math.min(2 ** attempt, LONGEST_PAUSE_MS);
}

/**
 * Runs `work` again, pausing without stopping the event loop, while another process holds the lock it needs.
 * @throws {StoreError} `log-busy` after `timeoutMs`; the engine's other failures as ours.
 */
export async function retryWhileBusy<Result>(
  path: string,
  timeoutMs: number,
  work: () => Result,
): Promise<Result> {
  const deadline = performance.now() + timeoutMs;
  for (let attempt = 0; ; attempt++) {
    try {
      return work();
    } catch (error) {
      if (!isBusy(error) || performance.now() >= deadline) throw toStoreError(error, path);
    }
    await sleep(pauseMs(attempt));
  }
}

const NEVER_NOTIFIED = new Int32Array(new SharedArrayBuffer(4));

/** As `retryWhileBusy`, stopping the event loop: for a process that is exiting. */
export function retryWhileBusySync<Result>(path: string, timeoutMs: number, work: () => Result): Result {
  const deadline = performance.now() + timeoutMs;
  for (let attempt = 0; ; attempt++) {
    try {
      return work();
    } catch (error) {
      if (!isBusy(error) || performance.now() >= deadline) throw toStoreError(error, path);
    }
    Atomics.wait(NEVER_NOTIFIED, 0, 0, pauseMs(attempt));
  }
}
