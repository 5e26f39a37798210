import { setImmediate as nextTick } from "node:timers/promises";
import type { Observable } from "rxjs";
import { InvalidInputError, StoreError } from "../errors.ts";
import type {
  AppendOptions,
  AppendResult,
  EventLog,
  EventLogLimits,
  LogSignal,
  NewEvent,
  ReadAllOptions,
  ReadStreamOptions,
  RecordedEvent,
  SubscribeOptions,
} from "../log/event-log.ts";
import type { ExpectedRevision } from "../log/expected-revision.ts";

/** What goes wrong with one call. */
export type Fault =
  /** The append fails and nothing is written. */
  | { readonly kind: "append-fails"; readonly error?: Error }
  /** The append is committed, but its caller gets an error instead of the answer: the outcome that a retry must find. */
  | { readonly kind: "answer-lost"; readonly error?: Error }
  /** Another writer's events land in the stream just before, so that an explicit revision conflicts. */
  | { readonly kind: "foreign-events"; readonly events: readonly NewEvent[] }
  /** The append, and all later ones, wait until this resolves, then go on in the order of the calls. */
  | { readonly kind: "append-waits"; readonly until: Promise<unknown> }
  /** The read fails after so many events. */
  | { readonly kind: "read-fails"; readonly afterEvents: number; readonly error?: Error };

/** The calls that a fault is meant for. */
export interface FaultTarget {
  /** Only calls on streams whose name begins so; `readAll` counts by its own prefix. Default: all. */
  readonly streamPrefix?: string;
  /** Lets so many matching calls pass first. Default: 0. */
  readonly skip?: number;
  /** Hits so many calls in a row; `Infinity` for all from there on. Default: 1. */
  readonly times?: number;
}

/** A fault that happened, for a test to be sure that it did. */
export interface InjectedFault {
  readonly kind: Fault["kind"];
  readonly call: "append" | "appendSync" | "readStream" | "readAll";
  readonly stream: string;
}

interface PlannedFault {
  readonly fault: Fault;
  readonly streamPrefix: string;
  skip: number;
  times: number;
}

interface HeldAppend {
  readonly stream: string;
  apply(): void;
  applySync(): void;
}

/**
 * Wraps a log and makes calls fail as planned with `inject`. A call without a planned fault goes straight
 * through, so that a FaultyEventLog without faults passes the contract of the log that it wraps. Closing it
 * closes that log.
 */
export class FaultyEventLog implements EventLog {
  /** The faults that happened, in order. */
  readonly injected: InjectedFault[] = [];
  /** Absent where the wrapped log has none. Appends that wait are applied first. */
  readonly appendSync?: NonNullable<EventLog["appendSync"]>;
  readonly #log: EventLog;
  readonly #planned: PlannedFault[] = [];
  /** Appends that wait, and those that came after them. */
  #held: HeldAppend[] = [];
  readonly #barriers = new Set<Promise<unknown>>();

  constructor(log: EventLog) {
    this.#log = log;
    if (log.appendSync !== undefined) {
      this.appendSync = (stream, events, expected) => this.#appendSync(stream, events, expected);
    }
  }

  get logId(): string {
    return this.#log.logId;
  }

  get limits(): EventLogLimits {
    return this.#log.limits;
  }

  /** Faults that are planned and have not hit any call yet. */
  get pending(): readonly Fault[] {
    return this.#planned.map(({ fault }) => fault);
  }

  /**
   * Plans a fault. A call meets the first planned fault that is meant for it.
   *
   * @throws {InvalidInputError} `invalid-fault` for counts that are no integers from 0 (`times`: from 1, or Infinity).
   */
  inject(fault: Fault, { streamPrefix = "", skip = 0, times = 1 }: FaultTarget = {}): void {
    const counts = [
      skip,
      times === Infinity ? 1 : times,
      fault.kind === "read-fails" ? fault.afterEvents : 0,
    ];
    if (counts.some((count) => !Number.isSafeInteger(count) || count < 0) || times < 1) {
      throw new InvalidInputError(
        "invalid-fault",
        `A fault skips 0 or more calls, hits 1 or more and lets 0 or more events pass, not skip ${skip}, times ${times}${fault.kind === "read-fails" ? `, afterEvents ${fault.afterEvents}` : ""}.`,
      );
    }
    this.#planned.push({ fault, streamPrefix, skip, times });
  }

  /** Forgets what is planned. Appends that wait go on waiting. */
  clear(): void {
    this.#planned.length = 0;
  }

  async append(
    stream: string,
    events: readonly NewEvent[],
    expectedRevision: ExpectedRevision,
    options?: AppendOptions,
  ): Promise<AppendResult> {
    const fault = this.#take("append", stream);
    const apply = (): Promise<AppendResult> => this.#apply(fault, stream, events, expectedRevision, options);
    if (fault?.kind === "append-waits") this.#holdUntil(fault.until);
    if (this.#barriers.size === 0) return apply();
    return new Promise((resolve, reject) => {
      const applySync = (): void => {
        try {
          resolve(this.#applySync(fault, stream, events, expectedRevision));
        } catch (error) {
          reject(error);
        }
      };
      this.#held.push({ stream, apply: () => void apply().then(resolve, reject), applySync });
    });
  }

  readStream(stream: string, options?: ReadStreamOptions): AsyncIterable<RecordedEvent> {
    return failing(this.#log.readStream(stream, options), this.#take("readStream", stream));
  }

  readAll(options?: ReadAllOptions): AsyncIterable<RecordedEvent> {
    return failing(this.#log.readAll(options), this.#take("readAll", options?.streamPrefix ?? ""));
  }

  subscribe(options?: SubscribeOptions): Observable<LogSignal> {
    return this.#log.subscribe(options);
  }

  truncate(stream: string, before: number): Promise<void> {
    return this.#log.truncate(stream, before);
  }

  head(): Promise<number> {
    return this.#log.head();
  }

  /** Appends that wait are applied first, whatever they wait for. */
  async close(): Promise<void> {
    this.#release();
    await this.#log.close();
  }

  #take(call: InjectedFault["call"], stream: string): Fault | undefined {
    const isRead = call === "readStream" || call === "readAll";
    for (const [index, planned] of this.#planned.entries()) {
      const isMeant =
        (planned.fault.kind === "read-fails") === isRead && stream.startsWith(planned.streamPrefix);
      if (!isMeant || (call === "appendSync" && planned.fault.kind === "append-waits")) continue;
      if (planned.skip > 0) {
        planned.skip -= 1;
        continue;
      }
      planned.times -= 1;
      if (planned.times === 0) this.#planned.splice(index, 1);
      this.injected.push({ kind: planned.fault.kind, call, stream });
      return planned.fault;
    }
    return undefined;
  }

  async #apply(
    fault: Fault | undefined,
    stream: string,
    events: readonly NewEvent[],
    expected: ExpectedRevision,
    options: AppendOptions | undefined,
  ): Promise<AppendResult> {
    if (fault?.kind === "append-fails") throw fault.error ?? appendFailed(stream);
    // Not awaited before the append itself: calls are applied in their order, and nothing may come between.
    const foreign =
      fault?.kind === "foreign-events" ? this.#log.append(stream, fault.events, "any") : undefined;
    const [result] = await Promise.all([this.#log.append(stream, events, expected, options), foreign]);
    if (fault?.kind === "answer-lost") throw fault.error ?? answerLost(stream);
    return result;
  }

  #applySync(
    fault: Fault | undefined,
    stream: string,
    events: readonly NewEvent[],
    expected: ExpectedRevision,
  ): AppendResult {
    if (this.#log.appendSync === undefined) throw new TypeError("The wrapped log lost its appendSync.");
    if (fault?.kind === "append-fails") throw fault.error ?? appendFailed(stream);
    if (fault?.kind === "foreign-events") this.#log.appendSync(stream, fault.events, "any");
    const result = this.#log.appendSync(stream, events, expected);
    if (fault?.kind === "answer-lost") throw fault.error ?? answerLost(stream);
    return result;
  }

  #appendSync(stream: string, events: readonly NewEvent[], expected: ExpectedRevision): AppendResult {
    const held = this.#held;
    this.#held = [];
    this.#barriers.clear();
    for (const append of held) append.applySync();
    return this.#applySync(this.#take("appendSync", stream), stream, events, expected);
  }

  #holdUntil(until: Promise<unknown>): void {
    this.#barriers.add(until);
    const lift = (): void => {
      if (this.#barriers.delete(until) && this.#barriers.size === 0) this.#release();
    };
    // A rejected barrier is lifted too: what a test waits for is its own affair.
    void until.then(lift, lift);
  }

  #release(): void {
    const held = this.#held;
    this.#held = [];
    this.#barriers.clear();
    for (const append of held) append.apply();
  }
}

async function* failing(
  events: AsyncIterable<RecordedEvent>,
  fault: Fault | undefined,
): AsyncGenerator<RecordedEvent, void, undefined> {
  if (fault?.kind !== "read-fails") {
    yield* events;
    return;
  }
  let left = fault.afterEvents;
  for await (const event of events) {
    if (left === 0) break;
    left -= 1;
    yield event;
  }
  await nextTick();
  throw fault.error ?? readFailed(fault.afterEvents);
}

function appendFailed(stream: string): StoreError {
  return new StoreError(
    "injected-fault",
    `Injected fault: the append to "${stream}" failed; nothing was written.`,
  );
}

function answerLost(stream: string): StoreError {
  return new StoreError(
    "injected-fault",
    `Injected fault: the append to "${stream}" was made, but its answer was lost.`,
  );
}

function readFailed(afterEvents: number): StoreError {
  return new StoreError("injected-fault", `Injected fault: the read failed after ${afterEvents} events.`);
}
