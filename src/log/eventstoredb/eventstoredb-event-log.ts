import { randomUUID } from "node:crypto";
import { Observable } from "../observable.ts";
import { StoreError } from "../../errors.ts";
import { checkAppend } from "../append-checks.ts";
import type {
  AppendResult,
  EventLog,
  EventLogLimits,
  LogSignal,
  NewEvent,
  ReadAllOptions,
  ReadStreamOptions,
  RecordedEvent,
  SubscribeOptions,
} from "../event-log.ts";
import { type ExpectedRevision, NO_REVISION } from "../expected-revision.ts";
import { pagedIterable } from "../paged-iterable.ts";
import { checkReadAll, checkReadStream, checkSubscribe, checkTruncate } from "../read-checks.ts";
import { pagesOfAll, positionOfNewest } from "./all-pages.ts";
import { type ConnectionSettings, parseConnectionSettings } from "./connection-settings.ts";
import { ControlStream } from "./control-stream.ts";
import { Lifetime } from "./lifetime.ts";
import { LogStreams } from "./log-streams.ts";
import { streamRequest } from "./read-request.ts";
import { ServerReader } from "./server-reader.ts";
import { type SharedConnection, acquireConnection, releaseConnection } from "./shared-connections.ts";
import type { Patience } from "./stream-appender.ts";
import { truncateOnServer } from "./stream-metadata.ts";
import { pagesOfStream } from "./stream-pages.ts";
import { subscription } from "./subscription.ts";
import { encodeBatch, positionOf } from "./wire-event.ts";

const DEFAULT_ATTEMPT_MS = 5_000;
/** Longer than a cluster takes to elect a leader, and than a node's restart. */
const DEFAULT_DEADLINE_MS = 60_000;
const DEFAULT_OPEN_DEADLINE_MS = 10_000;

export interface EventStoreDbEventLogOptions {
  /** Never writes, and never makes a log. Default: false. */
  readOnly?: boolean;
  /** Makes the log where there is none. Default: true, unless `readOnly`. */
  create?: boolean;
  /** How long one attempt of a call waits for any sign of the server, ms. Default: 5,000. */
  attemptTimeoutMs?: number;
  /** How long a call is tried again before it fails as `server-unavailable`, ms. Default: 60,000. */
  deadlineMs?: number;
  /** The same for opening, ms. Default: 10,000. */
  openDeadlineMs?: number;
  /** For this library's own tests. Not part of the API. */
  internals?: {
    /** Shares nothing in this process, as if another process opened the log. */
    ownConnection?: boolean;
  };
}

/**
 * Opens a log on an EventStoreDB or KurrentDB server or cluster. Logs of one process on one server share one
 * connection.
 * @param url as `esdb://user:password@host:2113?tls=true&log=NAME`, see `parseConnectionSettings`
 * @throws {InvalidInputError} `invalid-connection-string`
 * @throws {StoreError} `server-unavailable`, `access-denied`, `tls-failed`, `store-not-found`, `newer-format`
 */
export async function openEventStoreDbEventLog(
  url: string,
  options: EventStoreDbEventLogOptions = {},
): Promise<EventLog> {
  const { readOnly = false, create = !readOnly } = options;
  const settings = parseConnectionSettings(url);
  const attemptMs = options.attemptTimeoutMs ?? DEFAULT_ATTEMPT_MS;
  const patience = { attemptMs, deadlineMs: options.deadlineMs ?? DEFAULT_DEADLINE_MS };
  const opening = { attemptMs, deadlineMs: options.openDeadlineMs ?? DEFAULT_OPEN_DEADLINE_MS };
  const own = options.internals?.ownConnection === true ? `${randomUUID()} ` : "";
  const key = own + settings.connectionString;
  const shared = acquireConnection(key, settings);
  try {
    const log = new EventStoreDbEventLog(key, shared, settings, patience, readOnly);
    await log.open(opening, create && !readOnly);
    return log;
  } catch (failure) {
    await releaseConnection(key);
    throw failure;
  }
}

/** One handle on a log at a server. */
class EventStoreDbEventLog implements EventLog {
  readonly limits: EventLogLimits;
  readonly #key: string;
  readonly #shared: SharedConnection;
  readonly #streams: LogStreams;
  readonly #patience: Patience;
  readonly #readOnly: boolean;
  /** Of reads and subscriptions: ends at once when the log is closed. */
  readonly #reading = new Lifetime();
  /** Of appends: they are waited for. */
  readonly #writing = new Lifetime();
  readonly #reader: ServerReader;
  #control: ControlStream;
  /** Calls that write and have not been answered. */
  readonly #unanswered = new Set<Promise<unknown>>();
  #closing: Promise<void> | undefined;

  constructor(
    key: string,
    shared: SharedConnection,
    { logName, maxAppendBytes }: ConnectionSettings,
    patience: Patience,
    readOnly: boolean,
  ) {
    this.limits = { maxAppendBytes };
    this.#key = key;
    this.#shared = shared;
    this.#streams = new LogStreams(logName);
    this.#patience = patience;
    this.#readOnly = readOnly;
    this.#reader = new ServerReader(shared.connection, patience, this.#reading);
    this.#control = this.#controlStream(patience);
  }

  async open(opening: Patience, create: boolean): Promise<void> {
    await this.#controlStream(opening).open(this.#shared.connection.serverName, create);
    await this.#control.open(this.#shared.connection.serverName, false);
  }

  get logId(): string {
    return this.#control.logId;
  }

  async append(
    stream: string,
    events: readonly NewEvent[],
    expectedRevision: ExpectedRevision,
  ): Promise<AppendResult> {
    this.#checkWritable();
    checkAppend(stream, events, expectedRevision, this.limits.maxAppendBytes);
    // Serialised before the call returns: the caller may go on changing what it handed over.
    const messages = encodeBatch(stream, events, this.limits.maxAppendBytes);
    const order = { stream: this.#streams.onServer(stream), messages, expected: expectedRevision };
    return this.#untilAnswered(this.#append(order));
  }

  readStream(stream: string, options: ReadStreamOptions = {}): AsyncIterable<RecordedEvent> {
    return pagedIterable(() => {
      this.#checkOpen();
      checkReadStream(stream, options);
      const fetch = pagesOfStream(stream, this.#streams, this.#reader, options);
      return () => this.#whileOpen(fetch);
    });
  }

  readAll(options: ReadAllOptions = {}): AsyncIterable<RecordedEvent> {
    return pagedIterable(() => {
      this.#checkOpen();
      checkReadAll(options);
      const fetch = pagesOfAll(this.#streams, this.#control, this.#reader, options);
      return () => this.#whileOpen(fetch);
    });
  }

  subscribe(options: SubscribeOptions = {}): Observable<LogSignal> {
    const source = {
      connection: this.#shared.connection,
      control: this.#control,
      reader: this.#reader,
      streams: this.#streams,
      patience: this.#patience,
      lifetime: this.#reading,
      head: () => this.head(),
    };
    const signals = subscription(source, options);
    return new Observable((subscriber) => {
      this.#checkOpen();
      checkSubscribe(options);
      return signals.subscribe(subscriber);
    });
  }

  async truncate(stream: string, before: number): Promise<void> {
    this.#checkWritable();
    checkTruncate(stream, before);
    return this.#untilAnswered(this.#truncate(stream, before));
  }

  async head(): Promise<number> {
    this.#checkOpen();
    return this.#whileOpen(() => positionOfNewest(this.#streams, this.#control, this.#reader));
  }

  close(): Promise<void> {
    this.#closing ??= this.#close();
    return this.#closing;
  }

  async #close(): Promise<void> {
    this.#reading.end(storeClosed());
    while (this.#unanswered.size > 0) await Promise.allSettled(this.#unanswered);
    // A read of the log's own stream may still be under way for a reader that has gone.
    this.#writing.end(storeClosed());
    await releaseConnection(this.#key);
  }

  async #append(order: Parameters<SharedConnection["appender"]["append"]>[0]): Promise<AppendResult> {
    const { appender } = this.#shared;
    const answer = await appender.append(order, this.#patience, this.#writing);
    if (!answer.ok) return answer;
    const { revision, position } = answer;
    if (position !== undefined) return { ok: true, revision, position };
    // The server does not know any more where an identical earlier batch is, because it was truncated since.
    return this.#findAppended(order.stream, revision);
  }

  async #findAppended(stream: string, revision: number): Promise<AppendResult> {
    const reader = new ServerReader(this.#shared.connection, this.#patience, this.#writing);
    const { records } = await reader.stream(stream, streamRequest(stream, revision, true, 1));
    const [record] = records;
    if (record !== undefined) return { ok: true, revision, position: positionOf(record) };
    const newest = await this.#shared.appender.newestRevision(stream, this.#patience, this.#writing);
    return { ok: false, actualRevision: newest };
  }

  async #truncate(stream: string, before: number): Promise<void> {
    const { appender } = this.#shared;
    const onServer = this.#streams.onServer(stream);
    const newest = await appender.newestRevision(onServer, this.#patience, this.#writing);
    if (newest === NO_REVISION) return;
    const keptFrom = Math.min(before, newest);
    if (!(keptFrom > 0) || this.#control.isTruncated(stream, keptFrom)) return;
    const reader = new ServerReader(this.#shared.connection, this.#patience, this.#writing);
    await truncateOnServer(onServer, keptFrom, reader, appender, this.#writing);
    await this.#control.recordTruncation(stream, keptFrom);
  }

  #controlStream(patience: Patience): ControlStream {
    const reader = new ServerReader(this.#shared.connection, patience, this.#writing);
    return new ControlStream(this.#streams, reader, this.#shared.appender, this.#writing);
  }

  /** What ends because the log is closed says so. */
  async #whileOpen<T>(action: () => Promise<T>): Promise<T> {
    this.#checkOpen();
    return action();
  }

  #untilAnswered<T>(answer: Promise<T>): Promise<T> {
    this.#unanswered.add(answer);
    const forget = (): void => void this.#unanswered.delete(answer);
    answer.then(forget, forget);
    return answer;
  }

  #checkOpen(): void {
    if (this.#closing !== undefined) throw storeClosed();
  }

  #checkWritable(): void {
    this.#checkOpen();
    if (this.#readOnly) {
      throw new StoreError("read-only", "This log was opened read-only; open it without readOnly to write.");
    }
  }
}

function storeClosed(): StoreError {
  return new StoreError("store-closed", "This log was closed; open it again to go on.");
}
