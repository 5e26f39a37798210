import type { StoredPart } from "../events/stored-part.ts";
import { parseBranches } from "../projections/message-branches.ts";
import type { SessionState } from "../projections/session-state.ts";
import type { StoredMessage } from "../projections/stored-message.ts";
import { type TextPiece, diffTexts } from "./diff-text.ts";

/** One thing that is different. */
export type DiffChange =
  | { kind: "title"; from: string | null; to: string | null }
  | { kind: "metadata"; from: Record<string, unknown> | null; to: Record<string, unknown> | null }
  /** The messages that both have stand in another order: their ids. */
  | { kind: "order"; from: number[]; to: number[] }
  /** `after`: the message before it, null for the first. */
  | { kind: "message-added"; messageId: number; after: number | null; message: StoredMessage }
  | { kind: "message-removed"; messageId: number; message: StoredMessage }
  | MessageChange;

/** What became of one message. */
export type MessageChange = { messageId: number } & (
  | { kind: "status"; from: string; to: string }
  | { kind: "branch"; from: Variants; to: Variants }
  /** Text of a text or reasoning part, or of a tool call's input. */
  | { kind: "text"; part: number; of: "text" | "reasoning" | "input"; pieces: TextPiece[] }
  | { kind: "tool"; part: number; name: string; toolId: string; from: string; to: string; output: unknown }
  | { kind: "part-added" | "part-removed"; part: number; value: StoredPart }
  | { kind: "part-changed"; part: number; from: StoredPart; to: StoredPart }
  /** Any other field of the message, or its content where its parts say nothing of the difference. */
  | { kind: "field"; name: string; from: unknown; to: unknown }
);

interface Variants {
  active: number;
  count: number;
}

/** What turned one state of a session into the other; nothing where all that they show is the same but times of change. */
export function diffStates(before: SessionState, after: SessionState): DiffChange[] {
  const changes: DiffChange[] = [];
  if (before.title !== after.title)
    changes.push({ kind: "title", from: before.title ?? null, to: after.title ?? null });
  if (!isEqual(before.metadata, after.metadata))
    changes.push({ kind: "metadata", from: before.metadata ?? null, to: after.metadata ?? null });
  const then = new Map(before.messages.map((message) => [message.id, message]));
  const now = new Map(after.messages.map((message) => [message.id, message]));
  const common = (messages: StoredMessage[]): number[] =>
    messages.map(({ id }) => id).filter((id) => then.has(id) && now.has(id));
  const [from, to] = [common(before.messages), common(after.messages)];
  if (!isEqual(from, to)) changes.push({ kind: "order", from, to });
  for (const message of before.messages)
    if (!now.has(message.id)) changes.push({ kind: "message-removed", messageId: message.id, message });
  let last: number | null = null;
  for (const message of after.messages) {
    const old = then.get(message.id);
    if (old === undefined)
      changes.push({ kind: "message-added", messageId: message.id, after: last, message });
    else changes.push(...diffMessages(old, message));
    last = message.id;
  }
  return changes;
}

const OTHER_FIELDS = ["role", "usage", "finishReason", "error", "metadata", "externalId"] as const;

function diffMessages(before: StoredMessage, after: StoredMessage): MessageChange[] {
  const messageId = after.id;
  const changes: MessageChange[] = [];
  if (before.status !== after.status)
    changes.push({ messageId, kind: "status", from: before.status, to: after.status });
  const variants = (message: StoredMessage): Variants => ({
    active: message.activeBranch,
    count: parseBranches(message.branchesJson).length + 1,
  });
  if (before.branchesJson !== after.branchesJson || before.activeBranch !== after.activeBranch)
    changes.push({ messageId, kind: "branch", from: variants(before), to: variants(after) });
  const parts = diffParts(before.parts, after.parts).map(
    (change) => ({ messageId, ...change }) as MessageChange,
  );
  changes.push(...parts);
  if (before.content !== after.content && parts.length === 0)
    changes.push({ messageId, kind: "field", name: "content", from: before.content, to: after.content });
  for (const name of OTHER_FIELDS) {
    if (!isEqual(before[name], after[name]))
      changes.push({ messageId, kind: "field", name, from: before[name] ?? null, to: after[name] ?? null });
  }
  return changes;
}

type PartDifference = MessageChange extends infer Change
  ? Change extends { part: number }
    ? Omit<Change, "messageId">
    : never
  : never;

function diffParts(before: readonly StoredPart[], after: readonly StoredPart[]): PartDifference[] {
  const changes: PartDifference[] = [];
  const most = Math.max(before.length, after.length);
  for (let part = 0; part < most; part++) {
    const [then, now] = [before[part], after[part]];
    if (then === undefined && now !== undefined) changes.push({ kind: "part-added", part, value: now });
    else if (then !== undefined && now === undefined)
      changes.push({ kind: "part-removed", part, value: then });
    else if (then !== undefined && now !== undefined && !isEqual(then, now))
      changes.push(...diffPart(then, now, part));
  }
  return changes;
}

function diffPart(then: StoredPart, now: StoredPart, part: number): PartDifference[] {
  const [old, fresh] = [then, now] as unknown as [Fields, Fields];
  const isSameTool = now.kind === "tool" && old["tool_id"] === fresh["tool_id"];
  const isText = now.kind === "text" || now.kind === "reasoning";
  const field = isText ? "text" : "input";
  const [before, after] = [old[field], fresh[field]];
  const canBeCompared = then.kind === now.kind && typeof before === "string" && typeof after === "string";
  if (!canBeCompared || !(isText || isSameTool)) return [{ kind: "part-changed", part, from: then, to: now }];
  const changes: PartDifference[] = [];
  if (before !== after) {
    const of = isText ? (now.kind as "text" | "reasoning") : "input";
    changes.push({ kind: "text", part, of, pieces: diffTexts(before, after) });
  }
  if (isEqual({ ...old, [field]: "" }, { ...fresh, [field]: "" })) return changes;
  if (isText) changes.push({ kind: "part-changed", part, from: then, to: now });
  else {
    changes.push({
      kind: "tool",
      part,
      name: String(fresh["name"]),
      toolId: String(fresh["tool_id"]),
      from: String(old["state"]),
      to: String(fresh["state"]),
      output: fresh["output"] ?? null,
    });
  }
  return changes;
}

type Fields = Readonly<Record<string, unknown>>;

function isEqual(a: unknown, b: unknown): boolean {
  return a === b || JSON.stringify(a) === JSON.stringify(b);
}
