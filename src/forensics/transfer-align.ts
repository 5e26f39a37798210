import { StateError } from "../errors.ts";
import { sessionOfStream } from "../events/conversation-event.ts";
import type { EventData } from "../events/conversation-event.ts";
import type { EventLog, NewEvent, RecordedEvent } from "../log/event-log.ts";
import { type PlaceholderEvents, timeOf } from "./placeholder-events.ts";
import type { TransferBatch } from "./transfer-batch.ts";

/** Where a stream's events go. */
export interface TransferStream {
  take(event: RecordedEvent): Promise<void>;
  /** To be called when the source has no more of it. */
  finish(): Promise<void>;
}

export async function newestOf(log: EventLog, stream: string): Promise<RecordedEvent | undefined> {
  for await (const event of log.readStream(stream, { direction: "backwards", limit: 1 })) return event;
  return undefined;
}

/** A writer's stream is its own alone: what two logs have of it never differs, but either may have been truncated. */
const OWN_STREAM = "writer-";
/** A writer keeps about a hundred heartbeats. */
const MOST_HELD = 1_000;

/** What copies as they are need of the target. */
export interface AlignmentServices {
  readonly log: EventLog;
  readonly batch: TransferBatch;
  readonly placeholders: PlaceholderEvents;
}

/** What is remembered of an event: not its data, which may be large. */
interface Place {
  readonly id: string;
  readonly revision: number;
}

/**
 * Copies a stream as it is: ids, data and metadata. What the target has of it must be the beginning of what the source
 * has; the event at the target's head, found in the source, proves it.
 */
export class AlignedStream implements TransferStream {
  readonly #log: EventLog;
  readonly #batch: TransferBatch;
  readonly #placeholders: PlaceholderEvents;
  readonly #stream: string;
  readonly #mayAppend: boolean;
  /** The target's newest event, until it has been met in the source. */
  #awaited: Place | undefined;
  /** Newest revision in the target, events that are on their way included. */
  #revision: number;
  /** What the source's revisions are above the target's: streams that were truncated begin at 0 in a copy. */
  #offset: number | undefined;
  #first: Place | undefined;
  #last: Place | undefined;
  /** Events met while the target's newest was awaited. */
  #met = 0;
  #held: RecordedEvent[] = [];

  private constructor(
    { log, batch, placeholders }: AlignmentServices,
    stream: string,
    head: RecordedEvent | undefined,
    mayAppend: boolean,
  ) {
    this.#log = log;
    this.#batch = batch;
    this.#placeholders = placeholders;
    this.#stream = stream;
    this.#mayAppend = mayAppend;
    this.#awaited = head && placeOf(head);
    this.#revision = head?.revision ?? -1;
  }

  /** @param mayAppend false: it must be there whole, because its ids could not be kept */
  static async open(services: AlignmentServices, stream: string, mayAppend = true): Promise<AlignedStream> {
    return new AlignedStream(services, stream, await newestOf(services.log, stream), mayAppend);
  }

  /** True where what the target has is the beginning of what the source has. */
  get isPrefix(): boolean {
    return this.#awaited === undefined;
  }

  async take(event: RecordedEvent): Promise<void> {
    this.#last = placeOf(event);
    this.#first ??= this.#last;
    if (this.#awaited === undefined) return this.#append(event);
    this.#met += 1;
    if (event.id === this.#awaited.id) {
      this.#offset = event.revision - this.#awaited.revision;
      this.#awaited = undefined;
      this.#batch.counts.alreadyThere += this.#met;
      this.#held = [];
    } else if (this.#stream.startsWith(OWN_STREAM) && this.#held.length < MOST_HELD) this.#held.push(event);
  }

  async #append(event: RecordedEvent): Promise<void> {
    if (!this.#mayAppend) throw idsTaken(this.#stream);
    this.#offset ??= event.revision - this.#revision - 1;
    await this.#batch.add(this.#stream, shifted(event, this.#offset), this.#revision);
    this.#revision += 1;
  }

  /** @throws {StateError} `session-differs`, `stream-differs` */
  async finish(): Promise<void> {
    const [first, last] = [this.#first, this.#last];
    if (this.#awaited === undefined || first === undefined || last === undefined) return;
    if (await this.#has(last, first)) {
      this.#batch.counts.alreadyThere += this.#met;
      return;
    }
    // The source has truncated all that the target has of it.
    if (!this.#stream.startsWith(OWN_STREAM) || first.revision === 0) throw differs(this.#stream);
    this.#awaited = undefined;
    const [oldest] = this.#held;
    if (oldest === undefined) return;
    const gap = this.#placeholders.lost({ reason: "truncation" }, timeOf(oldest));
    await this.#batch.add(this.#stream, gap, this.#revision++);
    for (const event of this.#held) await this.#append(event);
  }

  /** True where the target has the source's newest event as well: it has gone on by itself. */
  async #has(last: Place, first: Place): Promise<boolean> {
    for (const from of new Set([last.revision, last.revision - first.revision]))
      for await (const event of this.#log.readStream(this.#stream, { from, limit: 1 }))
        if (event.id === last.id) return true;
    return false;
  }
}

function placeOf({ id, revision }: RecordedEvent): Place {
  return { id, revision };
}

/** The event as it is stored, for a stream whose revisions begin elsewhere. */
export function shifted({ id, type, data, metadata }: RecordedEvent, offset: number): NewEvent {
  if (offset === 0 || type !== "MessagesReplaced") return { id, type, data, metadata };
  const { through } = data as unknown as EventData["MessagesReplaced"];
  return { id, type, data: { ...(data as object), through: Math.max(-1, through - offset) }, metadata };
}

function idsTaken(stream: string): StateError {
  const sessionId = sessionOfStream(stream);
  return new StateError(
    "session-differs",
    `Session ${JSON.stringify(sessionId)} has new events, and its ids cannot be kept: the target has given out message ids of its own since. Copy the session under another name (--session, --as); what was copied before is complete.`,
    { details: { sessionId } },
  );
}

export function differs(stream: string): StateError {
  const sessionId = sessionOfStream(stream);
  if (sessionId === undefined) {
    return new StateError(
      "stream-differs",
      `The target has a stream "${stream}" with another history. What was copied before is complete.`,
      { details: { stream } },
    );
  }
  const name = JSON.stringify(sessionId);
  return new StateError(
    "session-differs",
    `The target has a session ${name} with another history, or it has gone on by itself there. Copy the session under another name (--session, --as); what was copied before is complete.`,
    { details: { sessionId } },
  );
}
