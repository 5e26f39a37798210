export * from "./errors.ts";

// The conversations.
export { ConversationStore } from "./store/conversation-store.ts";
export { openConversationStore } from "./store/open-conversation-store.ts";
export type * from "./store/store-options.ts";
export type * from "./store/turn.ts";
export type { TurnWriter } from "./store/turn-writer.ts";
export type { MessageContent, SaveMessageOptions } from "./store/message-input.ts";
export type { ListMessagesOptions } from "./store/message-page.ts";
export type { Fork, ForkOptions, ForkProgress } from "./store/fork.ts";
export type { ForkOrigin } from "./store/fork-plan.ts";
export type { Purge } from "./store/purge.ts";
export type { SessionChange } from "./store/session-watch.ts";
export type { RecoverOptions, UnansweredTool, UnendedTurnReport } from "./store/recovery.ts";
export type { WriterStatus, WriterVerdict } from "./store/writer-liveness.ts";
export { type CompactionResult, Compactor, type CompactorOptions } from "./store/compactor.ts";
export type { MessageStatus, StoredMessage } from "./projections/stored-message.ts";
export type {
  ReadProgress,
  ReadProgressOptions,
  SessionInfo,
  SessionSize,
} from "./projections/session-index.ts";
export type { SessionState } from "./projections/session-state.ts";
export { type Point, parsePoint } from "./projections/point.ts";

// Read models.
export {
  type RebuildOptions,
  type RebuildProgress,
  type RebuildReport,
  rebuildViews,
} from "./projections/rebuild.ts";
export type { Difference, Verification } from "./projections/rebuild-verify.ts";
export type { DeadLetter } from "./projections/folded-sessions.ts";
export {
  type ProjectedEvent,
  type ProjectionDefinition,
  defineProjection,
} from "./projections/own-projection.ts";
export {
  type OpenProjectionOptions,
  type OwnProjection,
  type ProjectionReport,
  type RebuildProjectionOptions,
  openProjection,
  rebuildProjection,
} from "./projections/open-projection.ts";

// Prompts and displays in the AI SDK's shapes.
export { type ModelMessagesOptions, toModelMessages } from "./store/model-messages.ts";
export type {
  AssistantModelMessage,
  ModelMessage,
  ModelMessageInput,
  SystemModelMessage,
  ToolModelMessage,
  UserModelMessage,
} from "./store/model-message-types.ts";
export { type UIMessagesOptions, toUIMessages } from "./store/ui-messages.ts";
export type * from "./store/ui-message-types.ts";
export { fromModelMessages } from "./store/prompt-to-messages.ts";
export { MISSING_RESULT_TEXT, type MissingResult } from "./store/tool-model-parts.ts";

// Streams of models.
export {
  type PendingApproval,
  type RecordStreamOptions,
  type RecordedStream,
  recordStream,
} from "./recording/record-ai-stream.ts";
export { recordedTools } from "./recording/recorded-tools.ts";
export { type RecordOptions, type RecordSummary, recordLines } from "./recording/record-stream.ts";
export type { RecordProtocol } from "./recording/detect-protocol.ts";
export type { RefusedVerb } from "./recording/verb-calls.ts";
export { type TurnVerb, applyVerb } from "./recording/turn-verb.ts";

// What happened: the answers that the command line prints.
export {
  type AutopsyOptions,
  type AutopsyReport,
  type AutopsyTurn,
  type TurnVerdict,
  autopsy,
} from "./forensics/autopsy.ts";
export type { AutopsyTool, TurnPhase } from "./forensics/turn-phase.ts";
export type { Damage } from "./forensics/unended-turns.ts";
export type { WriterReport } from "./forensics/writer-report.ts";
export { type Amount, type LogStats, type LogStatsOptions, logStats } from "./forensics/log-stats.ts";
export { type FollowOptions, followLog } from "./forensics/follow-log.ts";

// Time travel.
export { type DiffChange, type MessageChange, diffStates } from "./forensics/diff.ts";
export { type TextPiece, diffTexts } from "./forensics/diff-text.ts";
export {
  type Replay,
  type ReplayChange,
  type ReplaySelection,
  type ReplayStep,
  readReplay,
} from "./forensics/replay.ts";

// The log underneath, and what an adapter of one's own needs.
export type * from "./log/event-log.ts";
export { type ExpectedRevision, matchesExpectedRevision, retryRevision } from "./log/expected-revision.ts";
export { appendBytes, checkAppend, checkStreamName } from "./log/append-checks.ts";
export {
  checkReadAll,
  checkReadRuns,
  checkReadStream,
  checkSubscribe,
  checkTruncate,
} from "./log/read-checks.ts";
export { readRuns } from "./log/event-runs.ts";
export { openEventLog } from "./log/open-event-log.ts";
export type * from "./events/conversation-event.ts";
export type * from "./events/stored-part.ts";
export { eventCodec } from "./events/event-codec.ts";
