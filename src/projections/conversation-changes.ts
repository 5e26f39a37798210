import type { FoldedMessage } from "./stored-message.ts";

/** What events have changed since the reader of the changes last emptied it. */
export interface ConversationChanges {
  /** Messages that were added or changed. */
  readonly messages: Set<FoldedMessage>;
  /** The list itself: replaced or deleted. */
  list: boolean;
  /** Title or metadata. */
  session: boolean;
}

/** A fresh note of changes. */
export function noChanges(): ConversationChanges {
  return { messages: new Set(), list: false, session: false };
}

/** Empties the note. */
export function clearChanges(changes: ConversationChanges): void {
  changes.messages.clear();
  changes.list = false;
  changes.session = false;
}
