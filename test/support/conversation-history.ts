import type { ConversationEvent, EventData, EventType } from "../../src/events/conversation-event.ts";
import { type Conversation, applyEvent, emptyConversation } from "../../src/projections/conversation.ts";
import { type StoredMessage, toStoredMessage } from "../../src/projections/stored-message.ts";

/** An event of a session, its place aside. The turn's id or the writer may be named. */
export type Happening = {
  [Type in EventType]: { type: Type; data: EventData[Type]; writer?: string; time?: number };
}[EventType];

/** The happenings as events of one stream, in order, from a revision on; each a second after the one before. */
export function asEvents(happenings: readonly Happening[], from = 0): ConversationEvent[] {
  return happenings.map(({ type, data, writer = "w", time }, index) => {
    const revision = from + index;
    return {
      type,
      data,
      metadata: { v: 1, writer, n: revision, time: time ?? timeOf(revision) },
      id: `00000000-0000-8000-8000-${revision.toString(16).padStart(12, "0")}`,
      stream: "conversation-s",
      revision,
      position: revision,
    } as ConversationEvent;
  });
}

/** Epoch ms of the event at a revision. */
export const timeOf = (revision: number): number => 1_700_000_000_000 + revision * 1000;

export function folded(happenings: readonly Happening[], from = 0): Conversation {
  const state = emptyConversation();
  for (const event of asEvents(happenings, from)) applyEvent(state, event);
  return state;
}

/** The conversation as queries give it. */
export function messagesOf(state: Conversation): StoredMessage[] {
  return state.messages.current().map(toStoredMessage);
}

export function allMessagesOf(state: Conversation): StoredMessage[] {
  return state.messages.all().map(toStoredMessage);
}

/** Everything that a fold says, as plain data: two folds that agree on it agree. */
export function plain(state: Conversation): unknown {
  const { revision, lastActive, exists, title, metadata, lastMessageId, missingForkEvents, filling } = state;
  return {
    revision,
    lastActive,
    exists,
    title,
    metadata,
    lastMessageId,
    missingForkEvents,
    filling: filling?.id,
    unendedTurns: [...state.unendedTurns.values()].map((turn) => ({ ...turn })),
    current: messagesOf(state),
    all: allMessagesOf(state),
  };
}

export const saved = (
  messageId: number,
  content = `text ${messageId}`,
  more: Partial<EventData["MessageSaved"]> = {},
): Happening => ({
  type: "MessageSaved",
  data: { messageId, role: "user", format: "text", content, ...more },
});

export const stub = (messageId: number): Happening => ({
  type: "AssistantStubAppended",
  data: { messageId, content: "[]" },
});

export const started = (
  turnId: string,
  messageId: number,
  kind: "new" | "regenerate" = "new",
): Happening => ({
  type: "TurnStarted",
  data: { turnId, messageId, kind },
});

/** A stub and the turn on it, as beginTurn appends them. */
export const turn = (turnId: string, messageId: number): Happening[] => [
  stub(messageId),
  started(turnId, messageId),
];

export const updated = (
  messageId: number,
  data: Omit<EventData["BranchesUpdated"], "messageId">,
): Happening => ({ type: "BranchesUpdated", data: { messageId, ...data } });

export const ended = (
  messageId: number,
  outcome: EventData["TurnEnded"]["outcome"],
  more: Partial<EventData["TurnEnded"]> = {},
): Happening => ({
  type: "TurnEnded",
  data: { messageId, outcome, content: { length: 0, crc32: 0 }, ...more },
});

export const replaced = (
  through: number,
  ...messages: EventData["MessagesReplaced"]["messages"]
): Happening => ({ type: "MessagesReplaced", data: { through, messages, reason: "replace" } });

export const deleted: Happening = { type: "SessionDeleted", data: {} };
