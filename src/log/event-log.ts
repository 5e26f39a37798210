import type { Observable } from "rxjs";
import type { EventColumns } from "./event-columns.ts";
import type { ExpectedRevision } from "./expected-revision.ts";

/** A value that survives `JSON.parse(JSON.stringify(value))` unchanged. Strings are any UTF-16, lone surrogates and NUL included. */
export type JsonValue = string | number | boolean | null | JsonValue[] | { [key: string]: JsonValue };
/** A JSON object. */
export type JsonObject = { [key: string]: JsonValue };

/** An event as handed to `append`. The log keeps it exactly; what it means is not the log's business. */
export interface NewEvent {
  /** A UUID in lower case, made by the caller, unique in the log. */
  readonly id: string;
  readonly type: string;
  readonly data: JsonValue;
  readonly metadata: JsonObject;
}

/** An event as stored. Consumers must not change it: engines may hand the same object to several readers. */
export interface RecordedEvent extends NewEvent {
  readonly stream: string;
  /** Index in its stream, from 0; never reused. */
  readonly revision: number;
  /** Place in the log's global order; rises, with holes. */
  readonly position: number;
  /** When the log took it, epoch ms by the log's clock. (The writer's own clock is in the metadata.) */
  readonly recordedAt: number;
}

/** `process`: survives kill -9 of the process. `power`: survives loss of power as well. */
export type Durability = "process" | "power";

/** What goes with an append. */
export interface AppendOptions {
  /** What must hold before the append resolves. Default: `process`. */
  durability?: Durability;
  /** No more small events follow soon in this stream: a hint for packing. */
  seal?: boolean;
}

/** A conflict is a result, not an exception: `actualRevision` is the stream's newest revision, -1 when it has none. */
export type AppendResult =
  | { readonly ok: true; readonly revision: number; readonly position: number }
  | { readonly ok: false; readonly actualRevision: number };

/** Which part of a stream to read. */
export interface ReadStreamOptions {
  /** First revision to return, inclusive. Default: the oldest (forwards) or the newest (backwards). */
  from?: number;
  /** Default: `forwards`. */
  direction?: "forwards" | "backwards";
  /** Default: no limit. */
  limit?: number;
}

/** Which part of the log to read. */
export interface ReadAllOptions {
  /** Return events above this position, exclusive. Default: from the start. */
  after?: number;
  limit?: number;
  /** Only events of streams whose name begins so. */
  streamPrefix?: string;
}

/** Which events to be told of, and from where. */
export interface SubscribeOptions {
  /** Deliver events above this position. Default: from the start. */
  after?: number;
  streamPrefix?: string;
  /**
   * A follower that is in no hurry: new events may wait so long, in ms, to be delivered together, where that spares
   * the engine work. Default 0: at once.
   */
  batchMs?: number;
  /** Also send `checkpoint` signals, where the engine has any. Default: false. */
  checkpoints?: boolean;
}

/**
 * `caught-up` is sent once per catch-up, at the start and again after a lost connection has been resumed:
 * all events up to `position` that match have been delivered. `checkpoint` says the same of a position on the way,
 * from an engine that looks through many events that do not match: whoever keeps it as `after` need not have them
 * looked through again. It is sent to those who ask for it, and an engine may never send one.
 */
export type LogSignal =
  | { readonly kind: "event"; readonly event: RecordedEvent }
  | { readonly kind: "caught-up"; readonly position: number }
  | { readonly kind: "checkpoint"; readonly position: number };

/** From where, and in how large pieces. */
export interface ReadRunsOptions {
  /** Events above this position. Default: from the start. */
  after?: number;
  /** About how many events a piece may hold; an engine gives fewer as it suits it. Default: no bound. */
  pieceEvents?: number;
}

/** Events as an engine has them at hand: each stream's in order, those of different streams in any. */
export interface EventRuns {
  /** Perhaps made on the way: not to be gone through twice. */
  readonly runs: Iterable<readonly RecordedEvent[]>;
  /** The same for who can use columns, from an engine that has them: instead of `runs`, not beside it. */
  readonly byColumn?: Iterable<readonly RecordedEvent[] | EventColumns>;
  /** All events up to this position have been given, in this piece or before it; some above it may have been, too. */
  readonly completeTo: number;
}

/** What one append may hold. */
export interface EventLogLimits {
  /** Largest batch: bytes of UTF-8 of the JSON of its events' data and metadata (see `appendBytes`). */
  readonly maxAppendBytes: number;
}

/**
 * The port: append-only streams of typed JSON events with revisions and one global order.
 * `turnlog/testing` holds the contract that every adapter must pass.
 */
export interface EventLog {
  /** Made with the log, kept for its life: tells whether a checkpoint belongs to this log. */
  readonly logId: string;
  readonly limits: EventLogLimits;

  /**
   * Appends all of `events` or none. Appends to one stream are applied in the order of the calls. An identical
   * retry (same ids, same explicit revision or "no-stream") returns the first result and writes nothing, also
   * after later events. Throws `empty-append`, `repeated-event-id`, `event-too-large`, `invalid-event`,
   * `invalid-stream-name` before anything is written; `store-closed`, and the engine's failures.
   */
  append(
    stream: string,
    events: readonly NewEvent[],
    expectedRevision: ExpectedRevision,
    options?: AppendOptions,
  ): Promise<AppendResult>;

  /**
   * As `append`, done before it returns, after everything appended before: for a process that is exiting.
   * Absent where an engine cannot do it.
   */
  appendSync?(stream: string, events: readonly NewEvent[], expectedRevision: ExpectedRevision): AppendResult;

  /**
   * One stream's events in order of revision. An unknown stream is empty. Sees every append acknowledged before the
   * call. Throws `invalid-stream-name`, and `invalid-read-options` for revisions and limits that are no whole numbers.
   */
  readStream(stream: string, options?: ReadStreamOptions): AsyncIterable<RecordedEvent>;

  /**
   * All events in order of position, bounded in memory. Sees every append acknowledged before the call. Throws
   * `invalid-read-options`.
   */
  readAll(options?: ReadAllOptions): AsyncIterable<RecordedEvent>;

  /**
   * As `readAll`, each event once, for readers that need the order of each stream only. Absent where an engine has
   * nothing faster for them than `readAll`; `readRuns` of event-runs.ts reads any log so. Throws
   * `invalid-read-options`.
   */
  readRuns?(options?: ReadRunsOptions): AsyncIterable<EventRuns>;

  /**
   * Catches up, says so, then stays live, across processes. Nothing ever appears later below a delivered
   * position. Unsubscribing releases everything. Errors with `invalid-read-options`, and when it cannot go on for good.
   */
  subscribe(options?: SubscribeOptions): Observable<LogSignal>;

  /**
   * Physically removes the stream's events below revision `before`, but never its newest event. Numbering
   * goes on. Unknown stream: nothing happens. Throws `invalid-stream-name`, `invalid-read-options`.
   */
  truncate(stream: string, before: number): Promise<void>;

  /**
   * Resolves when nothing of the events that were truncated before the call is left in any file of the log; may take
   * as long as copying it. Absent where there is no file, and where a server decides when it frees what it removed.
   * Throws `still-readable` where others kept it from finishing; then it is to be called again.
   */
  compact?(): Promise<void>;

  /** Position of the newest event ever appended, -1 for an empty log. */
  head(): Promise<number>;

  /** Waits for what has been appended, then releases everything. Any call after it throws `store-closed`; closing twice is harmless. */
  close(): Promise<void>;
}
