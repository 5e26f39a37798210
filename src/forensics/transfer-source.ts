import { NotFoundError } from "../errors.ts";
import {
  MESSAGE_IDS_STREAM,
  conversationStream,
  conversationStreamPrefix,
  writerStream,
} from "../events/conversation-event.ts";
import type { EventLog, RecordedEvent } from "../log/event-log.ts";

/** Which part of a log is exported or copied. */
export interface TransferSelection {
  /** Only these sessions. */
  sessions?: readonly string[] | undefined;
  /** Only sessions with an event of this time (epoch ms, by the writers' clocks) or later; they come whole. */
  since?: number | undefined;
}

/** What can be copied: a log, or an export of one. */
export interface TransferSource {
  readonly logId: string;
  /** Position up to which there is anything. */
  readonly head: number;
  /** All events, the stream `message-ids` first and whole, each stream in order of revision. To be called once. */
  events(): AsyncIterable<RecordedEvent>;
}

/**
 * A log's selected events, as it stands now: what comes later is left for the next time.
 * @throws {NotFoundError} `session-not-found`
 */
export async function logSource(log: EventLog, selection: TransferSelection = {}): Promise<TransferSource> {
  return logSourceTo(log, await log.head(), selection);
}

/** The same as it stood at a position: gives the same events each time, unless some have been truncated since. */
export async function logSourceTo(
  log: EventLog,
  head: number,
  selection: TransferSelection,
): Promise<TransferSource> {
  const streams = await selectStreams(log, head, selection);
  // A few streams: the rest of the log need not be read.
  const areFew = streams !== undefined && selection.since === undefined;
  const events = areFew ? () => eventsOfEach(log, head, streams) : () => eventsOfAll(log, head, streams);
  return { logId: log.logId, head, events };
}

async function* eventsOfEach(
  log: EventLog,
  head: number,
  streams: ReadonlySet<string>,
): AsyncGenerator<RecordedEvent> {
  for (const stream of [MESSAGE_IDS_STREAM, ...streams]) yield* upTo(head, log.readStream(stream));
}

async function* eventsOfAll(
  log: EventLog,
  head: number,
  streams: ReadonlySet<string> | undefined,
): AsyncGenerator<RecordedEvent> {
  yield* upTo(head, log.readStream(MESSAGE_IDS_STREAM));
  for await (const event of upTo(head, log.readAll())) {
    if (event.stream === MESSAGE_IDS_STREAM) continue;
    if (streams === undefined || streams.has(event.stream)) yield event;
  }
}

async function* upTo(head: number, events: AsyncIterable<RecordedEvent>): AsyncGenerator<RecordedEvent> {
  for await (const event of events) {
    if (event.position > head) return;
    yield event;
  }
}

/**
 * Streams to read, those of the sessions' writers first: they tell who wrote, and whether they live. Undefined: all.
 * @throws {NotFoundError} `session-not-found`
 */
async function selectStreams(
  log: EventLog,
  head: number,
  { sessions, since }: TransferSelection,
): Promise<ReadonlySet<string> | undefined> {
  if (sessions === undefined && since === undefined) return undefined;
  const found = new SelectedSessions();
  if (sessions === undefined) {
    for await (const event of upTo(head, log.readAll({ streamPrefix: conversationStreamPrefix })))
      found.take(event);
  } else {
    for (const sessionId of sessions) {
      const stream = conversationStream(sessionId);
      for await (const event of upTo(head, log.readStream(stream))) found.take(event);
      if (!found.has(stream)) throw sessionNotFound(sessionId, "log");
    }
  }
  return found.streams(since ?? -Infinity);
}

class SelectedSessions {
  readonly #sessions = new Map<string, { newest: number; writers: Set<string> }>();

  take({ stream, metadata: { time, writer } }: RecordedEvent): void {
    let session = this.#sessions.get(stream);
    if (session === undefined) {
      session = { newest: -Infinity, writers: new Set() };
      this.#sessions.set(stream, session);
    }
    if (typeof time === "number") session.newest = Math.max(session.newest, time);
    if (typeof writer === "string") session.writers.add(writer);
  }

  has(stream: string): boolean {
    return this.#sessions.has(stream);
  }

  streams(since: number): Set<string> {
    const wanted = [...this.#sessions].filter(([, { newest }]) => newest >= since);
    const writers = wanted.flatMap(([, session]) => [...session.writers].map(writerStream));
    return new Set([...writers, ...wanted.map(([stream]) => stream)]);
  }
}

export function sessionNotFound(sessionId: string, where: "log" | "export"): NotFoundError {
  return new NotFoundError("session-not-found", `The ${where} has no session ${JSON.stringify(sessionId)}.`, {
    details: { sessionId },
  });
}
