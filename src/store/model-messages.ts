import type { FilePart, StoredPart, ToolPart } from "../events/stored-part.ts";
import type { StoredMessage } from "../projections/stored-message.ts";
import type {
  AssistantModelPart,
  FileModelPart,
  ModelMessage,
  ProviderOptions,
  SystemModelMessage,
  ToolModelPart,
  UserModelMessage,
} from "./model-message-types.ts";
import { mergeProviderMetadata } from "./parts-json.ts";
import {
  OWN_METADATA,
  type StepContent,
  activeParts,
  approvalOf,
  awaitsApproval,
  hasOutcome,
  metadataOf,
  plainText,
  splitSteps,
} from "./prompt-steps.ts";
import { inputValue, providerOptionsOf, recordedResult, syntheticResult } from "./tool-model-parts.ts";

/** What goes into a prompt. */
export interface ModelMessagesOptions {
  /**
   * Whether reasoning goes back to the model, signatures included. Default false. Some providers want it back
   * together with the tool calls that it led to.
   */
  reasoning?: boolean | undefined;
}

/** One message of the prompt, or one step of an assistant message, which may become two. */
type Entry = { message: ModelMessage } | { step: StepContent[] };

/**
 * The prompt that these messages are: of each the active variant, assistant messages expanded step by step into
 * assistant and tool messages.
 *
 * A call without a result gets one that says what is known (`MISSING_RESULT_TEXT`), except where the prompt ends
 * with calls that a human is asked about or has just approved: the SDK goes on from there. Results in messages
 * of the role `tool` are put behind their calls; results without a call are left out, as are sources, parts of
 * unknown kinds, and messages that say nothing. Never throws: whatever is stored makes a valid prompt.
 */
export function toModelMessages(
  messages: readonly StoredMessage[],
  { reasoning = false }: ModelMessagesOptions = {},
): ModelMessage[] {
  const entries = new PromptEntries(reasoning).of(messages);
  return entries.flatMap((entry, index) =>
    "message" in entry ? [entry.message] : stepMessages(entry.step, index === entries.length - 1),
  );
}

class PromptEntries {
  readonly #entries: Entry[] = [];
  readonly #keepsReasoning: boolean;
  /** All calls so far, in order. They may still get results from later messages. */
  readonly #calls: ToolPart[] = [];
  /** Those of the newest assistant message. */
  #newestCalls: ToolPart[] = [];
  /** Those since the last user message that a human approved and nobody has run. */
  #approved: ToolPart[] = [];

  constructor(keepsReasoning: boolean) {
    this.#keepsReasoning = keepsReasoning;
  }

  of(messages: readonly StoredMessage[]): Entry[] {
    for (const message of messages) this.#add(message);
    return this.#entries;
  }

  #add(message: StoredMessage): void {
    const text = plainText(message);
    if (message.role === "tool") this.#addResults(message, text);
    else if (text !== undefined) this.#addMessage({ role: message.role, content: text });
    else if (message.role === "assistant") this.#addSteps(activeParts(message));
    else if (message.role === "user") this.#addUser(activeParts(message));
    else this.#addSystem(activeParts(message));
  }

  #addMessage(message: ModelMessage): void {
    if (message.content.length === 0) return;
    if (message.role === "user") this.#approved = [];
    this.#entries.push({ message });
  }

  #addSteps(parts: readonly StoredPart[]): void {
    this.#newestCalls = [];
    for (const step of splitSteps(parts)) {
      const kept = step.filter((part) => this.#goesIntoPrompt(part));
      if (kept.length > 0) this.#entries.push({ step: kept });
    }
    this.#approved.push(
      ...this.#newestCalls.filter((call) => approvalOf(call)?.approved === true && awaitsApproval(call)),
    );
  }

  #goesIntoPrompt(part: StepContent): boolean {
    if (part.kind === "source") return false;
    if (part.kind === "reasoning") return this.#keepsReasoning;
    if (part.kind !== "tool") return true;
    const approved = this.#approved.find(
      ({ tool_id, name }) => tool_id === part.tool_id && name === part.name,
    );
    if (approved === undefined) {
      this.#calls.push(part);
      this.#newestCalls.push(part);
      return true;
    }
    // Approved in the turn before, run in this one: the result belongs behind the call that was approved.
    Object.assign(approved, { ...part, approval: approved.approval });
    this.#approved = this.#approved.filter((call) => call !== approved);
    return false;
  }

  #addResults(message: StoredMessage, text: string | undefined): void {
    if (text !== undefined) {
      // A plain text names no call: it can only be the result of the only one that waits for one.
      const [onlyCall, ...others] = this.#newestCalls.filter((call) => !hasOutcome(call));
      if (onlyCall !== undefined && others.length === 0)
        Object.assign(onlyCall, { output: text, state: "output-available" });
      return;
    }
    for (const result of splitSteps(activeParts(message)).flat()) {
      if (result.kind !== "tool" || !hasOutcome(result)) continue;
      const call = this.#calls.findLast((call) => call.tool_id === result.tool_id && !hasOutcome(call));
      if (call === undefined) continue;
      call.state = result.state;
      call.output = result.output;
      if (result.approval !== undefined) call.approval = { ...call.approval, ...result.approval };
      call.providerMetadata = mergeProviderMetadata(metadataOf(call), metadataOf(result));
    }
  }

  #addUser(parts: readonly StoredPart[]): void {
    const content: Exclude<UserModelMessage["content"], string> = [];
    for (const part of splitSteps(parts).flat()) {
      if (part.kind === "text") content.push({ type: "text", text: part.text, ...providerOptionsOf(part) });
      else if (part.kind === "file") content.push(isPlainImage(part) ? imagePart(part) : filePart(part));
    }
    this.#addMessage({ role: "user", content });
  }

  #addSystem(parts: readonly StoredPart[]): void {
    const texts = splitSteps(parts)
      .flat()
      .filter((part) => part.kind === "text");
    const content = texts.map((part) => part.text).join("");
    const metadata = texts.map(metadataOf).reduce(mergeProviderMetadata, undefined);
    const message: SystemModelMessage = { role: "system", content };
    if (metadata !== undefined) message.providerOptions = metadata as ProviderOptions;
    this.#addMessage(message);
  }
}

function stepMessages(step: readonly StepContent[], isLast: boolean): ModelMessage[] {
  const content: AssistantModelPart[] = [];
  const results: ToolModelPart[] = [];
  for (const part of step) {
    if (part.kind === "text" || part.kind === "reasoning")
      content.push({ type: part.kind, text: part.text, ...providerOptionsOf(part) });
    else if (part.kind === "file") content.push(filePart(part));
    else if (part.kind === "tool") addCall(part, isLast, content, results);
  }
  return [
    { role: "assistant", content },
    ...(results.length > 0 ? [{ role: "tool" as const, content: results }] : []),
  ];
}

function addCall(
  tool: ToolPart,
  isLast: boolean,
  content: AssistantModelPart[],
  results: ToolModelPart[],
): void {
  const isProviders = tool.provider_executed === true;
  content.push({
    type: "tool-call",
    toolCallId: tool.tool_id,
    toolName: tool.name,
    input: inputValue(tool.input),
    ...(isProviders ? { providerExecuted: true } : {}),
    ...providerOptionsOf(tool),
  });
  const approval = approvalOf(tool);
  if (approval !== undefined) {
    const { id, approved, reason } = approval;
    const signature = tool.providerMetadata?.[OWN_METADATA]?.["approvalSignature"];
    content.push({
      type: "tool-approval-request",
      approvalId: id,
      toolCallId: tool.tool_id,
      ...(typeof signature === "string" ? { signature } : {}),
    });
    if (approved !== undefined) {
      results.push({
        type: "tool-approval-response",
        approvalId: id,
        approved,
        ...(reason === undefined ? {} : { reason }),
        ...(isProviders ? { providerExecuted: true } : {}),
      });
    }
  }
  if (isLast && awaitsApproval(tool)) return;
  // A provider is told of the refusal by the response alone: the tool is its own.
  if (isProviders && tool.state === "output-denied") return;
  (isProviders ? content : results).push(recordedResult(tool) ?? syntheticResult(tool));
}

/** An image part has no name: a named image is sent as a file. */
function isPlainImage(part: FilePart): boolean {
  return part.mediaType.startsWith("image/") && part.filename === undefined;
}

const imagePart = (part: FilePart) =>
  ({
    type: "image",
    image: part.url ?? part.data ?? "",
    mediaType: part.mediaType,
    ...providerOptionsOf(part),
  }) as const;

function filePart(part: FilePart): FileModelPart {
  return {
    type: "file",
    data: part.url ?? part.data ?? "",
    mediaType: part.mediaType,
    ...(typeof part.filename === "string" ? { filename: part.filename } : {}),
    ...providerOptionsOf(part),
  };
}
