import { randomUUID } from "node:crypto";
import { type Observable, Subject, takeUntil } from "../observable.ts";
import { InvalidInputError, StoreError } from "../../errors.ts";
import { checkAppend } from "../append-checks.ts";
import type {
  AppendOptions,
  AppendResult,
  EventLog,
  EventLogLimits,
  EventRuns,
  LogSignal,
  NewEvent,
  ReadAllOptions,
  ReadRunsOptions,
  ReadStreamOptions,
  RecordedEvent,
  SubscribeOptions,
} from "../event-log.ts";
import type { ExpectedRevision } from "../expected-revision.ts";
import { pagedIterable } from "../paged-iterable.ts";
import {
  checkReadAll,
  checkReadRuns,
  checkReadStream,
  checkSubscribe,
  checkTruncate,
} from "../read-checks.ts";
import type { AppendRequest } from "./append-commit.ts";
import type { WalBounds } from "./checkpointer.ts";
import { flattenEvent } from "./event-shape.ts";
import { openReadOnly, openWritable } from "./open-database.ts";
import { DEFAULT_HOT_BOUNDS, type HotBounds } from "./packing.ts";
import type { Fdatasync } from "./power-sync.ts";
import { DEFAULT_PACK_SPAN } from "./schema.ts";
import { SharedLog, storeClosed } from "./shared-log.ts";
import { acquireLog, isLogOpen, releaseLog } from "./shared-logs.ts";
import { checkFileSystem, checkWritable, resolveStorePath } from "./store-path.ts";
import { readStreamPage } from "./stream-pages.ts";
import { subscription } from "./subscription.ts";

const LIMITS: EventLogLimits = { maxAppendBytes: 16 * 1024 * 1024 };
const DEFAULT_BUSY_TIMEOUT_MS = 10_000;
const STREAM_PAGE_EVENTS = 512;

export interface SqliteEventLogOptions {
  /** Never writes, and never makes a log. Default: false. */
  readOnly?: boolean;
  /** Makes the log where there is none. Default: true, unless `readOnly`. */
  create?: boolean;
  /** How long a write waits for another process's lock before it fails as `log-busy`. Default: 10,000. */
  busyTimeoutMs?: number;
  /** Told what may be wrong with the place of the file. Default: `process.emitWarning`. */
  onWarning?: (message: string) => void;
  /** For this library's own tests. Not part of the API; seen only by who opens the file first in the process. */
  internals?: {
    fdatasync?: Fdatasync;
    hotBounds?: HotBounds;
    walBounds?: WalBounds;
    /** Of a log that is made. */
    packSpan?: number;
    /** The file may not grow beyond: a full disk. */
    mostPages?: number;
    /** Shares nothing in this process, as if another process opened the file. */
    ownConnection?: boolean;
  };
}

/**
 * Opens a log in a SQLite file. Several handles of a process share one connection; several processes may use the
 * file at once.
 * @param path of the file; `-wal` and `-shm` files lie beside it while it is open.
 * @throws {InvalidInputError} `invalid-store-path`
 * @throws {StoreError} `store-not-found`, `not-a-turnlog-file`, `newer-format`, `read-only`, `network-file-system`, `log-busy`
 */
export async function openSqliteEventLog(
  path: string,
  options: SqliteEventLogOptions = {},
): Promise<EventLog> {
  const {
    readOnly = false,
    create = !readOnly,
    busyTimeoutMs = DEFAULT_BUSY_TIMEOUT_MS,
    internals = {},
  } = options;
  const file = await resolveStorePath(path);
  const shared = {
    busyTimeoutMs,
    hotBounds: internals.hotBounds ?? DEFAULT_HOT_BOUNDS,
    walBounds: internals.walBounds,
    fdatasync: internals.fdatasync,
  };
  const writableKey = `writable ${file.path}`;
  const onWarning =
    options.onWarning ?? ((message: string) => process.emitWarning(message, "TurnlogWarning"));
  // A reader joins the connection that is there: a second one would only cost.
  const sharedKey = readOnly && !isLogOpen(writableKey) ? `read-only ${file.path}` : writableKey;
  const key = internals.ownConnection === true ? `${sharedKey} ${randomUUID()}` : sharedKey;
  const log = await acquireLog(key, async () => {
    if (readOnly) {
      const opened = await openReadOnly(file, busyTimeoutMs);
      await checkFileSystem(file.path, true, onWarning);
      return SharedLog.open(file.path, opened, { ...shared, readOnly });
    }
    await checkFileSystem(file.path, false, onWarning);
    if (file.sizeBytes !== undefined || create) await checkWritable(file);
    const packSpan = internals.packSpan ?? DEFAULT_PACK_SPAN;
    const opened = await openWritable(file, { create, busyTimeoutMs, packSpan });
    if (internals.mostPages !== undefined)
      opened.database.exec(`PRAGMA max_page_count = ${internals.mostPages}`);
    return SharedLog.open(file.path, opened, { ...shared, readOnly });
  });
  return new SqliteEventLog(log, key, readOnly, busyTimeoutMs);
}

/** One handle on a log in a SQLite file. */
class SqliteEventLog implements EventLog {
  readonly limits = LIMITS;
  readonly logId: string;
  readonly #log: SharedLog;
  readonly #key: string;
  readonly #readOnly: boolean;
  readonly #busyTimeoutMs: number;
  readonly #closed = new Subject<void>();
  /** Appends whose callers have not been answered. */
  readonly #unanswered = new Set<Promise<unknown>>();
  #closing: Promise<void> | undefined;

  constructor(log: SharedLog, key: string, readOnly: boolean, busyTimeoutMs: number) {
    this.#log = log;
    this.#key = key;
    this.#readOnly = readOnly;
    this.#busyTimeoutMs = busyTimeoutMs;
    this.logId = log.logId;
  }

  append(
    stream: string,
    events: readonly NewEvent[],
    expectedRevision: ExpectedRevision,
    options: AppendOptions = {},
  ): Promise<AppendResult> {
    let request: AppendRequest;
    try {
      this.#checkWritable();
      request = appendRequest(stream, events, expectedRevision, options.seal === true);
    } catch (error) {
      return Promise.reject(error);
    }
    // No async function: its promise would cost a delta as much as its commit.
    const committed = this.#log.queue.append(request, this.#busyTimeoutMs);
    return options.durability === "power" ? this.#untilAnswered(this.#confirmed(committed)) : committed;
  }

  appendSync(stream: string, events: readonly NewEvent[], expectedRevision: ExpectedRevision): AppendResult {
    this.#checkWritable();
    const request = appendRequest(stream, events, expectedRevision, false);
    return this.#log.queue.appendSync(request, this.#busyTimeoutMs);
  }

  readStream(stream: string, options: ReadStreamOptions = {}): AsyncIterable<RecordedEvent> {
    const { direction = "forwards", limit = Infinity } = options;
    return pagedIterable(() => {
      checkReadStream(stream, options);
      let next: number | undefined = options.from ?? (direction === "forwards" ? 0 : Number.MAX_SAFE_INTEGER);
      let left = limit;
      return async () => {
        this.#checkOpen();
        const from = next;
        if (from === undefined || left <= 0) return undefined;
        const request = { stream, from, direction, limit: Math.min(left, STREAM_PAGE_EVENTS) };
        const page = await this.#log.read(this.#busyTimeoutMs, () =>
          readStreamPage(this.#log.state, request),
        );
        next = page.next;
        left -= page.events.length;
        return page.events;
      };
    });
  }

  readAll(options: ReadAllOptions = {}): AsyncIterable<RecordedEvent> {
    const { after = -1, limit = Infinity, streamPrefix = "" } = options;
    return pagedIterable(() => {
      checkReadAll(options);
      const cursor = this.#log.openCursor(after, streamPrefix, limit);
      let left = limit;
      return async () => {
        this.#checkOpen();
        if (left <= 0) return undefined;
        const page = await this.#log.read(this.#busyTimeoutMs, () => cursor.nextPage());
        if (page === undefined) return undefined;
        const wanted = page.length > left ? page.slice(0, left) : page;
        left -= wanted.length;
        return wanted;
      };
    });
  }

  async *readRuns(options: ReadRunsOptions = {}): AsyncGenerator<EventRuns> {
    checkReadRuns(options);
    const cursor = this.#log.openRunCursor(options);
    for (;;) {
      this.#checkOpen();
      const page = await this.#log.read(this.#busyTimeoutMs, () => cursor.nextPage());
      if (page === undefined) return;
      yield page;
    }
  }

  subscribe(options: SubscribeOptions = {}): Observable<LogSignal> {
    const source = {
      path: this.#log.path,
      checkOpen: () => {
        this.#checkOpen();
        checkSubscribe(options);
      },
      openCursor: this.#log.openCursor.bind(this.#log),
      readPage: this.#log.readPage.bind(this.#log),
      onChange: this.#log.onChange.bind(this.#log),
    };
    return subscription(source, options).pipe(takeUntil(this.#closed));
  }

  async truncate(stream: string, before: number): Promise<void> {
    this.#checkWritable();
    checkTruncate(stream, before);
    return this.#log.truncate(stream, before, this.#busyTimeoutMs);
  }

  async compact(): Promise<void> {
    this.#checkWritable();
    return this.#untilAnswered(this.#log.rewrite(this.#busyTimeoutMs));
  }

  async head(): Promise<number> {
    this.#checkOpen();
    return this.#log.read(this.#busyTimeoutMs, () => this.#log.state.highestPosition);
  }

  close(): Promise<void> {
    this.#closing ??= this.#close();
    return this.#closing;
  }

  async #close(): Promise<void> {
    this.#closed.next();
    await this.#log.queue.drained();
    await Promise.allSettled(this.#unanswered);
    await releaseLog(this.#key);
  }

  async #confirmed(committed: Promise<AppendResult>): Promise<AppendResult> {
    const result = await committed;
    // Also after a retry: the first attempt's answer may have been lost before it was safe.
    if (result.ok) await this.#log.power.confirm();
    return result;
  }

  async #untilAnswered<Result>(answer: Promise<Result>): Promise<Result> {
    this.#unanswered.add(answer);
    try {
      return await answer;
    } finally {
      this.#unanswered.delete(answer);
    }
  }

  #checkOpen(): void {
    if (this.#closing !== undefined) throw storeClosed();
  }

  #checkWritable(): void {
    this.#checkOpen();
    if (!this.#readOnly) return;
    throw new StoreError(
      "read-only",
      `The log ${this.#log.path} was opened read-only; open it without readOnly to write.`,
    );
  }
}

/** Checks an append and takes a snapshot of it: the caller may go on changing its objects. */
function appendRequest(
  stream: string,
  events: readonly NewEvent[],
  expectedRevision: ExpectedRevision,
  seal: boolean,
): AppendRequest {
  try {
    checkAppend(stream, events, expectedRevision, LIMITS.maxAppendBytes);
    return { stream, events: events.map(flattenEvent), expectedRevision, seal };
  } catch (error) {
    if (!(error instanceof RangeError)) throw error;
    // The stack is exhausted: JSON.stringify and all that walks a value go down with its depth.
    throw new InvalidInputError(
      "invalid-event",
      `An event for stream "${stream}" is nested too deep to be stored.`,
      {
        cause: error,
      },
    );
  }
}
