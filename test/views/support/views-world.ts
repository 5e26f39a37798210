import { expect } from "@jest/globals";
import { eventCodec } from "../../../src/events/event-codec.ts";
import { sessionOfStream } from "../../../src/events/conversation-event.ts";
import type { EventLog, RecordedEvent } from "../../../src/log/event-log.ts";
import {
  type Conversation,
  applyEvent,
  emptyConversation,
  skipEvent,
} from "../../../src/projections/conversation.ts";
import type { ConversationViews } from "../../../src/projections/conversation-views.ts";
import { plain } from "../../support/conversation-history.ts";

export async function allEvents(log: EventLog, after = -1): Promise<RecordedEvent[]> {
  const events: RecordedEvent[] = [];
  for await (const event of log.readAll({ after })) events.push(event);
  return events;
}

/** The fold and nothing else: one session's events up to a revision. */
export function pureFold(
  events: readonly RecordedEvent[],
  session: string,
  through = Infinity,
): Conversation {
  const state = emptyConversation();
  for (const event of events) {
    if (sessionOfStream(event.stream) !== session || event.revision > through) continue;
    const decoded = eventCodec.decode(event);
    if (decoded === undefined) skipEvent(state, event);
    else applyEvent(state, decoded);
  }
  return state;
}

export function sessionsOf(events: readonly RecordedEvent[]): string[] {
  return [...new Set(events.flatMap(({ stream }) => sessionOfStream(stream) ?? []))];
}

/** Every session's rows are exact at their revision, and hold all that the checkpoint says. Returns it. */
export function expectExactRows(
  views: ConversationViews,
  generation: number,
  events: readonly RecordedEvent[],
): number {
  const record = views.records().find((each) => each.generation === generation);
  const checkpoint = record?.checkpoint ?? { position: -1, eventId: undefined };
  if (checkpoint.position >= 0)
    expect(events.find(({ position }) => position === checkpoint.position)?.id).toBe(checkpoint.eventId);
  const rows = views.rows(generation);
  for (const session of sessionsOf(events)) {
    const loaded = rows.load(session);
    const revision = loaded?.conversation.revision ?? -1;
    const needed = events.findLast(
      ({ stream, position }) => sessionOfStream(stream) === session && position <= checkpoint.position,
    );
    expect(revision).toBeGreaterThanOrEqual(needed?.revision ?? -1);
    if (loaded !== undefined)
      expect(plain(loaded.conversation)).toEqual(plain(pureFold(events, session, revision)));
  }
  return checkpoint.position;
}
