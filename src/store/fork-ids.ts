import type { EventData, EventType, NewMessage, ReplacementEntry } from "../events/conversation-event.ts";

/** A copied event's data with ids of the fork, and the ids of the origin that it gives to new messages, in order. */

type AnyData = EventData[EventType];

/** Ids of the messages that an event adds to its session. */
export function newMessageIds(type: EventType, data: AnyData): number[] {
  switch (type) {
    case "MessageSaved":
    case "AssistantStubAppended":
      return [(data as { messageId: number }).messageId];
    case "MessagesReplaced":
      return (data as EventData["MessagesReplaced"]).messages
        .filter((entry): entry is NewMessage => !("keep" in entry))
        .map(({ messageId }) => messageId);
    default:
      return [];
  }
}

/**
 * The data with every message id renewed, and the revision that a replacement was computed from; whatever else is in
 * it stays.
 */
export function renewIds<Type extends EventType>(
  type: Type,
  data: EventData[Type],
  idOf: (messageId: number) => number,
  revisionOf: (revision: number) => number,
): EventData[Type] {
  if (type === "MessagesReplaced") {
    const replaced = data as EventData["MessagesReplaced"];
    const messages = replaced.messages.map((entry): ReplacementEntry =>
      "keep" in entry ? { ...entry, keep: idOf(entry.keep) } : { ...entry, messageId: idOf(entry.messageId) },
    );
    return { ...replaced, through: revisionOf(replaced.through), messages } as EventData[Type];
  }
  if (!("messageId" in data)) return data;
  return { ...data, messageId: idOf(data.messageId) };
}
