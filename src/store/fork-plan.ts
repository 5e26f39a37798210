import { NotFoundError } from "../errors.ts";
import {
  type ConversationEvent,
  type EventData,
  type Mark,
  conversationStream,
} from "../events/conversation-event.ts";
import { contentChecksum } from "../events/content-checksum.ts";
import { type StoredEvent, eventCodec } from "../events/event-codec.ts";
import type { EventLog, RecordedEvent } from "../log/event-log.ts";
import type { Conversation } from "../projections/conversation.ts";
import { type Point, firstSplicesOf, foldTo } from "../projections/point.ts";

/** Where a fork left its origin. */
export interface ForkOrigin {
  logId: string;
  sessionId: string;
  /** The newest revision that the fork has whole. */
  revision: number;
  /** How many marks of the event after `revision` it has as well. */
  marks?: number;
}

type PartialUpdate = EventData["BranchesUpdated"] & { marks: Mark[] };

/** What a fork is to hold, found by folding the origin up to the point. */
export interface ForkPlan {
  readonly origin: ForkOrigin;
  /** The first revision to copy: behind the origin's last deletion, and behind its own SessionForked. */
  readonly first: number;
  /** The last one, whole or in part. */
  readonly last: number;
  /** Of the last event: its data up to the point, where that is inside it. */
  readonly partial: PartialUpdate | undefined;
  /** Events between them that are not copied: whatever ids an unknown type names could not be renewed. */
  readonly skipped: readonly number[];
  /** Ends of the turns that are open at the point, with the origin's message ids. */
  readonly ends: readonly EventData["TurnEnded"][];
  readonly messages: number;
  /** Events that follow SessionForked. */
  readonly total: number;
}

/**
 * @throws {NotFoundError} `point-not-found`; `nothing-to-fork` where the session is empty or deleted at the point
 */
export async function planFork(log: EventLog, sessionId: string, point: Point): Promise<ForkPlan> {
  const seen = new SeenEvents();
  const state = await foldTo(seen.note(log.readStream(conversationStream(sessionId))), point);
  const copied = seen.upTo(state.revision);
  if (!state.exists || copied === undefined) throw nothingToFork(sessionId, state.revision);
  const { first, last, skipped } = copied;
  const partial = partOf(last, point, state);
  const ends = interruptedTurns(state);
  const whole = { logId: log.logId, sessionId, revision: last.revision };
  return {
    origin:
      partial === undefined ? whole : { ...whole, revision: last.revision - 1, marks: partial.marks.length },
    first,
    last: last.revision,
    partial,
    skipped,
    ends,
    messages: state.messages.count,
    total: last.revision - first + 1 - skipped.length + ends.length,
  };
}

/** Notes what passes by on its way into the fold, which may stop before it has taken the newest. */
class SeenEvents {
  #first: number | undefined;
  #last: RecordedEvent | undefined;
  #before: RecordedEvent | undefined;
  #skipped: number[] = [];
  /** As they were before the newest event. */
  #older: { first: number | undefined; skipped: number[] } = { first: undefined, skipped: [] };

  async *note(events: AsyncIterable<RecordedEvent>): AsyncGenerator<RecordedEvent> {
    for await (const event of events) {
      this.#take(event);
      yield event;
    }
  }

  #take(event: RecordedEvent): void {
    this.#older = { first: this.#first, skipped: this.#skipped };
    this.#before = this.#last;
    this.#last = event;
    if (event.type === "SessionDeleted" || event.type === "SessionForked") {
      this.#first = undefined;
      this.#skipped = [];
    } else {
      this.#first ??= event.revision;
      if (isSkipped(event)) this.#skipped = [...this.#skipped, event.revision];
    }
  }

  upTo(revision: number): { first: number; last: RecordedEvent; skipped: number[] } | undefined {
    const isNewest = this.#last?.revision === revision;
    const last = isNewest ? this.#last : this.#before;
    const { first, skipped } = isNewest ? { first: this.#first, skipped: this.#skipped } : this.#older;
    if (last === undefined || first === undefined || last.revision - first + 1 === skipped.length)
      return undefined;
    return { first, last, skipped };
  }
}

function isSkipped(event: RecordedEvent): boolean {
  return event.metadata["ignorable"] === true && eventCodec.decode(event) === undefined;
}

/** The data of an event up to a point that is inside it. */
function partOf(last: StoredEvent, point: Point, state: Conversation): PartialUpdate | undefined {
  if (point.kind !== "revision" || point.revision !== last.revision || point.marks === undefined)
    return undefined;
  const event = eventCodec.decode(last);
  if (event?.type !== "BranchesUpdated") return undefined;
  const { messageId, pushContent, content = [], marks = [] } = event.data;
  if (point.marks >= marks.length) return undefined;
  const length = state.messages.get(messageId)?.content.length ?? 0;
  return {
    messageId,
    ...(pushContent === undefined ? {} : { pushContent }),
    content: firstSplicesOf(content, marks, point.marks),
    length,
    marks: marks.slice(0, point.marks),
  };
}

function interruptedTurns(state: Conversation): EventData["TurnEnded"][] {
  return [...state.unendedTurns.values()].map(({ turnId, messageId }) => ({
    turnId,
    messageId,
    outcome: "interrupted",
    content: contentChecksum(state.messages.get(messageId)?.content.toString() ?? ""),
  }));
}

function nothingToFork(sessionId: string, revision: number): NotFoundError {
  const at = revision === -1 ? "before its first event" : `at revision ${revision}`;
  return new NotFoundError(
    "nothing-to-fork",
    `There is nothing to fork: session ${JSON.stringify(sessionId)} is empty or deleted ${at}.`,
    { details: { sessionId, revision } },
  );
}

/** The events to copy, in order, with the origin's ids; the last one as far as the point goes. */
export async function* eventsToCopy(log: EventLog, plan: ForkPlan): AsyncGenerator<ConversationEvent> {
  const { first, last, partial, origin } = plan;
  const limit = last - first + 1;
  for await (const stored of log.readStream(conversationStream(origin.sessionId), { from: first, limit })) {
    const event = eventCodec.decode(stored);
    if (event === undefined) continue;
    const isCut = partial !== undefined && event.revision === last && event.type === "BranchesUpdated";
    yield isCut ? { ...event, data: partial } : event;
  }
}
