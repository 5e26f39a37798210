import type { Usage } from "../events/stored-part.ts";
import { citationSource } from "./citation-source.ts";
import { fileVerb } from "./image-file.ts";
import { type JsonRecord, filledText, isRecord, label, list, present, record, text } from "./json-access.ts";
import { ChatToolCalls } from "./openai-chat-tools.ts";
import { usageOfChat } from "./provider-usage.ts";
import { type FinishReason, StreamReader, providerError } from "./stream-reader.ts";

const FINISH_REASONS = new Map<string, FinishReason>([
  ["stop", "stop"],
  ["end_turn", "stop"],
  ["eos", "stop"],
  ["length", "length"],
  ["max_tokens", "length"],
  ["model_length", "length"],
  ["tool_calls", "tool-calls"],
  ["function_call", "tool-calls"],
  ["content_filter", "content-filter"],
  ["error", "error"],
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
  "tool_calls",
  "function_call",
  "annotations",
  "images",
]);

interface Message {
  id: string;
  model: string | undefined;
  tools: ChatToolCalls;
  finishReason: string | undefined;
  usage: Usage | undefined;
  /** What streams in now, and its number: another kind, or a tool call between, begins another part. */
  kind: string | undefined;
  block: number;
  /** Citations that were recorded: some providers repeat the whole list in every chunk. */
  cited: Set<string>;
  /** OpenRouter's reasoning details without their text, as they must be sent back. */
  reasoningDetails: Record<string, unknown>[];
}

/**
 * The chunks of OpenAI's chat completions, and of the many providers that speak this protocol with fields of
 * their own: DeepSeek, xAI, Mistral, Groq, Perplexity, OpenRouter, Azure, Gemini, Ollama, vLLM and others.
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
    this.#readCitations(chunk);
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
    const message = (this.#message ??= {
      id,
      model: undefined,
      tools: new ChatToolCalls((wanted) => this.claimToolId(wanted), `call_${this.step}_`),
      finishReason: undefined,
      usage: undefined,
      kind: undefined,
      block: 0,
      cited: new Set(),
      reasoningDetails: [],
    });
    if (message.id === "") message.id = id;
    message.model ??= filledText(chunk["model"]);
  }

  #readChoice(choice: JsonRecord): void {
    const message = this.#message;
    if (message === undefined) return;
    if ((choice["index"] ?? 0) !== 0) return this.unknown(`choice ${label(choice["index"])}`);
    const delta = deltaOf(choice);
    if (delta === undefined) return this.unknown("choice without a delta");
    this.#readReasoning(message, delta);
    this.#readContent(message, delta["content"]);
    if (filledText(delta["refusal"]) !== undefined) {
      this.#sayText(message, "refusal", text(delta["refusal"]));
    }
    this.#readTools(message, delta);
    for (const annotation of list(delta["annotations"])) this.#readAnnotation(message, annotation);
    for (const image of list(delta["images"])) this.#readImage(image);
    for (const [field, value] of Object.entries(delta)) {
      if (!READ_FIELDS.has(field) && value !== null) this.unknown(`delta.${field}`);
    }
    if (isRecord(choice["usage"])) message.usage = usageOfChat(choice["usage"]); // Moonshot's place for it.
    const finishReason = filledText(choice["finish_reason"]);
    if (finishReason !== undefined) {
      message.finishReason = finishReason;
      this.say(...message.tools.complete());
    }
  }

  #readReasoning(message: Message, delta: JsonRecord): void {
    const details = list(delta["reasoning_details"]).filter(isRecord);
    const plain = REASONING_FIELDS.map((field) => text(delta[field])).find((text) => text !== "");
    const reasoning = plain ?? details.map((detail) => text(detail["text"] ?? detail["summary"])).join("");
    if (reasoning !== "") this.#sayText(message, "reasoning", reasoning);
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
    kind: "text" | "reasoning" | "refusal",
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
    if (verbs.length > 0) message.kind = undefined;
    this.say(...verbs);
  }

  #readAnnotation(message: Message, annotation: unknown): void {
    const { type, ...fields } = record(annotation);
    // OpenAI nests the citation under its type's name; some others do not.
    const nested = fields[text(type)];
    const citation = { type, ...(isRecord(nested) ? nested : fields) };
    const key = JSON.stringify(citation);
    if (message.cited.has(key)) return;
    message.cited.add(key);
    const { content, ...rest } = citation as JsonRecord;
    this.say(citationSource("openai", { ...rest, cited_text: rest["cited_text"] ?? content }));
  }

  /** Perplexity's and xAI's lists: addresses, or search results that say more of them. */
  #readCitations(chunk: JsonRecord): void {
    const cited = this.#message?.cited;
    if (cited === undefined) return;
    for (const entry of [...list(chunk["search_results"]), ...list(chunk["citations"])]) {
      const citation = isRecord(entry) ? entry : { url: entry };
      const url = filledText(citation["url"]);
      if (url === undefined || cited.has(url)) continue;
      cited.add(url);
      this.say(citationSource("openai", citation));
    }
  }

  #readImage(image: unknown): void {
    const file = fileVerb(record(record(image)["image_url"])["url"] ?? record(image)["image_url"]);
    if (file === undefined) this.unknown("image without a url");
    else this.say(file);
  }
}

/** Servers that do not stream send the whole message in one chunk; the protocol before chat had a text only. */
function deltaOf(choice: JsonRecord): JsonRecord | undefined {
  const delta = choice["delta"] ?? choice["message"];
  if (isRecord(delta)) return delta;
  return typeof choice["text"] === "string" ? { content: choice["text"] } : undefined;
}

/** Mistral's thinking: a text, or a list of text parts. */
function thinkingText(thinking: unknown): string {
  if (typeof thinking === "string") return thinking;
  return list(thinking)
    .map((part) => text(record(part)["text"]))
    .join("");
}
