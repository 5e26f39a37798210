import {
  type FilePart,
  type ProviderMetadata,
  type ReasoningPart,
  type SourcePart,
  type StoredPart,
  type TextPart,
  type ToolPart,
  type ToolState,
  parseParts,
} from "../events/stored-part.ts";
import { variantContent } from "../projections/message-branches.ts";
import type { StoredMessage } from "../projections/stored-message.ts";

/**
 * What prompts and displays have in common: a message's active variant, read leniently (contents are whatever
 * was written), and cut into the steps of which each was one model call.
 */

export type StepContent = TextPart | ReasoningPart | FilePart | SourcePart | ToolPart;

/** The parts of the variant that is shown: the content, or the branch that was selected. */
export function activeParts(message: StoredMessage): StoredPart[] {
  const content = variantContent(message.content, message.branchesJson, message.activeBranch);
  if (content === message.content) return message.parts;
  return parseParts(content) ?? [{ kind: "text", text: content }];
}

/** The text of a message whose active variant is plain text, else undefined. */
export function plainText(message: StoredMessage): string | undefined {
  const [part, ...others] = activeParts(message);
  if (part?.kind !== "text" || others.length > 0) return undefined;
  // A content of parts is JSON and longer than the text in it: only a plain text equals its own part.
  const content = variantContent(message.content, message.branchesJson, message.activeBranch);
  return part["text"] === content ? content : undefined;
}

/**
 * Cuts parts into steps. A step part ends one; so do text, reasoning or a file behind the result of a tool that
 * the runtime ran, because the model had seen the result when it wrote them. Left out are parts of unknown
 * kinds, parts that are not what their kind says, and texts that say nothing.
 */
export function splitSteps(parts: readonly StoredPart[]): StepContent[][] {
  const steps: StepContent[][] = [];
  let step: StepContent[] = [];
  const endStep = (): void => {
    if (step.length > 0) steps.push(step);
    step = [];
  };
  for (const stored of parts) {
    if (stored.kind === "step") endStep();
    const part = readPart(stored);
    if (part === undefined) continue;
    const isWritten = part.kind === "text" || part.kind === "reasoning" || part.kind === "file";
    if (isWritten && step.some((earlier) => earlier.kind === "tool" && isAnswered(earlier))) endStep();
    step.push(part);
  }
  endStep();
  return steps;
}

function isAnswered(tool: ToolPart): boolean {
  return tool.provider_executed !== true && hasOutcome(tool);
}

/** True where it is known how the call ended. */
export function hasOutcome(tool: ToolPart): boolean {
  return tool.state.startsWith("output-");
}

function readPart(part: StoredPart): StepContent | undefined {
  switch (part.kind) {
    case "text":
    case "reasoning":
      return readText(part as TextPart | ReasoningPart);
    case "file":
      return readFile(part as FilePart);
    case "source":
      return part as SourcePart;
    case "tool":
      return readTool(part as ToolPart);
    default:
      return undefined;
  }
}

function readText(part: TextPart | ReasoningPart): TextPart | ReasoningPart | undefined {
  if (typeof part.text !== "string") return undefined;
  return part.text === "" && metadataOf(part) === undefined ? undefined : part;
}

function readFile(part: FilePart): FilePart | undefined {
  const isFile =
    typeof part.mediaType === "string" && (typeof part.url === "string" || typeof part.data === "string");
  return isFile ? part : undefined;
}

const TOOL_STATES: readonly ToolState[] = [
  "input-streaming",
  "input-available",
  "approval-requested",
  "approval-responded",
  "output-available",
  "output-error",
  "output-denied",
];

/** A copy with a state that agrees with the rest: an output that is there counts, whatever the state says. */
function readTool(part: ToolPart): ToolPart | undefined {
  const { tool_id, name, input, output, approval } = part as Record<keyof ToolPart, unknown>;
  if (typeof tool_id !== "string" || typeof name !== "string") return undefined;
  const known = TOOL_STATES.find((state) => state === part.state) ?? "input-available";
  const isAsked = isRecord(approval);
  let state: ToolState = known;
  if (!known.startsWith("output-") && output !== undefined) state = "output-available";
  else if (!known.startsWith("output-") && isAsked && approval["approved"] === false) state = "output-denied";
  const { approval: _approval, started_at, ...rest } = part;
  return {
    ...rest,
    input: typeof input === "string" ? input : (JSON.stringify(input) ?? ""),
    state,
    ...(typeof started_at === "number" ? { started_at } : {}),
    ...(isAsked ? { approval } : {}),
  };
}

export interface Approval {
  id: string;
  approved?: boolean;
  reason?: string;
}

/** What a human was asked and answered, where the call was put before one. Without an id of its own, the call's. */
export function approvalOf(tool: ToolPart): Approval | undefined {
  const isDenied = tool.state === "output-denied";
  if (tool.approval === undefined && !isDenied && !tool.state.startsWith("approval-")) return undefined;
  const { id, approved, reason } = tool.approval ?? {};
  const approval: Approval = { id: typeof id === "string" ? id : tool.tool_id };
  if (isDenied) approval.approved = false;
  else if (typeof approved === "boolean") approval.approved = approved;
  else if (tool.state === "approval-responded") approval.approved = true;
  if (typeof reason === "string") approval.reason = reason;
  return approval;
}

/** True while the call waits for a human's word, or has just got it and was not started. */
export function awaitsApproval(tool: ToolPart): boolean {
  return !hasOutcome(tool) && tool.started_at === undefined && approvalOf(tool) !== undefined;
}

/** The key under which our own facts stand among a provider's: never sent as the provider's. */
export const OWN_METADATA = "turnlog";

/** What providers said of a part, without our own facts; undefined where they said nothing. */
export function metadataOf(part: { providerMetadata?: unknown }): ProviderMetadata | undefined {
  const { providerMetadata } = part;
  if (!isRecord(providerMetadata)) return undefined;
  const entries = Object.entries(providerMetadata).filter(
    (entry): entry is [string, Record<string, unknown>] => entry[0] !== OWN_METADATA && isRecord(entry[1]),
  );
  return entries.length === 0 ? undefined : Object.fromEntries(entries);
}

export function isRecord(value: unknown): value is Record<string, unknown> {
  return typeof value === "object" && value !== null && !Array.isArray(value);
}
