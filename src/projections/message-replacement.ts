import type { EventData, KeptMessages, NewMessage } from "../events/conversation-event.ts";
import type { MessageCollection } from "./message-collection.ts";
import type { FoldedMessage } from "./stored-message.ts";

/**
 * What MessagesReplaced does: the list, behind it what came later than `through` and the message of an open
 * turn, in their previous order; everything else is marked as replaced. `create` registers a new message.
 * @throws {Error} where `keep` names no message of the session, one twice, or a run that is not there.
 */
export function replaceMessages(
  collection: MessageCollection,
  data: EventData["MessagesReplaced"],
  isOpen: (message: FoldedMessage) => boolean,
  create: (message: NewMessage) => FoldedMessage,
): void {
  const before = collection.current();
  const shownBefore = collection.all();
  const named = new Set<FoldedMessage>();
  const messages: FoldedMessage[] = [];
  for (const entry of data.messages) {
    for (const message of "keep" in entry
      ? keptRun(collection, entry as KeptMessages)
      : [create(entry as NewMessage)]) {
      if (named.has(message)) throw new Error(`message ${message.id} is kept twice`);
      named.add(message);
      messages.push(message);
    }
  }
  for (const message of before) {
    if (!named.has(message) && (message.createdRevision > data.through || isOpen(message)))
      messages.push(message);
  }
  const staying = new Set(messages);
  for (const message of shownBefore) message.replaced = !staying.has(message);
  collection.reorder(messages, withReplaced(messages, shownBefore));
}

function keptRun(collection: MessageCollection, entry: KeptMessages): readonly FoldedMessage[] {
  const first = collection.get(entry.keep);
  if (first === undefined) throw new Error(`there is no message ${entry.keep} to keep`);
  const count = entry.count ?? 1;
  if (count === 1) return [first];
  const before = collection.current();
  const start = before.indexOf(first);
  const run = start < 0 ? [] : before.slice(start, start + count);
  if (run.length < count) throw new Error(`there is no run of ${count} messages from ${entry.keep} on`);
  return run;
}

/** Replaced messages keep their place before the first staying message that followed them. */
function withReplaced(
  staying: readonly FoldedMessage[],
  previous: readonly FoldedMessage[],
): FoldedMessage[] {
  const placeBefore = new Map(previous.map((message, index) => [message, index]));
  const limits: number[] = [];
  let limit = previous.length;
  for (const message of staying.toReversed()) {
    limit = placeBefore.get(message) ?? limit;
    limits.push(limit);
  }
  limits.reverse();
  const order: FoldedMessage[] = [];
  let next = 0;
  const passUpTo = (end: number): void => {
    for (; next < end; next++) {
      const message = previous[next];
      if (message?.replaced === true) order.push(message);
    }
  };
  for (const [index, message] of staying.entries()) {
    passUpTo(limits[index] ?? previous.length);
    order.push(message);
  }
  passUpTo(previous.length);
  return order;
}
