import { DamageError } from "../errors.ts";
import type { ConversationEvent, EventData, NewMessage } from "../events/conversation-event.ts";
import { SplicedText, applySplices } from "../events/text-splice.ts";
import type { ConversationChanges } from "./conversation-changes.ts";
import type { MergedUpdate } from "./merged-updates.ts";
import { EMPTY_CONTENT, parseBranches, pushBranch } from "./message-branches.ts";
import { DamagedView, MessageCollection, StaleView } from "./message-collection.ts";
import { replaceMessages } from "./message-replacement.ts";
import type { FoldedMessage } from "./stored-message.ts";

/**
 * The fold: one session's events into its messages. Live cache, queries, views, rebuild, time travel and tests
 * all use this one. It mutates the state that it owns, so that a delta costs its own length and no more.
 */

/** A turn that has begun and not ended. Whether its writer lives is not the fold's business. */
export interface UnendedTurn {
  readonly turnId: string;
  readonly messageId: number;
  readonly kind: "new" | "regenerate";
  readonly model: string | undefined;
  readonly writer: string;
  /** Epoch ms. */
  readonly startedAt: number;
  readonly startedRevision: number;
  superseded: boolean;
}

export interface Conversation {
  /** Of the newest event applied, -1 before the first. */
  revision: number;
  /** Epoch ms of the newest event. */
  lastActive: number;
  /** False before the first event and after SessionDeleted. */
  exists: boolean;
  title: string | undefined;
  metadata: Record<string, unknown> | undefined;
  /** All since the last deletion. */
  readonly messages: MessageCollection;
  readonly unendedTurns: Map<string, UnendedTurn>;
  /** The highest message id given out since the last deletion, 0 when there is none. */
  lastMessageId: number;
  /** Events that a fork still lacks: until they have come it is not listed. */
  missingForkEvents: number;
  /** The bare stub that is being updated. */
  filling: FoldedMessage | undefined;
  /** False: contents are not kept, for folds that only count. */
  readonly keepsContents: boolean;
  /** Filled by the fold for readers that follow a session event by event. */
  changes: ConversationChanges | undefined;
}

export function emptyConversation(options: { keepsContents?: boolean } = {}): Conversation {
  return {
    revision: -1,
    lastActive: 0,
    exists: false,
    title: undefined,
    metadata: undefined,
    messages: new MessageCollection(),
    unendedTurns: new Map(),
    lastMessageId: 0,
    missingForkEvents: 0,
    filling: undefined,
    keepsContents: options.keepsContents ?? true,
    changes: undefined,
  };
}

/**
 * Applies one event to the state, in place; an event that is in it already is skipped.
 * @throws {DamageError} `revision-gap`, `unfoldable-event`: the message names stream, revision and type.
 */
export function applyEvent(state: Conversation, event: ConversationEvent): void {
  if (event.revision <= state.revision) return;
  // A purge leaves nothing before it, whether the state has seen that or not; what it says needs nothing before it.
  const isSelfContained = event.type === "SessionDeleted";
  if (event.revision !== state.revision + 1 && !isSelfContained) throw gap(state, event);
  try {
    fold(state, event);
  } catch (cause) {
    // Nothing is wrong with the event then: the caller loads the state anew.
    if (cause instanceof StaleView || cause instanceof DamagedView) throw cause;
    throw unfoldable(event, cause);
  }
  state.revision = event.revision;
  state.lastActive = event.metadata.time;
}

/**
 * Applies updates that were merged into one, where each of them would have been applied; else it does nothing and the
 * events are to be applied one by one, which says what is wrong.
 * @returns true where it did.
 */
export function applyMergedUpdate(state: Conversation, { event, count }: MergedUpdate): boolean {
  // A fork counts its events.
  if (event.revision !== state.revision + count || state.missingForkEvents > 0) return false;
  const { messageId, content: splices, length } = event.data;
  const content = state.messages.get(messageId)?.content;
  if (content === undefined || !state.keepsContents) return false;
  const [[at, del, ins]] = splices;
  if (at + del > content.length || content.length - del + ins.length !== length) return false;
  state.revision += count - 1;
  applyEvent(state, event);
  return true;
}

/** Moves past an event that this version may skip (`ignorable`). */
export function skipEvent(state: Conversation, event: { revision: number }): void {
  if (event.revision !== state.revision + 1) return;
  state.revision = event.revision;
  // A fork counts what follows it, whoever can read it.
  if (state.missingForkEvents > 0) state.missingForkEvents--;
}

function fold(state: Conversation, event: ConversationEvent): void {
  if (state.missingForkEvents > 0) state.missingForkEvents--;
  const time = event.metadata.time;
  switch (event.type) {
    case "MessageSaved":
      if (event.data.role === "user") settleFilling(state);
      addMessage(state, newMessage(event.data, event.revision, time, state));
      break;
    case "AssistantStubAppended":
      settleFilling(state);
      supersedeTurns(state, undefined);
      addStub(state, event.data, event.revision, time);
      break;
    case "TurnStarted":
      startTurn(state, event.data, event.metadata.writer, event.revision, time);
      break;
    case "BranchesUpdated":
      updateBranches(state, event.data, time);
      break;
    case "TurnEnded":
      endTurn(state, event.data, time);
      break;
    case "MessagesReplaced":
      replaceAll(state, event.data, event.revision, time);
      break;
    case "SessionUpdated":
      if (event.data.title !== undefined) state.title = event.data.title ?? undefined;
      if (event.data.metadata !== undefined) state.metadata = event.data.metadata ?? undefined;
      if (state.changes) state.changes.session = true;
      break;
    case "SessionForked":
      state.missingForkEvents = event.data.total;
      break;
    case "SessionDeleted":
      deleteSession(state);
      return;
    default:
      throw new Error("it does not belong into a session's stream");
  }
  state.exists = true;
}

function newMessage(data: NewMessage, revision: number, time: number, state: Conversation): FoldedMessage {
  return {
    id: data.messageId,
    role: data.role,
    format: data.format,
    content: new SplicedText(state.keepsContents ? data.content : ""),
    branchesJson: "",
    activeBranch: 0,
    status: "saved",
    createdAt: time,
    updatedAt: time,
    createdRevision: revision,
    replaced: false,
    externalId: data.externalId,
    metadata: data.metadata,
  };
}

function addMessage(state: Conversation, message: FoldedMessage): void {
  state.messages.append(message, state.lastMessageId);
  state.lastMessageId = Math.max(state.lastMessageId, message.id);
  state.changes?.messages.add(message);
}

function addStub(
  state: Conversation,
  data: EventData["AssistantStubAppended"],
  revision: number,
  time: number,
): void {
  const stub = newMessage({ ...data, role: "assistant", format: "parts" }, revision, time, state);
  stub.status = "filling";
  addMessage(state, stub);
  state.filling = stub;
}

function settleFilling(state: Conversation): void {
  if (state.filling?.status === "filling") {
    state.filling.status = "saved";
    state.changes?.messages.add(state.filling);
  }
  state.filling = undefined;
}

/** A turn that has not ended when another begins will not be gone on with. */
function supersedeTurns(state: Conversation, by: string | undefined): void {
  for (const turn of state.unendedTurns.values()) {
    if (turn.turnId === by || turn.superseded) continue;
    turn.superseded = true;
    const message = state.messages.get(turn.messageId);
    if (message?.status !== "open") continue;
    message.status = "superseded";
    state.changes?.messages.add(message);
  }
}

function startTurn(
  state: Conversation,
  data: EventData["TurnStarted"],
  writer: string,
  revision: number,
  time: number,
): void {
  const message = messageOf(state, data.messageId);
  settleFilling(state);
  supersedeTurns(state, data.turnId);
  state.unendedTurns.set(data.turnId, {
    turnId: data.turnId,
    messageId: data.messageId,
    kind: data.kind,
    model: data.model,
    writer,
    startedAt: time,
    startedRevision: revision,
    superseded: false,
  });
  message.turnId = data.turnId;
  message.status = "open";
  message.updatedAt = time;
  // What an earlier turn on the same message reported is not this one's.
  message.usage = undefined;
  message.finishReason = undefined;
  message.error = undefined;
}

function updateBranches(state: Conversation, data: EventData["BranchesUpdated"], time: number): void {
  const message = messageOf(state, data.messageId);
  message.updatedAt = time;
  if (!state.keepsContents) return;
  if (data.pushContent === true) {
    message.branchesJson = pushBranch(message.branchesJson, message.content.toString());
    message.content.set(EMPTY_CONTENT);
    message.activeBranch = parseBranches(message.branchesJson).length;
  }
  if (data.content !== undefined) {
    for (const [at, del, ins] of data.content) message.content.splice(at, del, ins);
    message.format = "parts";
  }
  if (data.branches !== undefined) message.branchesJson = applySplices(message.branchesJson, data.branches);
  if (data.activeBranch !== undefined) message.activeBranch = data.activeBranch;
  if (data.length !== undefined && data.length !== message.content.length) {
    throw new Error(
      `its content should be ${data.length} units long and is ${message.content.length}: an event before it is missing or doubled`,
    );
  }
}

function endTurn(state: Conversation, data: EventData["TurnEnded"], time: number): void {
  const message = messageOf(state, data.messageId);
  if (data.turnId !== undefined && !state.unendedTurns.delete(data.turnId)) {
    throw new Error(`turn ${data.turnId} is not open`);
  }
  // The message has been regenerated since: it says how the newest turn stands.
  if (data.turnId !== undefined && message.turnId !== data.turnId) return;
  if (state.filling === message) state.filling = undefined;
  message.status = data.outcome;
  message.updatedAt = time;
  message.usage = data.usage;
  message.finishReason = data.finishReason;
  message.error = data.error;
}

function replaceAll(
  state: Conversation,
  data: EventData["MessagesReplaced"],
  revision: number,
  time: number,
): void {
  const open = new Set<number>();
  for (const turn of state.unendedTurns.values()) if (!turn.superseded) open.add(turn.messageId);
  replaceMessages(
    state.messages,
    data,
    (message) => open.has(message.id),
    (created) => {
      const message = newMessage(created, revision, time, state);
      state.messages.register(message, state.lastMessageId);
      state.lastMessageId = Math.max(state.lastMessageId, message.id);
      return message;
    },
  );
  if (state.changes) state.changes.list = true;
}

function deleteSession(state: Conversation): void {
  state.exists = false;
  state.title = undefined;
  state.metadata = undefined;
  state.messages.clear();
  state.unendedTurns.clear();
  state.filling = undefined;
  state.missingForkEvents = 0;
  if (state.changes) state.changes.list = state.changes.session = true;
  // A purge leaves nothing before this event: what comes after must not depend on it.
  state.lastMessageId = 0;
}

/** The message that an event changes. */
function messageOf(state: Conversation, id: number): FoldedMessage {
  const message = state.messages.get(id);
  if (message === undefined) throw new Error(`there is no message ${id}`);
  state.changes?.messages.add(message);
  return message;
}

function gap(state: Conversation, event: ConversationEvent): DamageError {
  return new DamageError(
    "revision-gap",
    `Stream "${event.stream}" lacks events: after revision ${state.revision} comes ${event.revision} (${event.type}).`,
    { details: { stream: event.stream, revision: event.revision, after: state.revision } },
  );
}

function unfoldable(event: ConversationEvent, cause: unknown): DamageError {
  const why = cause instanceof Error ? cause.message : String(cause);
  return new DamageError(
    "unfoldable-event",
    `Event ${event.type} at revision ${event.revision} of stream "${event.stream}" cannot be applied: ${why}.`,
    { cause, details: { stream: event.stream, revision: event.revision, type: event.type } },
  );
}
