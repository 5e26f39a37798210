export * from "./errors.ts";
export type * from "./log/event-log.ts";
export type { ExpectedRevision } from "./log/expected-revision.ts";
export { openEventLog } from "./log/open-event-log.ts";
export type * from "./events/stored-part.ts";
export type * from "./events/conversation-event.ts";
export type { MessageStatus, StoredMessage } from "./projections/stored-message.ts";
export type { SessionInfo, SessionSize } from "./projections/session-index.ts";
export type * from "./store/turn.ts";
export type { TurnWriter } from "./store/turn-writer.ts";
export type { MessageContent, SaveMessageOptions } from "./store/message-input.ts";
export type { ListMessagesOptions } from "./store/message-page.ts";
export {
  ConversationStore,
  openConversationStore,
  type BeginTurnOptions,
  type ConversationStoreOptions,
  type ListSessionsOptions,
  type ReplacementMessage,
} from "./store/conversation-store.ts";
