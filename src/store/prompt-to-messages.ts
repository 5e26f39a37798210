import { InvalidInputError } from "../errors.ts";
import type { Role } from "../events/conversation-event.ts";
import type { FilePart, ProviderMetadata, StoredPart, ToolPart } from "../events/stored-part.ts";
import type { ModelMessageInput } from "./model-message-types.ts";
import { mergeProviderMetadata } from "./parts-json.ts";
import { OWN_METADATA, hasOutcome, isRecord } from "./prompt-steps.ts";
import { rawInput } from "./tool-model-parts.ts";

/** A message as saveMessage takes it. */
export interface MessageFromPrompt {
  role: Role;
  content: string | StoredPart[];
}

/** True for a message of a prompt: its parts have a `type`, where stored ones have a `kind`. */
export function isModelMessage(message: object): message is ModelMessageInput {
  if ("providerOptions" in message) return true;
  const { content } = message as { content?: unknown };
  return (
    Array.isArray(content) && content.some((part) => isRecord(part) && "type" in part && !("kind" in part))
  );
}

/**
 * The messages that a prompt came from: the inverse of toModelMessages. A run of assistant and tool messages
 * becomes one message, with step parts between its steps; results go to their calls, and the results that
 * getMessages made up for calls without one are left out. A message's own providerOptions go to its last part.
 * @throws {InvalidInputError} `invalid-content` for parts other than text, reasoning, images, files, tool calls,
 * results and approvals, and for files that are neither bytes nor a URL.
 */
export function fromModelMessages(messages: readonly ModelMessageInput[]): MessageFromPrompt[] {
  return new PromptReader().read(messages);
}

/** A list of messages in which some are a prompt's: those become stored ones, the others stay as they are. */
export function expandPrompt<Other extends object>(
  messages: readonly (Other | ModelMessageInput)[],
): (Other | MessageFromPrompt)[] {
  const expanded: (Other | MessageFromPrompt)[] = [];
  let prompt: ModelMessageInput[] = [];
  const endPrompt = (): void => {
    expanded.push(...fromModelMessages(prompt));
    prompt = [];
  };
  for (const message of messages) {
    if (isModelMessage(message)) prompt.push(message);
    else {
      endPrompt();
      expanded.push(message);
    }
  }
  endPrompt();
  return expanded;
}

type Part = Readonly<Record<string, unknown>>;

class PromptReader {
  readonly #messages: MessageFromPrompt[] = [];
  /** The parts of the run of assistant and tool messages that is being read. */
  #run: StoredPart[] | undefined;
  readonly #calls: ToolPart[] = [];
  /** Those of the newest step: ids may be used again in a later one. */
  #stepCalls: ToolPart[] = [];
  /** The calls whose result, real or made up, has been read. */
  readonly #settled = new Set<ToolPart>();
  /** Outcomes that are kept apart from their calls. */
  readonly #outcomes = new Map<ToolPart, ToolPart>();

  read(messages: readonly ModelMessageInput[]): MessageFromPrompt[] {
    for (const message of messages) this.#add(message);
    return this.#messages.filter(({ content }) => content.length > 0);
  }

  #add(message: ModelMessageInput): void {
    const { role, content } = message;
    const options = metadataOfOptions(message);
    if (role === "tool" && typeof content !== "string") {
      for (const part of content) this.#addToolPart(part as unknown as Part);
    } else if (role === "assistant" && typeof content !== "string") {
      this.#addStep(content as unknown as readonly Part[], options);
    } else {
      this.#run = undefined;
      this.#messages.push({ role, content: plainContent(content, options) });
    }
  }

  #addStep(content: readonly Part[], options: ProviderMetadata | undefined): void {
    if (content.length === 0) return;
    if (this.#run === undefined) {
      this.#run = [];
      this.#messages.push({ role: "assistant", content: this.#run });
    } else this.#run.push({ kind: "step" });
    const run = this.#run;
    this.#stepCalls = [];
    for (const part of content) {
      if (part["type"] === "tool-call") run.push(this.#newCall(part));
      else if (part["type"] === "tool-result") this.#addResult(part, () => run);
      else if (part["type"] === "tool-approval-request") this.#addRequest(part);
      else run.push(writtenPart(part));
    }
    addOptions(run, options);
  }

  #addToolPart(part: Part): void {
    if (part["type"] === "tool-approval-response") return this.#addResponse(part);
    if (part["type"] !== "tool-result") throw unknownPart(part);
    this.#addResult(part, () => this.#newToolMessage());
  }

  #newToolMessage(): StoredPart[] {
    const content: StoredPart[] = [];
    this.#run = undefined;
    this.#messages.push({ role: "tool", content });
    return content;
  }

  /**
   * The part that bears a call's outcome: the call itself. But what stands behind an outcome counts as written
   * after it, so where the call's own step goes on, the outcome is kept in a message of its own.
   */
  #outcomeOf(call: ToolPart): ToolPart {
    const known = this.#outcomes.get(call);
    if (known !== undefined) return known;
    if (call.provider_executed === true || !this.#isWrittenBehind(call)) return call;
    const { tool_id, name } = call;
    const outcome: ToolPart = { kind: "tool", tool_id, name, input: "", state: "input-available" };
    this.#outcomes.set(call, outcome);
    this.#newToolMessage().push(outcome);
    return outcome;
  }

  #isWrittenBehind(call: ToolPart): boolean {
    const parts = this.#messages.findLast(({ content }) => (content as unknown[]).includes(call))?.content;
    if (!Array.isArray(parts)) return false;
    const behind = parts.slice(parts.indexOf(call) + 1);
    const end = behind.findIndex(({ kind }) => kind === "step");
    return behind.slice(0, end < 0 ? undefined : end).some(({ kind }) => kind !== "tool");
  }

  #newCall(part: Part): ToolPart {
    const metadata = metadataOfOptions(part);
    const call: ToolPart = {
      kind: "tool",
      tool_id: String(part["toolCallId"]),
      name: String(part["toolName"]),
      input: rawInput(part["input"]),
      state: "input-available",
      ...(part["providerExecuted"] === true ? { provider_executed: true } : {}),
      ...(metadata === undefined ? {} : { providerMetadata: metadata }),
    };
    this.#calls.push(call);
    this.#stepCalls.push(call);
    return call;
  }

  #find(isMeant: (call: ToolPart) => boolean): ToolPart | undefined {
    return this.#stepCalls.find(isMeant) ?? this.#calls.findLast(isMeant);
  }

  /** A result of no known call stands for itself, where `elsewhere` says. */
  #addResult(part: Part, elsewhere: () => StoredPart[]): void {
    const id = String(part["toolCallId"]);
    const known = this.#find((call) => call.tool_id === id && !this.#settled.has(call));
    if (known !== undefined) this.#settled.add(known);
    const options = metadataOfOptions(part);
    const mark = options?.[OWN_METADATA];
    if (mark?.["synthetic"] !== undefined) {
      if (known !== undefined && typeof mark["startedAt"] === "number") known.started_at = mark["startedAt"];
      return;
    }
    const call = known === undefined ? this.#newCall({ ...part, input: undefined }) : this.#outcomeOf(known);
    if (known === undefined) elsewhere().push(call);
    const providerMetadata = mergeProviderMetadata(call.providerMetadata, options);
    if (providerMetadata !== undefined) call.providerMetadata = providerMetadata;
    setOutput(call, part["output"]);
  }

  #addRequest(part: Part): void {
    // It stands behind its call, or behind all calls of its step.
    const call = this.#stepCalls.findLast(({ tool_id }) => tool_id === part["toolCallId"]);
    if (call === undefined) return; // A request for a call that the prompt does not have asks for nothing.
    call.approval = { id: String(part["approvalId"]) };
    if (!hasOutcome(call)) call.state = "approval-requested";
    if (typeof part["signature"] === "string") {
      const own = { [OWN_METADATA]: { approvalSignature: part["signature"] } };
      call.providerMetadata = { ...call.providerMetadata, ...own };
    }
  }

  #addResponse(part: Part): void {
    const { approvalId } = part;
    const call = this.#find(
      ({ approval }) => approval?.id === approvalId && approval?.approved === undefined,
    );
    if (call === undefined) return; // The answer to a request that the prompt does not have.
    const approved = part["approved"] === true;
    const answered = approved ? call : this.#outcomeOf(call);
    const { reason } = part;
    answered.approval = { ...call.approval, approved, ...(typeof reason === "string" ? { reason } : {}) };
    if (!hasOutcome(answered)) answered.state = approved ? "approval-responded" : "output-denied";
  }
}

function setOutput(call: ToolPart, output: unknown): void {
  const { type, value, reason } = isRecord(output) ? output : { type: "json", value: output };
  if (type === "execution-denied") {
    call.state = "output-denied";
    call.approval = {
      ...call.approval,
      approved: false,
      ...(typeof reason === "string" ? { reason } : {}),
    };
    return;
  }
  const isError = type === "error-text" || type === "error-json";
  call.state = isError ? "output-error" : "output-available";
  call.output = type === "content" ? { type, value } : (value ?? null);
}

function plainContent(
  content: ModelMessageInput["content"],
  options: ProviderMetadata | undefined,
): string | StoredPart[] {
  if (typeof content === "string" && options === undefined) return content;
  const parts =
    typeof content === "string"
      ? [{ kind: "text", text: content }]
      : content.map((part) => writtenPart(part as unknown as Part));
  addOptions(parts, options);
  return parts;
}

function addOptions(parts: StoredPart[], options: ProviderMetadata | undefined): void {
  const last = parts.at(-1);
  if (last === undefined || options === undefined) return;
  last["providerMetadata"] = mergeProviderMetadata(
    last["providerMetadata"] as ProviderMetadata | undefined,
    options,
  );
}

/** The stored part of a text, reasoning, image or file. */
function writtenPart(part: Part): StoredPart {
  const metadata = metadataOfOptions(part);
  const extras = metadata === undefined ? {} : { providerMetadata: metadata };
  const { type, text, mediaType, filename } = part;
  if ((type === "text" || type === "reasoning") && typeof text === "string")
    return { kind: type, text, ...extras };
  if (type !== "image" && type !== "file") throw unknownPart(part);
  return {
    kind: "file",
    mediaType: typeof mediaType === "string" ? mediaType : "image/*",
    ...(typeof filename === "string" ? { filename } : {}),
    ...fileSource(type === "image" ? part["image"] : part["data"]),
    ...extras,
  };
}

/** Bytes, base64 or a URL; bare, or tagged as the SDK's newest version has them. */
function fileSource(source: unknown): Pick<FilePart, "data" | "url"> {
  if (source instanceof URL) return { url: source.href };
  if (source instanceof Uint8Array || source instanceof ArrayBuffer)
    return { data: Buffer.from(source as Uint8Array).toString("base64") };
  // No base64 has a colon: what begins with a scheme is a URL.
  if (typeof source === "string")
    return /^[a-z][a-z0-9+.-]*:/i.test(source) ? { url: source } : { data: source };
  if (isRecord(source) && source["type"] === "data") return fileSource(source["data"]);
  if (isRecord(source) && source["type"] === "url") return fileSource(source["url"]);
  if (isRecord(source) && source["type"] === "text" && typeof source["text"] === "string")
    return { data: Buffer.from(source["text"]).toString("base64") };
  throw new InvalidInputError(
    "invalid-content",
    "A file of a prompt must be bytes, base64 or a URL: a reference to a provider's own store cannot be kept.",
  );
}

function metadataOfOptions(holder: { readonly providerOptions?: unknown }): ProviderMetadata | undefined {
  const { providerOptions } = holder;
  if (!isRecord(providerOptions) || Object.keys(providerOptions).length === 0) return undefined;
  return providerOptions as ProviderMetadata;
}

function unknownPart(part: Part): InvalidInputError {
  return new InvalidInputError(
    "invalid-content",
    `A part of type ${JSON.stringify(part["type"])} cannot be stored: leave it out, or hand in stored parts instead.`,
  );
}
