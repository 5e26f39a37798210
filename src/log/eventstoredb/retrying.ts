import type { Lifetime } from "./lifetime.ts";
import { type CallSubject, failureKind, permanentFailure, unavailable } from "./server-failure.ts";

const FIRST_PAUSE_MS = 25;
const LONGEST_PAUSE_MS = 1_000;
/** A starting cluster knows no users for a moment. */
const UNAUTHENTICATED_MS = 3_000;

/** How long to wait before attempt number `failures`: doubled each time, with full jitter, so that writers do not return in step. */
export function backoffMs(failures: number): number {
  return Math.random() * Math.min(LONGEST_PAUSE_MS, FIRST_PAUSE_MS * 2 ** failures);
}

/** True where trying again may help. */
export function isPassing(failure: unknown, sinceMs: number): boolean {
  const kind = failureKind(failure);
  return (
    kind === "transient" ||
    kind === "not-leader" ||
    (kind === "unauthenticated" && sinceMs < UNAUTHENTICATED_MS)
  );
}

/**
 * Tries until it works, with pauses, as long as trying again may help and the deadline has not passed.
 *
 * @param isUnknown that a failed attempt may have had an effect, for the message
 * @throws {StoreError} `server-unavailable`, or what the failure means
 */
export async function retrying<T>(
  attempt: (failures: number) => Promise<T>,
  {
    deadlineMs,
    lifetime,
    subject,
    isUnknown = false,
  }: {
    deadlineMs: number;
    lifetime: Lifetime;
    subject: CallSubject;
    isUnknown?: boolean;
  },
): Promise<T> {
  const start = performance.now();
  for (let failures = 0; ; failures += 1) {
    try {
      return await attempt(failures);
    } catch (failure) {
      const waitedMs = performance.now() - start;
      if (!isPassing(failure, waitedMs)) throw permanentFailure(failure, subject);
      if (waitedMs >= deadlineMs) {
        if (failureKind(failure) === "unauthenticated") throw permanentFailure(failure, subject);
        throw unavailable(failure, subject, waitedMs, isUnknown);
      }
      await lifetime.pause(Math.min(backoffMs(failures), Math.max(1, deadlineMs - waitedMs)));
    }
  }
}
