import { randomUUID } from "node:crypto";
import { DamageError, StoreError } from "../../errors.ts";
import type { JsonValue } from "../event-log.ts";
import { NO_REVISION } from "../expected-revision.ts";
import type { Lifetime } from "./lifetime.ts";
import type { LogStreams } from "./log-streams.ts";
import { streamRequest } from "./read-request.ts";
import type { WireRecord } from "./read-response.ts";
import type { ServerReader } from "./server-reader.ts";
import type { StreamAppender } from "./stream-appender.ts";
import { truncateOnServer } from "./stream-metadata.ts";
import { jsonMessage, jsonOf, positionOf, revisionOf } from "./wire-event.ts";

const FORMAT = 1;
/** What the log is, and which streams were truncated so far; the first event of the stream is one of these. */
const STATE = "LogStateRecorded";
const TRUNCATED = "StreamTruncated";
const PAGE_EVENTS = 512;
/** Truncated streams that one state event names; 1,024 characters each at most. */
const NAMES_A_STATE = 100;
/** Superfluous events that are worth a new state. */
const SPENT_EVENTS = 256;

interface LogState {
  format: number;
  logId: string;
  /** Position before the log's first event; absent in the event that has it. */
  bornAt?: number;
  truncated: Record<string, number>;
}

/**
 * The log's own stream: its id, made once by whoever comes first, and the truncations. Those are kept because the
 * server goes on showing truncated events in `$all` until an operator scavenges; a reader of the whole log hides
 * what this stream names. From time to time its events are replaced by new ones that say the same.
 */
export class ControlStream {
  readonly #streams: LogStreams;
  readonly #reader: ServerReader;
  readonly #appender: StreamAppender;
  readonly #lifetime: Lifetime;
  /** Oldest revision left, by stream. */
  readonly #keptFrom = new Map<string, number>();
  #identity: { logId: string; bornAt: number } | undefined;
  #newest = NO_REVISION;
  #events = 0;
  #runningRefresh: Promise<void> | undefined;
  #waitingRefresh: Promise<void> | undefined;

  constructor(streams: LogStreams, reader: ServerReader, appender: StreamAppender, lifetime: Lifetime) {
    this.#streams = streams;
    this.#reader = reader;
    this.#appender = appender;
    this.#lifetime = lifetime;
  }

  /**
   * Reads the log's id, and makes the log where there is none and it may be made.
   * @throws {StoreError} `store-not-found`, `newer-format`, `server-unavailable`, `access-denied`, `tls-failed`
   */
  async open(serverName: string, create: boolean): Promise<void> {
    await this.refresh();
    if (this.#identity !== undefined) return;
    if (!create) {
      throw new StoreError(
        "store-not-found",
        `There is no log "${this.#streams.prefix.slice(0, -1)}" at ${serverName}, and it was not to be created.`,
      );
    }
    const state: LogState = { format: FORMAT, logId: randomUUID(), truncated: {} };
    // Only the first to come wins; the others read what it wrote.
    await this.#append(STATE, asJson(state), "no-stream");
    await this.refresh();
    if (this.#identity === undefined) {
      throw new DamageError(
        "damaged-log",
        `The log's own stream "${this.#streams.control}" at ${serverName} holds nothing.`,
      );
    }
  }

  get logId(): string {
    return this.#known.logId;
  }

  /** All events of the log are above this position. */
  get bornAt(): number {
    return this.#known.bornAt;
  }

  isHidden(stream: string, revision: number): boolean {
    const keptFrom = this.#keptFrom.get(stream);
    return keptFrom !== undefined && revision < keptFrom;
  }

  /** True where the stream's truncation up to `before` is known here. */
  isTruncated(stream: string, before: number): boolean {
    return (this.#keptFrom.get(stream) ?? 0) >= before;
  }

  /** Reads what was written since. Sees all that was acknowledged before the call. */
  refresh(): Promise<void> {
    if (this.#waitingRefresh !== undefined) return this.#waitingRefresh;
    const running = this.#runningRefresh;
    if (running === undefined) return this.#startRefresh();
    // The one under way may have begun too early; all who come meanwhile share the next.
    this.#waitingRefresh = running
      .catch(() => undefined)
      .then(() => {
        this.#waitingRefresh = undefined;
        return this.#startRefresh();
      });
    return this.#waitingRefresh;
  }

  async recordTruncation(stream: string, before: number): Promise<void> {
    await this.#append(TRUNCATED, { stream, before }, "any");
    await this.refresh();
    if (this.#events > SPENT_EVENTS + 2 * (this.#keptFrom.size / NAMES_A_STATE)) await this.#replaceEvents();
  }

  get #known(): { logId: string; bornAt: number } {
    if (this.#identity === undefined) throw new Error("the control stream was not opened");
    return this.#identity;
  }

  #startRefresh(): Promise<void> {
    this.#runningRefresh = this.#readOn().finally(() => {
      this.#runningRefresh = undefined;
    });
    return this.#runningRefresh;
  }

  async #readOn(): Promise<void> {
    const { control } = this.#streams;
    for (;;) {
      const from = this.#newest === NO_REVISION ? "start" : this.#newest + 1;
      const page = await this.#reader.stream(control, streamRequest(control, from, false, PAGE_EVENTS));
      for (const record of page.records) this.#take(record);
      if (page.isEnd && page.records.length < PAGE_EVENTS) return;
    }
  }

  #take(record: WireRecord): void {
    this.#newest = revisionOf(record);
    this.#events += 1;
    const { type } = record;
    const data = jsonOf(record);
    if (type === STATE && isState(data)) this.#takeState(data, positionOf(record));
    else if (type === TRUNCATED && isTruncation(data)) this.#hide(data.stream, data.before);
    else {
      throw new DamageError(
        "damaged-log",
        `Revision ${this.#newest} of the log's own stream "${this.#streams.control}" (${type}) is not what this library writes there.`,
      );
    }
  }

  #takeState(state: LogState, position: number): void {
    if (state.format > FORMAT) {
      throw new StoreError(
        "newer-format",
        `The log "${this.#streams.prefix.slice(0, -1)}" is of format ${state.format}; this version reads up to ${FORMAT}. Use a newer turnlog.`,
      );
    }
    this.#identity ??= { logId: state.logId, bornAt: state.bornAt ?? position };
    for (const [stream, before] of Object.entries(state.truncated)) this.#hide(stream, before);
  }

  #hide(stream: string, before: number): void {
    this.#keptFrom.set(stream, Math.max(before, this.#keptFrom.get(stream) ?? 0));
  }

  /** Writes the state anew, then drops what came before it. A failure in between leaves both, which say the same. */
  async #replaceEvents(): Promise<void> {
    const { logId, bornAt } = this.#known;
    const entries = [...this.#keptFrom];
    const states: LogState[] = [];
    for (let index = 0; index === 0 || index < entries.length; index += NAMES_A_STATE) {
      const truncated = Object.fromEntries(entries.slice(index, index + NAMES_A_STATE));
      states.push({ format: FORMAT, logId, bornAt, truncated });
    }
    const [first, ...others] = states;
    // Under the revision that was read: a truncation that another process records now makes this one give up.
    const firstRevision = first && (await this.#append(STATE, asJson(first), this.#newest));
    if (firstRevision === undefined) return;
    for (const state of others) await this.#append(STATE, asJson(state), "any");
    await this.refresh();
    const { control } = this.#streams;
    await truncateOnServer(control, firstRevision, this.#reader, this.#appender, this.#lifetime);
    this.#events = states.length;
  }

  /** The revision; undefined on a conflict. */
  async #append(
    type: string,
    data: JsonValue,
    expected: number | "no-stream" | "any",
  ): Promise<number | undefined> {
    const order = {
      stream: this.#streams.control,
      messages: [jsonMessage(randomUUID(), type, data)],
      expected,
    };
    const answer = await this.#appender.append(order, this.#reader.patience, this.#lifetime);
    return answer.ok ? answer.revision : undefined;
  }
}

function asJson(state: LogState): JsonValue {
  return { ...state, truncated: { ...state.truncated } } as unknown as JsonValue;
}

function isState(data: JsonValue | undefined): data is JsonValue & LogState {
  if (typeof data !== "object" || data === null || Array.isArray(data)) return false;
  const { format, logId, truncated } = data;
  return (
    typeof format === "number" &&
    typeof logId === "string" &&
    typeof truncated === "object" &&
    truncated !== null
  );
}

function isTruncation(data: JsonValue | undefined): data is { stream: string; before: number } {
  if (typeof data !== "object" || data === null || Array.isArray(data)) return false;
  return typeof data["stream"] === "string" && typeof data["before"] === "number";
}
