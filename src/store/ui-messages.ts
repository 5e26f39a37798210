import type {
  FilePart,
  ReasoningPart,
  SourcePart,
  StoredPart,
  TextPart,
  ToolPart,
} from "../events/stored-part.ts";
import { parseBranches } from "../projections/message-branches.ts";
import type { MessageStatus, StoredMessage } from "../projections/stored-message.ts";
import type { ProviderOptions } from "./model-message-types.ts";
import {
  type StepContent,
  activeParts,
  approvalOf,
  awaitsApproval,
  hasOutcome,
  metadataOf,
  splitSteps,
} from "./prompt-steps.ts";
import { MISSING_RESULT_TEXT, inputValue, missingResult } from "./tool-model-parts.ts";
import type { ToolUIState, UIMessage, UIMessageMetadata, UIMessagePart } from "./ui-message-types.ts";

/** How messages are shown. */
export interface UIMessagesOptions {
  /** Show calls as `dynamic-tool` parts, as the SDK does for tools without a type, not as `tool-NAME`. Default false. */
  dynamicTools?: boolean | undefined;
}

/** Statuses in which nobody will add a result any more. */
const CUT_SHORT: readonly MessageStatus[] = ["superseded", "aborted", "failed", "interrupted"];

/**
 * These messages for display: of each the active variant. Of a turn that was cut short, a call without a result
 * is shown as an error that says what is known (`MISSING_RESULT_TEXT`), so that no display waits for ever.
 * Messages of the role `tool` are shown as the results of their calls. Never throws.
 */
export function toUIMessages(
  messages: readonly StoredMessage[],
  { dynamicTools = false }: UIMessagesOptions = {},
): UIMessage[] {
  const shown: UIMessage[] = [];
  const waiting: OpenCall[] = [];
  for (const message of messages) {
    if (message.role === "tool") {
      addResults(activeParts(message), waiting);
      continue;
    }
    const parts = new DisplayedParts(message, dynamicTools, waiting).of(activeParts(message));
    // The SDK refuses messages without parts, except an answer that has not begun.
    if (parts.length === 0 && message.role !== "assistant")
      parts.push({ type: "text", text: "", state: "done" });
    shown.push({ id: String(message.id), role: message.role, metadata: metadataOfMessage(message), parts });
  }
  return shown;
}

/** A call that is shown and has no result yet. */
interface OpenCall {
  tool: ToolPart;
  show(answered: ToolPart): void;
}

function addResults(parts: readonly StoredPart[], waiting: OpenCall[]): void {
  for (const result of splitSteps(parts).flat()) {
    if (result.kind !== "tool" || !hasOutcome(result)) continue;
    const index = waiting.findLastIndex(({ tool }) => tool.tool_id === result.tool_id);
    const [call] = index < 0 ? [] : waiting.splice(index, 1);
    call?.show({ ...call.tool, state: result.state, output: result.output });
  }
}

function metadataOfMessage(message: StoredMessage): UIMessageMetadata {
  const { status, activeBranch, usage, finishReason, error, externalId } = message;
  return {
    ...message.metadata,
    turnlog: {
      status,
      createdAt: message.createdAt.toISOString(),
      updatedAt: message.updatedAt.toISOString(),
      variants: parseBranches(message.branchesJson).length + 1,
      activeBranch,
      ...(usage === undefined ? {} : { usage }),
      ...(finishReason === undefined ? {} : { finishReason }),
      ...(error === undefined ? {} : { error }),
      ...(externalId === undefined ? {} : { externalId }),
    },
  };
}

class DisplayedParts {
  readonly #message: StoredMessage;
  readonly #dynamicTools: boolean;
  readonly #waiting: OpenCall[];
  readonly #parts: UIMessagePart[] = [];
  #sources = 0;

  constructor(message: StoredMessage, dynamicTools: boolean, waiting: OpenCall[]) {
    this.#message = message;
    this.#dynamicTools = dynamicTools;
    this.#waiting = waiting;
  }

  of(stored: readonly StoredPart[]): UIMessagePart[] {
    for (const step of splitSteps(stored)) {
      if (this.#message.role === "assistant") this.#parts.push({ type: "step-start" });
      for (const part of step) this.#add(part);
    }
    const newest = this.#parts.at(-1);
    const isGrowing = this.#message.status === "open" || this.#message.status === "filling";
    if (isGrowing && (newest?.type === "text" || newest?.type === "reasoning")) newest.state = "streaming";
    return this.#parts;
  }

  #add(part: StepContent): void {
    switch (part.kind) {
      case "text":
      case "reasoning":
        this.#parts.push({ type: part.kind, text: part.text, state: "done", ...providerMetadata(part) });
        return;
      case "file":
        this.#parts.push(filePart(part));
        return;
      case "source":
        this.#addSource(part);
        return;
      case "tool":
        this.#addTool(part);
    }
  }

  #addTool(tool: ToolPart): void {
    const index = this.#parts.push(this.#toolPart(tool)) - 1;
    if (hasOutcome(tool)) return;
    this.#waiting.push({ tool, show: (answered) => (this.#parts[index] = this.#toolPart(answered)) });
  }

  #toolPart(tool: ToolPart): UIMessagePart {
    const metadata = metadataOf(tool) as ProviderOptions | undefined;
    const base = {
      toolCallId: tool.tool_id,
      ...(tool.provider_executed === true ? { providerExecuted: true } : {}),
      ...(metadata === undefined ? {} : { callProviderMetadata: metadata }),
      ...toolState(tool, CUT_SHORT.includes(this.#message.status)),
    };
    return this.#dynamicTools
      ? { type: "dynamic-tool", toolName: tool.name, ...base }
      : { type: `tool-${tool.name}`, ...base };
  }

  #addSource(source: SourcePart): void {
    const { id, sourceId, url, title, mediaType, filename } = source;
    const names = [sourceId, id].find((name) => typeof name === "string") as string | undefined;
    const base = {
      sourceId: names ?? `source-${this.#message.id}-${++this.#sources}`,
      ...providerMetadata(source),
    };
    const named = typeof title === "string" ? { title } : {};
    if (typeof url === "string") this.#parts.push({ type: "source-url", url, ...base, ...named });
    else if (typeof mediaType === "string" || typeof title === "string" || typeof filename === "string") {
      const name = typeof filename === "string" ? { filename } : {};
      this.#parts.push({
        type: "source-document",
        mediaType: typeof mediaType === "string" ? mediaType : "application/octet-stream",
        title: named.title ?? name.filename ?? "",
        ...base,
        ...name,
      });
    }
  }
}

function toolState(tool: ToolPart, isCutShort: boolean): ToolUIState {
  const input = inputValue(tool.input);
  const { id, approved, reason } = approvalOf(tool) ?? { id: "" };
  const because = reason === undefined ? {} : { reason };
  const granted = approved === true ? { approval: { id, approved, ...because } } : {};
  if (isCutShort && !hasOutcome(tool) && !awaitsApproval(tool))
    return { state: "output-error", input, errorText: MISSING_RESULT_TEXT[missingResult(tool)], ...granted };
  switch (tool.state) {
    case "input-streaming":
      return { state: tool.state, input, rawInput: tool.input };
    case "input-available":
      return { state: tool.state, input };
    case "approval-requested":
      return { state: tool.state, input, approval: { id } };
    case "approval-responded":
      return { state: tool.state, input, approval: { id, approved: approved ?? true, ...because } };
    case "output-available":
      return { state: tool.state, input, output: tool.output ?? null, ...granted };
    case "output-error":
      return { state: tool.state, input, errorText: errorText(tool.output), ...granted };
    case "output-denied":
      return { state: tool.state, input, approval: { id, approved: false, ...because } };
  }
}

function errorText(output: unknown): string {
  return typeof output === "string" ? output : (JSON.stringify(output) ?? "");
}

function filePart(part: FilePart): UIMessagePart {
  return {
    type: "file",
    mediaType: part.mediaType,
    ...(typeof part.filename === "string" ? { filename: part.filename } : {}),
    url: part.url ?? `data:${part.mediaType};base64,${part.data ?? ""}`,
    ...providerMetadata(part),
  };
}

function providerMetadata(part: TextPart | ReasoningPart | FilePart | SourcePart): {
  providerMetadata?: ProviderOptions;
} {
  const metadata = metadataOf(part);
  return metadata === undefined ? {} : { providerMetadata: metadata as ProviderOptions };
}
