import { copyJson } from "./json-copy.ts";
import type { Conversation } from "./conversation.ts";
import { type StoredMessage, toStoredMessage } from "./stored-message.ts";

/** A whole session as of a revision. */
export interface SessionState {
  /** -1 before the first event. */
  revision: number;
  title?: string;
  metadata?: Record<string, unknown>;
  messages: StoredMessage[];
}

export function toSessionState(state: Conversation): SessionState {
  return {
    revision: state.revision,
    ...(state.title === undefined ? {} : { title: state.title }),
    ...(state.metadata === undefined ? {} : { metadata: copyJson(state.metadata) }),
    messages: state.messages.current().map(toStoredMessage),
  };
}
