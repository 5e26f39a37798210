import { StoreError } from "../../errors.ts";
import type { AppendResult } from "../event-log.ts";
import { eventLoopRounds } from "../event-loop-rounds.ts";
import { AppendCommit, type AppendOutcome, type AppendRequest } from "./append-commit.ts";
import { pauseMs, retryWhileBusySync } from "./busy-retry.ts";
import type { CommittedState } from "./committed-state.ts";
import { isBusy, toStoreError } from "./engine.ts";
import type { Packer } from "./packing.ts";

// A commit stops the event loop, for some ms: what is more goes into the next one. A single append may be larger.
const MOST_EVENTS_IN_COMMIT = 64;
const MOST_BYTES_IN_COMMIT = 1_048_576;

interface QueuedAppend {
  readonly kind: "append";
  readonly request: AppendRequest;
  readonly settle: (outcome: AppendOutcome) => void;
  /** By the clock that is never set: when it is refused as `log-busy`, ms. */
  readonly deadline: number;
}

/** Any other change, in a transaction of its own, in the order of the calls. */
interface QueuedChange {
  readonly kind: "change";
  readonly run: () => void;
  readonly settle: (error: unknown) => void;
  readonly deadline: number;
}

type QueuedWrite = QueuedAppend | QueuedChange;

/** Called after each commit, with roughly how many bytes of events it wrote. Must not throw. */
export type CommitListener = (bytes: number) => void;

/**
 * Everything that is to be written, in the order of the calls. All appends of one tick share one commit; while
 * another process holds the lock the queue grows and the event loop goes on.
 */
export class WriteQueue {
  readonly #state: CommittedState;
  readonly #packer: Packer;
  readonly #onCommit: CommitListener;
  #queue: QueuedWrite[] = [];
  #isScheduled = false;
  #isPaused = false;
  #retryTimer: NodeJS.Timeout | undefined;
  #attempts = 0;
  #whenIdle: (() => void)[] = [];

  constructor(state: CommittedState, packer: Packer, onCommit: CommitListener) {
    this.#state = state;
    this.#packer = packer;
    this.#onCommit = onCommit;
  }

  /** Resolves when committed. Refused as `log-busy` where another process holds the lock for `timeoutMs`. */
  append(request: AppendRequest, timeoutMs: number): Promise<AppendResult> {
    return new Promise((resolve, reject) => {
      const settle = (outcome: AppendOutcome): void => {
        if (outcome.result !== undefined) resolve(outcome.result);
        else reject(outcome.error);
      };
      this.#push({ kind: "append", request, settle, deadline: performance.now() + timeoutMs });
    });
  }

  /** Runs a change inside a write transaction, after everything queued before it. */
  change(run: () => void, timeoutMs: number): Promise<void> {
    return new Promise((resolve, reject) => {
      const settle = (error: unknown): void => (error === undefined ? resolve() : reject(error));
      this.#push({ kind: "change", run, settle, deadline: performance.now() + timeoutMs });
    });
  }

  /** As `append`, done when it returns, after everything queued before. */
  appendSync(request: AppendRequest, timeoutMs: number): AppendResult {
    let outcome: AppendOutcome | undefined;
    const settle = (given: AppendOutcome): void => {
      outcome = given;
    };
    this.#queue.push({ kind: "append", request, settle, deadline: performance.now() + timeoutMs });
    this.drainSync(timeoutMs);
    if (outcome === undefined)
      throw new StoreError("storage-failed", "An append was neither written nor refused.");
    if (outcome.result === undefined) throw outcome.error;
    return outcome.result;
  }

  /** Writes all that is queued before it returns, stopping the event loop while another process holds the lock. */
  drainSync(timeoutMs: number): void {
    while (this.#queue.length > 0) {
      const batch = this.#takeBatch();
      try {
        const settle = retryWhileBusySync(this.#state.path, timeoutMs, () => this.#commit(batch));
        settle();
      } catch (error) {
        refuse(batch, error);
      }
    }
    this.#settleIdle();
  }

  /** What is called for from here on is queued, until `resume`; only who stops the event loop anyway (`drainSync`) does not wait. */
  pause(): void {
    this.#isPaused = true;
  }

  resume(): void {
    this.#isPaused = false;
    if (this.#queue.length > 0 && this.#retryTimer === undefined) this.#schedule();
  }

  /** Resolves when nothing is queued. */
  async drained(): Promise<void> {
    if (this.#queue.length === 0) return;
    await new Promise<void>((resolve) => void this.#whenIdle.push(resolve));
  }

  #push(write: QueuedWrite): void {
    this.#queue.push(write);
    // While waiting for a lock the timer will take it along.
    if (this.#retryTimer === undefined) this.#schedule();
  }

  #schedule(): void {
    if (this.#isScheduled) return;
    this.#isScheduled = true;
    eventLoopRounds.schedule(() => {
      this.#isScheduled = false;
      this.#flush();
    });
  }

  #flush(): void {
    if (this.#queue.length === 0) return this.#settleIdle();
    if (this.#isPaused) return;
    const batch = this.#takeBatch();
    try {
      const settle = this.#commit(batch);
      this.#attempts = 0;
      settle();
    } catch (error) {
      if (isBusy(error)) return this.#waitForLock(batch, error);
      this.#attempts = 0;
      refuse(batch, toStoreError(error, this.#state.path));
    }
    if (this.#queue.length > 0) this.#schedule();
    else this.#settleIdle();
  }

  /** The first writes in the queue that can share a transaction. */
  #takeBatch(): QueuedWrite[] {
    let events = 0;
    let bytes = 0;
    let count = 0;
    for (const write of this.#queue) {
      if (write.kind === "change") {
        if (count === 0) count = 1;
        break;
      }
      for (const event of write.request.events) bytes += event.size;
      events += write.request.events.length;
      if (count > 0 && (events > MOST_EVENTS_IN_COMMIT || bytes > MOST_BYTES_IN_COMMIT)) break;
      count += 1;
    }
    return this.#queue.splice(0, count);
  }

  /** Commits a batch. Returns what tells the callers: only to be called once the commit has succeeded. */
  #commit(batch: readonly QueuedWrite[]): () => void {
    const { tables } = this.#state;
    /** Of each write; undefined for a change. */
    const outcomes: (AppendOutcome | undefined)[] = [];
    let hasBegun = false;
    let bytes = 0;
    try {
      tables.database.write(() => {
        hasBegun = true;
        this.#state.sync();
        const commit = new AppendCommit(this.#state, this.#packer);
        for (const write of batch) {
          if (write.kind === "append") outcomes.push(commit.add(write.request));
          else outcomes.push(void write.run());
        }
        bytes = commit.write();
      });
    } catch (error) {
      if (hasBegun) this.#state.invalidate();
      throw error;
    }
    return () => {
      for (const [index, write] of batch.entries()) {
        const outcome = outcomes[index];
        if (write.kind === "change") write.settle(undefined);
        else if (outcome !== undefined) write.settle(outcome);
      }
      this.#onCommit(bytes);
    };
  }

  #waitForLock(batch: readonly QueuedWrite[], error: unknown): void {
    const now = performance.now();
    const refused = batch.filter((write) => write.deadline <= now);
    this.#queue.unshift(...batch.filter((write) => write.deadline > now));
    refuse(refused, toStoreError(error, this.#state.path));
    if (this.#queue.length === 0) return this.#settleIdle();
    this.#retryTimer = setTimeout(() => {
      this.#retryTimer = undefined;
      this.#flush();
    }, pauseMs(this.#attempts));
    this.#attempts += 1;
  }

  #settleIdle(): void {
    const waiting = this.#whenIdle;
    this.#whenIdle = [];
    for (const resolve of waiting) resolve();
  }
}

function refuse(batch: readonly QueuedWrite[], error: unknown): void {
  for (const write of batch) {
    if (write.kind === "append") write.settle({ result: undefined, error });
    else write.settle(error);
  }
}
