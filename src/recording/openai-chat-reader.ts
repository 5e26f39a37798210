import type { Usage } from "../events/stored-part.ts";
import { citationSource } from "./citation-source.ts";
import { fileVerb } from "./image-file.ts";
import { type JsonRecord, filledText, isRecord, label, list, present, record, text } from "./json-access.ts";
import { ChatCitations } from "./openai-chat-citations.ts";
import { ChatExecutedTools } from "./openai-chat-executed-tools.ts";
import { ChatToolCalls, extraContent } from "./openai-chat-tools.ts";
import { usageOfChat } from "./provider-usage.ts";
import { type FinishReason, StreamReader, providerError } from "./stream-reader.ts";

const FINISH_REASONS = new Map<string, FinishReason>([
  ["stop", "stop"],
  ["end_turn", "stop"],
  ["eos", "stop"],
  ["eos_token", "stop"],
  ["stop_sequence", "stop"],
  ["length", "length"],
  ["max_tokens", "length"],
  ["model_length", "length"],
  ["model_context_window_exceeded", "length"],
  ["tool_calls", "tool-calls"],
  ["function_call", "tool-calls"],
  ["content_filter", "content-filter"],
  ["sensitive", "content-filter"],
  ["error", "error"],
  ["network_error", "error"],
  ["insufficient_system_resource", "error"],
]);

/** One thing under several names. Some providers send two of them, with the same text: the first counts. */
const REASONING_FIELDS = ["reasoning_content", "reasoning", "thinking", "reasoning_text"];

const READ_FIELDS = new Set([
  ...REASONING_FIELDS,
  "role",
  "index",
  "content",
  "refusal",
  "reasoning_details",
  "thinking_blocks",
  "executed_tools",
  "context",
  "extra_content",
  "token_id",
  "tool_calls",
  "function_call",
  "annotations",
  "images",
]);

type TextKind = "text" | "reasoning" | "refusal";

interface Message {
  id: string;
  model: string | undefined;
  tools: ChatToolCalls;
  executed: ChatExecutedTools;
  citations: ChatCitations;
  /** Deltas have said something: some providers repeat it at the end as a whole message. */
  hasDeltas: boolean;
  finishReason: string | undefined;
  usage: Usage | undefined;
  /** What streams in now, and its number: another kind, or a tool call between, begins another part. */
  kind: TextKind | undefined;
  block: number;
  /** OpenRouter's reasoning details without their text, as they must be sent back. */
  reasoningDetails: Record<string, unknown>[];
}

/**
 * The chunks of OpenAI's chat completions, and of the many providers that speak this protocol with fields of
 * their own: DeepSeek, xAI, Mistral, Groq, Perplexity, OpenRouter, Azure, Gemini, Ollama, vLLM, LiteLLM and others.
 */
export class OpenAiChatReader extends StreamReader {
  #message: Message | undefined;

  protected override get hasOpenMessage(): boolean {
    return this.#message !== undefined;
  }

  /** A message is complete with its finish reason; its usage may come later still. */
  protected override closeMessage(): void {
    const message = this.#message;
    if (message?.finishReason === undefined) return;
    this.#message = undefined;
    this.say(...message.tools.complete());
    this.endStep({
      finishReason: FINISH_REASONS.get(message.finishReason) ?? "other",
      usage: message.usage,
      providerMetadata: {
        openai: present({
          finishReason: message.finishReason,
          responseId: filledText(message.id),
          model: message.model,
        }),
      },
    });
  }

  protected override readChunk(chunk: JsonRecord): void {
    const groq = record(chunk["x_groq"]);
    const error = chunk["error"] ?? groq["error"] ?? (chunk["object"] === "error" ? chunk : undefined);
    const choices = list(chunk["choices"]).filter(isRecord);
    if (choices.length > 0) this.#openMessage(chunk);
    for (const choice of choices) this.#readChoice(choice);
    const usage = [chunk["usage"], groq["usage"]].find(isRecord);
    if (usage !== undefined && this.#message !== undefined) this.#message.usage = usageOfChat(usage);
    if (this.#message !== undefined) this.say(...this.#message.citations.ofChunk(chunk));
    if (error !== undefined && error !== null) {
      const { code, message } = providerError(error);
      this.fail(code, message, this.#message?.usage, "error");
    } else if (
      this.#message !== undefined &&
      FINISH_REASONS.get(this.#message.finishReason ?? "") === "error"
    ) {
      const reason = this.#message.finishReason ?? "";
      this.fail(reason, `The provider ended the message with "${reason}".`, this.#message.usage, "error");
    } else if (!Array.isArray(chunk["choices"]) && usage === undefined && !("x_groq" in chunk)) {
      this.unknown(filledText(chunk["type"]) ?? filledText(chunk["object"]) ?? "chunk without choices");
    }
  }

  /** Another id after a finish reason is another message. (A finished one may still get chunks of its own id.) */
  #openMessage(chunk: JsonRecord): void {
    const id = text(chunk["id"]);
    if (this.#message?.finishReason !== undefined && id !== "" && id !== this.#message.id)
      this.closeMessage();
    const claimId = (wanted: string): string => this.claimToolId(wanted);
    const message = (this.#message ??= {
      id,
      model: undefined,
      tools: new ChatToolCalls(claimId, `call_${this.step}_`),
      executed: new ChatExecutedTools(claimId, `executed_${this.step}_`),
      citations: new ChatCitations(),
      hasDeltas: false,
      finishReason: undefined,
      usage: undefined,
      kind: undefined,
      block: 0,
      reasoningDetails: [],
    });
    if (message.id === "") message.id = id;
    message.model ??= filledText(chunk["model"]);
  }

  #readChoice(choice: JsonRecord): void {
    const message = this.#message;
    if (message === undefined) return;
    if ((choice["index"] ?? 0) !== 0) return this.unknown(`choice ${label(choice["index"])}`);
    const delta = deltaOf(choice, message.hasDeltas);
    if (delta === undefined) return this.unknown("choice without a delta");
    this.#readDelta(message, delta);
    if (isRecord(choice["delta"])) message.hasDeltas = message.block > 0 || message.tools.hasCalls;
    if (isRecord(choice["usage"])) message.usage = usageOfChat(choice["usage"]); // Moonshot's place for it.
    const finishReason = filledText(choice["finish_reason"]);
    if (finishReason !== undefined) {
      message.finishReason = finishReason;
      this.say(...message.tools.complete());
    }
  }

  #readDelta(message: Message, delta: JsonRecord): void {
    this.#readReasoning(message, delta);
    this.#readContent(message, delta["content"]);
    if (filledText(delta["refusal"]) !== undefined) {
      this.#sayText(message, "refusal", text(delta["refusal"]));
    }
    this.#readTools(message, delta);
    const facts = extraContent(delta);
    if (facts !== undefined) this.#sayText(message, message.kind ?? "text", "", facts);
    for (const annotation of list(delta["annotations"]))
      this.say(...message.citations.annotation(annotation));
    this.say(...message.citations.context(delta["context"]));
    for (const image of list(delta["images"])) this.#readImage(image);
    for (const [field, value] of Object.entries(delta)) {
      if (!READ_FIELDS.has(field) && value !== null) this.unknown(`delta.${field}`);
    }
  }

  #readReasoning(message: Message, delta: JsonRecord): void {
    const details = list(delta["reasoning_details"]).filter(isRecord);
    const blocks = list(delta["thinking_blocks"]).filter(isRecord);
    const plain = REASONING_FIELDS.map((field) => text(delta[field])).find((text) => text !== "");
    const detailed = [...details, ...blocks].map((each) =>
      text(each["text"] ?? each["summary"] ?? each["thinking"]),
    );
    const reasoning = plain ?? detailed.join("");
    if (reasoning !== "") this.#sayText(message, "reasoning", reasoning);
    for (const block of blocks) {
      const facts = present({ signature: filledText(block["signature"]), redactedData: block["data"] });
      if (Object.keys(facts).length > 0) this.#sayText(message, "reasoning", "", { anthropic: facts });
    }
    const kept = details.filter((detail) => detail["signature"] || detail["data"]);
    if (kept.length === 0) return;
    for (const detail of kept) {
      const { text: _text, summary: _summary, ...facts } = detail;
      message.reasoningDetails.push(facts);
    }
    this.#sayText(message, "reasoning", "", {
      openrouter: { reasoningDetails: [...message.reasoningDetails] },
    });
  }

  /** A string; or a list of typed parts, as Mistral sends. */
  #readContent(message: Message, content: unknown): void {
    if (typeof content === "string") return this.#sayText(message, "text", content);
    for (const part of list(content)) {
      const { type, ...fields } = record(part);
      if (type === "text" || type === "output_text") this.#sayText(message, "text", text(fields["text"]));
      else if (type === "thinking") this.#sayText(message, "reasoning", thinkingText(fields["thinking"]));
      else if (type === "image_url") this.#readImage(part);
      else if (type === "reference") this.say(citationSource("mistral", record(part)));
      else this.unknown(`content.${text(type)}`);
    }
  }

  #sayText(
    message: Message,
    kind: TextKind,
    text: string,
    providerMetadata?: Record<string, Record<string, unknown>>,
  ): void {
    if (text === "" && providerMetadata === undefined) return;
    const begins = message.kind !== kind;
    if (begins) {
      message.kind = kind;
      message.block++;
    }
    const metadata = begins && kind === "refusal" ? { openai: { refusal: true } } : providerMetadata;
    this.say({
      verb: kind === "reasoning" ? "reasoning" : "text",
      text,
      block: `${this.step}.${message.block}`,
      ...(metadata === undefined ? {} : { providerMetadata: metadata }),
    });
  }

  #readTools(message: Message, delta: JsonRecord): void {
    const pieces = list(delta["tool_calls"]).filter(isRecord);
    const verbs = pieces.flatMap((piece) => message.tools.read(piece));
    if (isRecord(delta["function_call"]))
      verbs.push(...message.tools.readFunctionCall(delta["function_call"]));
    for (const tool of list(delta["executed_tools"]).filter(isRecord)) {
      verbs.push(...message.executed.read(tool));
    }
    if (verbs.length > 0) message.kind = undefined;
    this.say(...verbs);
  }

  #readImage(image: unknown): void {
    const file = fileVerb(record(record(image)["image_url"])["url"] ?? record(image)["image_url"]);
    if (file === undefined) this.unknown("image without a url");
    else this.say(file);
  }
}

/**
 * Servers that do not stream send the whole message in one chunk; the protocol before chat had a text only. Nothing
 * is added by a message behind its own deltas, and by Azure's word on what its filter has looked at.
 */
function deltaOf(choice: JsonRecord, hasDeltas: boolean): JsonRecord | undefined {
  const { delta, message } = choice;
  if (isRecord(delta)) return delta;
  if (isRecord(message)) return hasDeltas ? {} : message;
  if (isRecord(choice["content_filter_results"])) return {};
  return typeof choice["text"] === "string" ? { content: choice["text"] } : undefined;
}

/** Mistral's thinking: a text, or a list of text parts. */
function thinkingText(thinking: unknown): string {
  if (typeof thinking === "string") return thinking;
  return list(thinking)
    .map((part) => text(record(part)["text"]))
    .join("");
}
