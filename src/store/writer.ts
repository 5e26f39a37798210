import { randomBytes } from "node:crypto";
import { type EncodedEvent, checkDraft, eventCodec } from "../events/event-codec.ts";
import { type EventDraft, type WriterDescription, writerStream } from "../events/conversation-event.ts";
import type { AppendResult, EventLog } from "../log/event-log.ts";
import { isRefusal } from "./append-refusals.ts";
import { ownProcessFacts } from "./process-facts.ts";

export const LIBRARY = "turnlog 0.1.0";

/** After so many the writer's stream is truncated: a turn that waits for days must not grow it without end. */
const HEARTBEATS_KEPT = 100;

export interface WriterOptions {
  /** What to call this writer in forensics: the name of the service, say. */
  label?: string | undefined;
  /** Interval of its heartbeats while a turn is open, ms. */
  heartbeatMs: number;
}

/** A draft with the moment it was made, where that is not the moment it is encoded. */
export type TimedDraft = EventDraft & { time?: number };

/**
 * One opened store that appends. It names itself in the log before its first event, gives every event a UUIDv8
 * (its own random prefix and a counter, so that runs of ids pack to almost nothing) and counts its events
 * without holes.
 */
export class Writer {
  /** 20 hexadecimal digits: the prefix of the ids of its events without the dashes. */
  readonly id: string;
  readonly #idPrefix: string;
  readonly #log: EventLog;
  readonly #options: WriterOptions;
  #nextEvent = 0;
  #nextCount = 0;
  /** Counts of events that the log refused: the next events take them, so that a hole always proves a loss. */
  readonly #returnedCounts: number[] = [];
  #revision = -1;
  #started: Promise<void> | undefined;
  #heartbeats: NodeJS.Timeout | undefined;
  #heartbeatsSinceTruncation = 0;
  /** Epoch ms of its newest event in its own stream. */
  #lastSign = 0;
  /** Its own stream's appends, one after the other. */
  #ownQueue: Promise<void> = Promise.resolve();

  constructor(log: EventLog, options: WriterOptions) {
    this.#log = log;
    this.#options = options;
    this.#idPrefix = randomUuidV8Prefix();
    this.id = this.#idPrefix.replaceAll("-", "");
  }

  /** WriterStarted is in the log, or on its way there. */
  get hasBegun(): boolean {
    return this.#started !== undefined;
  }

  /** WriterStarted is in the log. */
  get hasStarted(): boolean {
    return this.#revision !== -1;
  }

  /** Appends WriterStarted, once; every other append waits for it. */
  start(): Promise<void> {
    this.#started ??= this.#appendOwn({ type: "WriterStarted", data: this.#describe() }).catch((error) => {
      this.#started = undefined; // The next append tries again.
      throw error;
    });
    return this.#started;
  }

  /** Says that this writer will append no more. Does nothing where it never appended. */
  async stop(): Promise<void> {
    this.stopHeartbeats();
    if (this.#started === undefined) return;
    await this.#started;
    await this.#appendOwn({ type: "WriterStopped", data: {} }, true);
  }

  /** A sign of life now and then, for readers on other machines, while a turn is open. */
  startHeartbeats(): void {
    if (this.#heartbeats !== undefined) return;
    this.#heartbeats = setInterval(() => void this.#beat(), this.#options.heartbeatMs);
    this.#heartbeats.unref();
    // Its last sign of life may be hours old, from before it had a turn to write.
    if (Date.now() - this.#lastSign >= this.#options.heartbeatMs) void this.#beat();
  }

  stopHeartbeats(): void {
    clearInterval(this.#heartbeats);
    this.#heartbeats = undefined;
  }

  async #beat(): Promise<void> {
    try {
      await this.start();
      await this.#appendOwn({ type: "WriterHeartbeat", data: this.#describe() });
      if (++this.#heartbeatsSinceTruncation < HEARTBEATS_KEPT) return;
      this.#heartbeatsSinceTruncation = 0;
      await this.#log.truncate(writerStream(this.id), this.#revision);
    } catch {
      // A log that cannot be written now: the turn's own appends report it, and the next heartbeat tries again.
    }
  }

  /** @throws {InvalidInputError} `invalid-event` before a count or an id is given out. */
  encode(drafts: readonly TimedDraft[]): EncodedEvent[] {
    for (const draft of drafts) checkDraft(draft);
    const now = Date.now();
    return drafts.map((draft) =>
      eventCodec.encode(draft, {
        id: this.#idPrefix + (this.#nextEvent++).toString(16).padStart(12, "0"),
        writer: this.id,
        n: this.#returnedCounts.shift() ?? this.#nextCount++,
        time: draft.time ?? now,
      }),
    );
  }

  /** The append's result; takes the counts back where it fails and certainly wrote nothing. */
  async appending(events: readonly EncodedEvent[], append: Promise<AppendResult>): Promise<AppendResult> {
    try {
      return await append;
    } catch (error) {
      if (isRefusal(error)) this.takeBack(events);
      throw error;
    }
  }

  /** Takes back the counts of events that were certainly not appended. */
  takeBack(events: readonly EncodedEvent[]): void {
    for (const event of events) this.#returnedCounts.push((event.metadata as { n: number }).n);
    this.#returnedCounts.sort((a, b) => a - b);
  }

  #appendOwn(draft: EventDraft, seal = false): Promise<void> {
    const appended = this.#ownQueue.then(() => this.#appendNow(draft, seal));
    this.#ownQueue = appended.catch(() => undefined);
    return appended;
  }

  async #appendNow(draft: EventDraft, seal: boolean): Promise<void> {
    for (;;) {
      const events = this.encode([draft]);
      const expected = this.#revision === -1 ? "no-stream" : this.#revision;
      const result = await this.appending(
        events,
        this.#log.append(writerStream(this.id), events, expected, { seal }),
      );
      this.#lastSign = Date.now();
      this.#revision = result.ok ? result.revision : result.actualRevision;
      if (result.ok) return;
      // Nobody else writes here: an earlier event landed although its answer was lost.
      this.takeBack(events);
      if (draft.type === "WriterStarted") return;
    }
  }

  #describe(): WriterDescription {
    return {
      ...ownProcessFacts(),
      heartbeatMs: this.#options.heartbeatMs,
      library: LIBRARY,
      ...(this.#options.label === undefined ? {} : { label: this.#options.label }),
    };
  }
}

/** The first 24 characters of a UUID of version 8 (RFC 9562): 74 random bits. */
function randomUuidV8Prefix(): string {
  const hex = randomBytes(10).toString("hex");
  const variant = "89ab"[Number.parseInt(hex.charAt(16), 16) & 3];
  return `${hex.slice(0, 8)}-${hex.slice(8, 12)}-8${hex.slice(13, 16)}-${variant}${hex.slice(17, 20)}-`;
}
