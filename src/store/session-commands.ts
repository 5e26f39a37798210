import { InvalidInputError, NotFoundError, StateError } from "../errors.ts";
import type { EventData, Outcome, ReplacementEntry, Role } from "../events/conversation-event.ts";
import { contentChecksum } from "../events/content-checksum.ts";
import type { Usage } from "../events/stored-part.ts";
import { findSplice } from "../events/text-splice.ts";
import type { Conversation } from "../projections/conversation.ts";
import { EMPTY_CONTENT, parseBranches } from "../projections/message-branches.ts";
import type { FoldedMessage } from "../projections/stored-message.ts";
import { messageNotFound } from "./message-ids.ts";
import type { Command } from "./session.ts";
import type { TimedDraft } from "./writer.ts";

/** The commands: pure functions from a session's state to the events that carry them out. */

/** A message that has been checked and has no id yet. */
export interface MessageInput {
  role: Role;
  format: "text" | "parts";
  content: string;
  externalId?: string;
  metadata?: Record<string, unknown>;
}

export const saveMessage =
  (message: MessageInput): Command<number> =>
  (state, nextId) => {
    const known = knownExternalId(state, message.externalId);
    if (known !== undefined) return { drafts: [], result: known };
    const messageId = nextId();
    return { drafts: [{ type: "MessageSaved", data: { messageId, ...message } }], result: messageId };
  };

function knownExternalId(state: Conversation, externalId: string | undefined): number | undefined {
  return externalId === undefined ? undefined : state.messages.getByExternalId(externalId)?.id;
}

export const appendStub = (): Command<number> => (_state, nextId) => {
  const messageId = nextId();
  return { drafts: [stub(messageId)], result: messageId };
};

const stub = (messageId: number): TimedDraft => ({
  type: "AssistantStubAppended",
  data: { messageId, content: EMPTY_CONTENT },
});

/** The user's message (unless its externalId is there already), the stub and the beginning of the turn, in one append. */
export const beginTurn =
  (turnId: string, user: MessageInput | undefined, model: string | undefined): Command<number> =>
  (state, nextId) => {
    const drafts: TimedDraft[] = [];
    if (user !== undefined && knownExternalId(state, user.externalId) === undefined) {
      drafts.push({ type: "MessageSaved", data: { messageId: nextId(), ...user } });
    }
    const messageId = nextId();
    const data = { turnId, messageId, kind: "new" as const, ...(model === undefined ? {} : { model }) };
    drafts.push(stub(messageId), { type: "TurnStarted", data, turnId });
    return { drafts, result: messageId };
  };

/**
 * A new turn on the newest assistant message, its present answer moved behind the branches in the same append, so
 * that no crash can lose it. Without such a message, or with a user message after it, a new turn begins.
 */
export const regenerate =
  (turnId: string, model: string | undefined): Command<number> =>
  (state, nextId) => {
    const answer = state.messages.newestOf("assistant", "user");
    if (answer?.role !== "assistant") return beginTurn(turnId, undefined, model)(state, nextId);
    const messageId = answer.id;
    const data = {
      turnId,
      messageId,
      kind: "regenerate" as const,
      ...(model === undefined ? {} : { model }),
    };
    const drafts: TimedDraft[] = [
      { type: "TurnStarted", data, turnId, cause: "regenerate" },
      { type: "BranchesUpdated", data: { messageId, pushContent: true }, turnId, cause: "regenerate" },
    ];
    return { drafts, result: messageId };
  };

/** Shows another variant of a message. */
export const selectBranch =
  (sessionId: string, id: number, activeBranch: number): Command<void> =>
  (state) => {
    const message = currentMessage(state, id, sessionId);
    if (message.status === "open") {
      throw new StateError(
        "turn-open",
        `Message ${id} is being written: end its turn before another branch of it is selected.`,
      );
    }
    checkBranch(message.branchesJson, activeBranch);
    const data = { messageId: id, activeBranch };
    const isUnchanged = message.activeBranch === activeBranch;
    return {
      drafts: isUnchanged ? [] : [{ type: "BranchesUpdated", data, cause: "select-branch" }],
      result: undefined,
    };
  };

export const updateBranches =
  (
    sessionId: string,
    id: number,
    content: string,
    branchesJson: string,
    activeBranch: number,
  ): Command<void> =>
  (state) => {
    const message = currentMessage(state, id, sessionId);
    if (typeof content !== "string") {
      throw new InvalidInputError("invalid-content", `A content is a string, not ${typeof content}.`);
    }
    if (typeof branchesJson !== "string") parseBranches(branchesJson);
    const data: EventData["BranchesUpdated"] = { messageId: id };
    const splice = findSplice(message.content.toString(), content);
    if (splice !== undefined) {
      data.content = [splice];
      data.length = content.length;
    }
    const branchesSplice = findSplice(message.branchesJson, branchesJson);
    if (branchesSplice !== undefined) data.branches = [branchesSplice];
    if (activeBranch !== message.activeBranch) data.activeBranch = activeBranch;
    if (data.branches !== undefined || data.activeBranch !== undefined)
      checkBranch(branchesJson, activeBranch);
    const isUnchanged =
      splice === undefined && data.branches === undefined && data.activeBranch === undefined;
    return {
      drafts: isUnchanged ? [] : [{ type: "BranchesUpdated", data, cause: "update" }],
      result: undefined,
      content: { messageId: id, text: content },
    };
  };

/** @throws {NotFoundError} `branch-not-found`: the index counts the branches and, behind them, the content. */
export function checkBranch(branchesJson: string, activeBranch: number): void {
  const { length } = parseBranches(branchesJson);
  if (Number.isSafeInteger(activeBranch) && activeBranch >= 0 && activeBranch <= length) return;
  throw new NotFoundError(
    "branch-not-found",
    `Branch ${String(activeBranch)} does not exist: the message has the variants 0 to ${length}.`,
  );
}

export const endTurn =
  (sessionId: string, id: number, outcome: Outcome, usage: Usage | undefined): Command<void> =>
  (state) => {
    const message = currentMessage(state, id, sessionId);
    // An older turn on the same message, superseded by a regenerate, is not this call's to end.
    const turn = message.turnId === undefined ? undefined : state.unendedTurns.get(message.turnId);
    if (message.role !== "assistant" || (turn === undefined && isEnded(message))) {
      throw new StateError(
        "turn-ended",
        `Message ${id} has no turn to end: it is ${message.role}, ${message.status}.`,
      );
    }
    const data: EventData["TurnEnded"] = {
      messageId: id,
      outcome,
      content: contentChecksum(message.content.toString()),
    };
    if (turn !== undefined) data.turnId = turn.turnId;
    if (usage !== undefined) data.usage = usage;
    return { drafts: [{ type: "TurnEnded", data }], result: undefined, seal: true };
  };

function isEnded(message: FoldedMessage): boolean {
  return ["finished", "aborted", "failed", "interrupted"].includes(message.status);
}

/** A message to keep by its id, or a new one. */
export type Replacement = { keep: number; count?: number } | MessageInput;

/** The list is taken as computed at the first attempt: a message that arrives between two attempts is later, and stays. */
export function replaceMessages(sessionId: string, replacements: readonly Replacement[]): Command<void> {
  let through: number | undefined;
  return (state, nextId) => {
    through ??= state.revision;
    const kept = new Set<number>();
    const messages = replacements.flatMap((entry): ReplacementEntry[] => {
      if (!("keep" in entry)) return [{ messageId: nextId(), ...entry }];
      const ids = keptIds(state, entry, sessionId);
      for (const id of ids) {
        if (kept.has(id)) throw new InvalidInputError("invalid-replacement", `Message ${id} is kept twice.`);
        kept.add(id);
      }
      return ids.map((keep) => ({ keep }));
    });
    const data = { through, messages: joinRuns(state, messages), reason: "replace" as const };
    return { drafts: [{ type: "MessagesReplaced", data }], result: undefined };
  };
}

export interface Compaction {
  /** The revision that it was computed from. */
  through: number;
  /** Ids of the conversation as it was read. */
  before: readonly number[];
  keep: readonly number[];
  /** Text of a system message before what is kept. */
  summary: string | undefined;
}

/** Undefined where the messages are no longer those that were read: somebody replaced or deleted them. */
export const compactMessages =
  ({ through, before, keep, summary }: Compaction): Command<{ summaryId: number | undefined } | undefined> =>
  (state, nextId) => {
    const current = state.messages.current();
    const isAsRead = before.every((id, index) => current[index]?.id === id);
    if (!isAsRead) return { drafts: [], result: undefined };
    const summaryId = summary === undefined ? undefined : nextId();
    const messages: ReplacementEntry[] = keep.map((id) => ({ keep: id }));
    if (summary !== undefined && summaryId !== undefined) {
      messages.unshift({ messageId: summaryId, role: "system", format: "text", content: summary });
    }
    const data = { through, messages: joinRuns(state, messages), reason: "compaction" as const };
    return { drafts: [{ type: "MessagesReplaced", data, cause: "compaction" }], result: { summaryId } };
  };

/** Kept messages that follow each other in the conversation become one entry with a count. */
function joinRuns(state: Conversation, entries: readonly ReplacementEntry[]): ReplacementEntry[] {
  const index = new Map(state.messages.current().map(({ id }, place) => [id, place]));
  const joined: ReplacementEntry[] = [];
  let end = -1;
  for (const entry of entries) {
    const place = "keep" in entry ? index.get(entry.keep) : undefined;
    const run = joined.at(-1);
    if (place !== undefined && place === end && run !== undefined && "keep" in run) {
      run.count = (run.count ?? 1) + 1;
    } else {
      joined.push({ ...entry });
    }
    end = place === undefined ? -1 : place + 1;
  }
  return joined;
}

function keptIds(state: Conversation, entry: { keep: number; count?: number }, sessionId: string): number[] {
  const first = state.messages.get(entry.keep);
  if (first === undefined) throw messageNotFound(entry.keep, sessionId);
  const count = entry.count ?? 1;
  if (count === 1) return [first.id];
  const current = state.messages.current();
  const start = current.indexOf(first);
  const run =
    Number.isSafeInteger(count) && count > 0 && start >= 0 ? current.slice(start, start + count) : [];
  if (run.length === 0 || run.length !== count) {
    throw new InvalidInputError(
      "invalid-replacement",
      `There is no run of ${String(count)} messages from message ${entry.keep} on in session "${sessionId}".`,
    );
  }
  return run.map((message) => message.id);
}

export const updateSession =
  (changes: EventData["SessionUpdated"]): Command<void> =>
  (state) => {
    const sameTitle = changes.title === undefined || (changes.title ?? undefined) === state.title;
    const sameMetadata =
      changes.metadata === undefined ||
      JSON.stringify(changes.metadata ?? undefined) === JSON.stringify(state.metadata);
    const drafts: TimedDraft[] = sameTitle && sameMetadata ? [] : [{ type: "SessionUpdated", data: changes }];
    return { drafts, result: undefined };
  };

/** Deleting what does not exist is no error and writes nothing. */
export const deleteSession = (): Command<void> => (state) => ({
  drafts: state.exists ? [{ type: "SessionDeleted", data: {} }] : [],
  result: undefined,
  seal: true,
});

/** @throws {NotFoundError} `message-not-found` for an unknown message and for one that has been replaced. */
export function currentMessage(state: Conversation, id: number, sessionId: string): FoldedMessage {
  const message = state.messages.get(id);
  if (message === undefined || message.replaced) throw messageNotFound(id, sessionId);
  return message;
}
