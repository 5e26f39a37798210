import assert from "node:assert/strict";
import { randomUUID } from "node:crypto";
import {
  type EventStoreDbEventLogOptions,
  openEventStoreDbEventLog,
} from "../../../src/log/eventstoredb/eventstoredb-event-log.ts";
import type {
  AppendResult,
  EventLog,
  LogSignal,
  NewEvent,
  RecordedEvent,
} from "../../../src/log/event-log.ts";
import type { ExpectedRevision } from "../../../src/log/expected-revision.ts";
import { checkLogIntegrity, gather } from "../../../src/testing/check-log-integrity.ts";
import { ownLog } from "../../support/real-server.ts";

/** Impatient, so that a hang costs a test little; a test that must not fail gives up late. */
export const IMPATIENT: EventStoreDbEventLogOptions = { attemptTimeoutMs: 250, deadlineMs: 30_000 };

/** Uses a log, then demands that the process was not hurt: no unhandled rejection, no uncaught exception. */
export async function withLog(
  url: string,
  options: EventStoreDbEventLogOptions,
  use: (log: EventLog, url: string) => Promise<void>,
): Promise<void> {
  const own = ownLog(url);
  const log = await openEventStoreDbEventLog(own, options);
  try {
    await use(log, own);
  } finally {
    await log.close();
  }
}

export function event(label: unknown = ""): NewEvent {
  return { id: randomUUID(), type: "Sampled", data: { label: String(label) }, metadata: {} };
}

/** Appends that were acknowledged and that were not, for the check that nothing is lost, doubled or out of order. */
export class Writer {
  readonly acknowledged: { stream: string; ids: string[]; result: Extract<AppendResult, { ok: true }> }[] =
    [];
  readonly failures: unknown[] = [];
  readonly #log: EventLog;
  readonly #inOrder = new Map<string, string[]>();

  constructor(log: EventLog) {
    this.#log = log;
  }

  /** Resolves when the append was answered, either way. */
  async append(stream: string, expected: ExpectedRevision = "any", size = 1): Promise<void> {
    const events = Array.from({ length: size }, () => event(stream));
    const ids = events.map(({ id }) => id);
    this.#inOrder.set(stream, [...(this.#inOrder.get(stream) ?? []), ...ids]);
    try {
      const result = await this.#log.append(stream, events, expected);
      assert(result.ok, `a conflict on stream "${stream}", where nobody else writes`);
      this.acknowledged.push({ stream, ids, result });
    } catch (failure) {
      this.failures.push(failure);
    }
  }

  /** Every acknowledged event is there once, where its answer said, and each stream is in the order of the calls. */
  async check(log: EventLog): Promise<void> {
    await checkLogIntegrity(log);
    const all = await gather(log.readAll());
    const placeOf = new Map(all.map((each) => [each.id, each]));
    assert.equal(placeOf.size, all.length, "an event is there twice");
    for (const { stream, ids, result } of this.acknowledged) {
      const last = placeOf.get(ids.at(-1) ?? "");
      assert(
        last !== undefined && ids.every((id) => placeOf.has(id)),
        `an acknowledged event of "${stream}" is lost`,
      );
      assert.deepEqual(
        [last.stream, last.revision, last.position],
        [stream, result.revision, result.position],
      );
    }
    for (const [stream, ids] of this.#inOrder) {
      const stored = all.filter((each) => each.stream === stream).map(({ id }) => id);
      const left = new Set(stored);
      assert.deepEqual(
        stored,
        ids.filter((id) => left.has(id)),
        `stream "${stream}" is out of order`,
      );
    }
  }
}

/** Collects what a subscription tells, and waits for it. */
export class Follower {
  readonly events: RecordedEvent[] = [];
  readonly checkpoints: number[] = [];
  caughtUp = 0;
  error: unknown;
  readonly #waiting = new Set<() => void>();
  readonly #subscription;

  constructor(log: EventLog, options: Parameters<EventLog["subscribe"]>[0] = {}) {
    this.#subscription = log.subscribe(options).subscribe({
      next: (signal: LogSignal) => {
        if (signal.kind === "event") this.events.push(signal.event);
        else if (signal.kind === "checkpoint") this.checkpoints.push(signal.position);
        else this.caughtUp += 1;
        this.#check();
      },
      error: (error: unknown) => {
        this.error = error;
        this.#check();
      },
    });
  }

  /** The test's own time limit ends it where it never comes. */
  until(isMet: () => boolean): Promise<void> {
    return new Promise((resolve, reject) => {
      const check = (): void => {
        if (!isMet() && this.error === undefined) return;
        this.#waiting.delete(check);
        if (isMet()) resolve();
        else reject(this.error);
      };
      this.#waiting.add(check);
      check();
    });
  }

  untilEvent(id: string): Promise<void> {
    return this.until(() => this.events.some((each) => each.id === id));
  }

  /** What was delivered is the log, without a gap and without a double. */
  async check(log: EventLog): Promise<void> {
    const all = await gather(log.readAll());
    assert.deepEqual(
      this.events.map(({ position, id }) => [position, id]),
      all.slice(0, this.events.length).map(({ position, id }) => [position, id]),
    );
  }

  stop(): void {
    this.#subscription.unsubscribe();
  }

  #check(): void {
    for (const check of this.#waiting) check();
  }
}
