/**
 * The reference implementation of the port, and the log for tests and experiments. It exists so that the
 * contract has one implementation short enough to be checked by reading; it is as strict as the contract and
 * never laxer than an engine that keeps its events: it stores JSON text, so nothing is shared with callers,
 * and it reads in small asynchronous pages, so consumers meet other writers between two events.
 */
import { randomUUID } from "node:crypto";
import { setImmediate as nextTick } from "node:timers/promises";
import { Observable, Subject, takeUntil } from "./observable.ts";
import { StoreError } from "../errors.ts";
import { checkAppend } from "./append-checks.ts";
import { firstIndexAbove } from "./first-index-above.ts";
import type {
  AppendResult,
  EventLog,
  EventLogLimits,
  JsonObject,
  JsonValue,
  LogSignal,
  NewEvent,
  ReadAllOptions,
  ReadStreamOptions,
  RecordedEvent,
  SubscribeOptions,
} from "./event-log.ts";
import {
  type ExpectedRevision,
  NO_REVISION,
  matchesExpectedRevision,
  retryRevision,
} from "./expected-revision.ts";
import { checkReadAll, checkReadStream, checkSubscribe, checkTruncate } from "./read-checks.ts";

const LIMITS: EventLogLimits = { maxAppendBytes: 16 * 1024 * 1024 };
/** Small on purpose: readers that only work when everything comes in one page fail here first. */
const PAGE_EVENTS = 16;

interface StoredEvent extends Pick<
  RecordedEvent,
  "id" | "type" | "stream" | "revision" | "position" | "recordedAt"
> {
  /** `[data, metadata]` */
  readonly json: string;
}

interface StoredStream {
  headRevision: number;
  /** Without holes, the oldest first; shorter than the head says once the stream was truncated. */
  events: StoredEvent[];
}

/** What the handles on one log share. */
class MemoryLog {
  readonly logId: string = randomUUID();
  readonly appended = new Subject<void>();
  readonly #streams = new Map<string, StoredStream>();
  #events: StoredEvent[] = [];
  #head = -1;
  #lastRecordedAt = 0;

  get head(): number {
    return this.#head;
  }

  append(name: string, events: readonly NewEvent[], expected: ExpectedRevision): AppendResult {
    checkAppend(name, events, expected, LIMITS.maxAppendBytes);
    const stream = this.#streams.get(name) ?? { headRevision: NO_REVISION, events: [] };
    const earlier = findEarlierAttempt(stream, events, expected);
    if (earlier !== undefined) return { ok: true, revision: earlier.revision, position: earlier.position };
    if (!matchesExpectedRevision(expected, stream.headRevision)) {
      return { ok: false, actualRevision: stream.headRevision };
    }
    // All is serialised before the first event is kept, so that a failure leaves nothing behind.
    const texts = events.map((event) => JSON.stringify([event.data, event.metadata]));
    this.#lastRecordedAt = Math.max(this.#lastRecordedAt, Date.now());
    for (const [index, event] of events.entries()) {
      const stored: StoredEvent = {
        id: event.id,
        type: event.type,
        stream: name,
        revision: (stream.headRevision += 1),
        position: (this.#head += 1),
        recordedAt: this.#lastRecordedAt,
        json: texts[index] ?? "",
      };
      stream.events.push(stored);
      this.#events.push(stored);
    }
    this.#streams.set(name, stream);
    this.appended.next();
    return { ok: true, revision: stream.headRevision, position: this.#head };
  }

  pageOfStream(name: string, from: number | undefined, backwards: boolean): StoredEvent[] {
    const events = this.#streams.get(name)?.events ?? [];
    const oldest = events[0]?.revision ?? 0;
    if (backwards) {
      const end = from === undefined ? events.length : Math.min(from - oldest + 1, events.length);
      return end <= 0 ? [] : events.slice(Math.max(0, end - PAGE_EVENTS), end).toReversed();
    }
    const start = Math.max(0, (from ?? oldest) - oldest);
    return events.slice(start, start + PAGE_EVENTS);
  }

  pageOfAll(after: number): StoredEvent[] {
    const start = firstIndexAbove(this.#events, after, positionOf);
    return this.#events.slice(start, start + PAGE_EVENTS);
  }

  truncate(name: string, before: number): void {
    checkTruncate(name, before);
    const stream = this.#streams.get(name);
    if (stream === undefined) return;
    const keptFrom = Math.min(before, stream.headRevision);
    stream.events = stream.events.filter((event) => event.revision >= keptFrom);
    this.#events = this.#events.filter((event) => event.stream !== name || event.revision >= keptFrom);
  }
}

/** The last event of the identical batch, where it was appended before. */
function findEarlierAttempt(
  stream: StoredStream,
  events: readonly NewEvent[],
  expected: ExpectedRevision,
): StoredEvent | undefined {
  const revision = retryRevision(expected);
  const oldest = stream.events[0]?.revision;
  if (revision === undefined || oldest === undefined || revision < oldest) return undefined;
  const found = stream.events.slice(revision - oldest, revision - oldest + events.length);
  const identical =
    found.length === events.length && found.every((event, index) => event.id === events[index]?.id);
  return identical ? found.at(-1) : undefined;
}

const positionOf = ({ position }: StoredEvent): number => position;

function recorded({ json, ...event }: StoredEvent): RecordedEvent {
  const [data, metadata] = JSON.parse(json) as [JsonValue, JsonObject];
  return { ...event, data, metadata };
}

/** Named logs of this process, for as long as a handle on them is open. */
const namedLogs = new Map<string, { log: MemoryLog; handles: number }>();

export interface MemoryEventLogOptions {
  /** Handles with one name share one log until the last of them is closed; without a name the log is private. */
  name?: string;
  /** Refuses to write. Default: false. */
  readOnly?: boolean;
  /** Makes the log where no handle has it open. Default: true, unless `readOnly`. */
  create?: boolean;
}

/** One handle on a log in this process's memory. Nothing outlives the last handle. */
export class MemoryEventLog implements EventLog {
  readonly limits = LIMITS;
  readonly #log: MemoryLog;
  readonly #name: string | undefined;
  readonly #readOnly: boolean;
  readonly #closed = new Subject<void>();
  #isOpen = true;

  /** @throws {StoreError} `store-not-found` where the log does not exist and is not to be created. */
  constructor({ name, readOnly = false, create = !readOnly }: MemoryEventLogOptions = {}) {
    const known = name === undefined ? undefined : namedLogs.get(name);
    if (known === undefined && !create) {
      throw new StoreError(
        "store-not-found",
        `No log "memory:${name ?? ""}" is open in this process, and it was not to be created.`,
      );
    }
    this.#log = known?.log ?? new MemoryLog();
    this.#name = name;
    this.#readOnly = readOnly;
    if (name !== undefined) namedLogs.set(name, { log: this.#log, handles: (known?.handles ?? 0) + 1 });
  }

  get logId(): string {
    return this.#log.logId;
  }

  async append(
    stream: string,
    events: readonly NewEvent[],
    expectedRevision: ExpectedRevision,
  ): Promise<AppendResult> {
    const result = this.appendSync(stream, events, expectedRevision);
    // Engines answer later; a log that answered at once would hide what happens in between.
    await nextTick();
    return result;
  }

  appendSync(stream: string, events: readonly NewEvent[], expectedRevision: ExpectedRevision): AppendResult {
    this.#checkWritable();
    return this.#log.append(stream, events, expectedRevision);
  }

  async *readStream(
    stream: string,
    options: ReadStreamOptions = {},
  ): AsyncGenerator<RecordedEvent, void, undefined> {
    this.#checkOpen();
    checkReadStream(stream, options);
    const { from, direction = "forwards", limit = Infinity } = options;
    const backwards = direction === "backwards";
    let next = from;
    let left = limit;
    while (left > 0) {
      const page = await this.#page(() => this.#log.pageOfStream(stream, next, backwards));
      if (page.length === 0) return;
      for (const event of page.slice(0, left)) {
        yield recorded(event);
        next = event.revision + (backwards ? -1 : 1);
      }
      left -= page.length;
    }
  }

  async *readAll(options: ReadAllOptions = {}): AsyncGenerator<RecordedEvent, void, undefined> {
    this.#checkOpen();
    checkReadAll(options);
    const { after = -1, limit = Infinity, streamPrefix = "" } = options;
    let cursor = after;
    let left = limit;
    while (left > 0) {
      const page = await this.#page(() => this.#log.pageOfAll(cursor));
      if (page.length === 0) return;
      for (const event of page) {
        cursor = event.position;
        if (!event.stream.startsWith(streamPrefix)) continue;
        if (left <= 0) return;
        yield recorded(event);
        left -= 1;
      }
    }
  }

  subscribe(options: SubscribeOptions = {}): Observable<LogSignal> {
    const { after = -1, streamPrefix = "" } = options;
    const signals = new Observable<LogSignal>((subscriber) => {
      this.#checkOpen();
      checkSubscribe(options);
      let cursor = after;
      let isCaughtUp = false;
      let scheduled: NodeJS.Immediate | undefined;
      const deliverPage = (): void => {
        scheduled = undefined;
        const page = this.#log.pageOfAll(cursor);
        for (const event of page) {
          cursor = event.position;
          if (event.stream.startsWith(streamPrefix))
            subscriber.next({ kind: "event", event: recorded(event) });
          if (subscriber.closed) return;
        }
        if (page.length > 0) return schedule();
        if (isCaughtUp) return;
        isCaughtUp = true;
        subscriber.next({ kind: "caught-up", position: cursor });
      };
      const schedule = (): void => {
        scheduled ??= setImmediate(deliverPage);
      };
      const wakeUps = this.#log.appended.subscribe(schedule);
      schedule();
      return () => {
        wakeUps.unsubscribe();
        clearImmediate(scheduled);
      };
    });
    return signals.pipe(takeUntil(this.#closed));
  }

  async truncate(stream: string, before: number): Promise<void> {
    this.#checkWritable();
    this.#log.truncate(stream, before);
  }

  async head(): Promise<number> {
    this.#checkOpen();
    return this.#log.head;
  }

  /** Completes this handle's subscriptions; the log is gone with its last handle. */
  async close(): Promise<void> {
    if (!this.#isOpen) return;
    this.#isOpen = false;
    this.#closed.next();
    const known = this.#name === undefined ? undefined : namedLogs.get(this.#name);
    if (known === undefined) return;
    known.handles -= 1;
    if (known.handles === 0 && this.#name !== undefined) namedLogs.delete(this.#name);
  }

  async #page(read: () => StoredEvent[]): Promise<StoredEvent[]> {
    await nextTick();
    this.#checkOpen();
    return read();
  }

  #checkOpen(): void {
    if (!this.#isOpen) throw new StoreError("store-closed", "This log was closed; open it again to go on.");
  }

  #checkWritable(): void {
    this.#checkOpen();
    if (this.#readOnly) {
      throw new StoreError("read-only", "This log was opened read-only; open it without readOnly to write.");
    }
  }
}
