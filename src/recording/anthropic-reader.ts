import type { Usage } from "../events/stored-part.ts";
import { citationSource } from "./citation-source.ts";
import { type JsonRecord, filledText, label, list, present, record, text } from "./json-access.ts";
import { usageOfAnthropic } from "./provider-usage.ts";
import { type FinishReason, StreamReader, providerError } from "./stream-reader.ts";

const FINISH_REASONS = new Map<string, FinishReason>([
  ["end_turn", "stop"],
  ["stop_sequence", "stop"],
  ["max_tokens", "length"],
  ["model_context_window_exceeded", "length"],
  ["tool_use", "tool-calls"],
  ["refusal", "content-filter"],
]);

const TOOL_USES = new Set(["tool_use", "server_tool_use", "mcp_tool_use"]);

interface Message {
  id: string;
  model: string | undefined;
  rawUsage: Record<string, unknown>;
  /** What message_delta said of the end. */
  end: Record<string, unknown>;
  blocks: Map<unknown, Block>;
}

type Block =
  | { kind: "text"; name: string }
  | { kind: "reasoning"; name: string; signature: string }
  | {
      kind: "tool";
      toolId: string;
      toolName: string;
      isServers: boolean;
      input: unknown;
      hasPieces: boolean;
    };

/** The events of Anthropic's messages stream, server tools, MCP and citations included. */
export class AnthropicReader extends StreamReader {
  #message: Message | undefined;
  /** The ids of the provider's calls, which results name, and the turn's. */
  readonly #toolIds = new Map<string, string>();

  protected override get hasOpenMessage(): boolean {
    return this.#message !== undefined;
  }

  protected override readChunk(chunk: JsonRecord): void {
    const type = text(chunk["type"]);
    switch (type) {
      case "ping":
        return;
      case "message_start":
        return this.#startMessage(record(chunk["message"]));
      case "content_block_start":
        return this.#startBlock(this.#open(), chunk["index"], record(chunk["content_block"]));
      case "content_block_delta":
        return this.#readDelta(this.#open(), chunk["index"], record(chunk["delta"]));
      case "content_block_stop":
        return this.#stopBlock(this.#open(), chunk["index"]);
      case "message_delta":
        return this.#readMessageDelta(this.#open(), chunk);
      case "message_stop":
        return this.#message === undefined
          ? this.unknown("message_stop without a message")
          : this.#stopMessage();
      case "error": {
        const { code, message } = providerError(chunk["error"]);
        return this.fail(code, message, this.#usage(), "error");
      }
      default:
        this.unknown(type === "" ? "chunk without a type" : type);
    }
  }

  #open(): Message {
    return (this.#message ??= { id: "", model: undefined, rawUsage: {}, end: {}, blocks: new Map() });
  }

  #startMessage(message: JsonRecord): void {
    const id = text(message["id"]);
    if (this.#message !== undefined && this.#message.id === id) return; // Some gateways say it twice.
    if (this.#message !== undefined) this.#stopMessage();
    const opened = this.#open();
    opened.id = id;
    opened.model = filledText(message["model"]);
    opened.rawUsage = present(record(message["usage"]));
    // Blocks that are there already: a code execution's own calls of tools come so.
    for (const [index, block] of list(message["content"]).entries()) {
      this.#startBlock(opened, index, record(block));
      this.#stopBlock(opened, index);
    }
  }

  #startBlock(message: Message, index: unknown, block: JsonRecord): void {
    const type = text(block["type"]);
    const name = `${this.step}.${label(index)}`;
    if (type === "text") {
      message.blocks.set(index, { kind: "text", name });
      if (text(block["text"]) !== "") this.say({ verb: "text", text: text(block["text"]), block: name });
      for (const citation of list(block["citations"]))
        this.say(citationSource("anthropic", record(citation)));
    } else if (type === "thinking") {
      const opened = { kind: "reasoning" as const, name, signature: "" };
      message.blocks.set(index, opened);
      this.#sayReasoning(opened, text(block["thinking"]), text(block["signature"]));
    } else if (type === "redacted_thinking") {
      const providerMetadata = { anthropic: { redactedData: block["data"] } };
      this.say({ verb: "reasoning", text: "", block: name, providerMetadata });
    } else if (TOOL_USES.has(type)) {
      message.blocks.set(index, this.#startTool(type, block));
    } else if (type.endsWith("_tool_result")) {
      this.#readToolResult(type, block);
    } else {
      this.unknown(`block ${type}`);
    }
  }

  #startTool(type: string, block: JsonRecord): Block {
    const sentId = text(block["id"]);
    const toolId = this.claimToolId(sentId === "" ? `tool_${this.step}` : sentId);
    this.#toolIds.set(sentId, toolId);
    const toolName = text(block["name"]);
    const isServers = type !== "tool_use";
    const facts = present({ serverName: block["server_name"], caller: block["caller"] });
    this.say({
      verb: "tool-input-start",
      toolId,
      name: toolName,
      ...(isServers ? { providerExecuted: true } : {}),
      ...(Object.keys(facts).length === 0 ? {} : { providerMetadata: { anthropic: facts } }),
    });
    return { kind: "tool", toolId, toolName, isServers, input: block["input"], hasPieces: false };
  }

  #readToolResult(type: string, block: JsonRecord): void {
    const sentId = text(block["tool_use_id"]);
    let toolId = this.#toolIds.get(sentId);
    if (toolId === undefined) {
      // The call was made in another turn, but its result came in this one and must not be lost.
      toolId = this.claimToolId(sentId);
      this.#toolIds.set(sentId, toolId);
      const name = type.slice(0, -"_tool_result".length);
      this.say({ verb: "tool-call", toolId, name, input: "", providerExecuted: true });
    }
    const content = block["content"];
    const contentType = text(record(content)["type"]);
    if (block["is_error"] === true || contentType.endsWith("_error")) {
      this.say({ verb: "tool-error", toolId, errorText: errorText(content) });
    } else {
      this.say({ verb: "tool-result", toolId, output: content ?? null });
    }
  }

  #readDelta(message: Message, index: unknown, delta: JsonRecord): void {
    const block = message.blocks.get(index);
    const type = text(delta["type"]);
    if (type === "text_delta" && block?.kind === "text") {
      if (text(delta["text"]) !== "")
        this.say({ verb: "text", text: text(delta["text"]), block: block.name });
    } else if (type === "thinking_delta" && block?.kind === "reasoning") {
      this.#sayReasoning(block, text(delta["thinking"]), "");
    } else if (type === "signature_delta" && block?.kind === "reasoning") {
      this.#sayReasoning(block, "", text(delta["signature"]));
    } else if (type === "input_json_delta" && block?.kind === "tool") {
      const piece = text(delta["partial_json"]);
      if (piece === "") return;
      block.hasPieces = true;
      this.say({ verb: "tool-input-delta", toolId: block.toolId, text: piece });
    } else if (type === "citations_delta") {
      this.say(citationSource("anthropic", record(delta["citation"])));
    } else {
      this.unknown(`delta ${type}`);
    }
  }

  #sayReasoning(block: Extract<Block, { kind: "reasoning" }>, thinking: string, signature: string): void {
    if (thinking === "" && signature === "") return;
    block.signature += signature;
    const providerMetadata = { anthropic: { signature: block.signature } };
    this.say({
      verb: "reasoning",
      text: thinking,
      block: block.name,
      ...(signature === "" ? {} : { providerMetadata }),
    });
  }

  #stopBlock(message: Message, index: unknown): void {
    const block = message.blocks.get(index);
    message.blocks.delete(index);
    if (block?.kind !== "tool") return;
    // A call without arguments streams no pieces: its input is in the block itself, as an object.
    const input = block.hasPieces ? {} : { input: JSON.stringify(block.input ?? {}) };
    const { toolId, toolName: name, isServers } = block;
    const providerExecuted = isServers ? { providerExecuted: true } : {};
    this.say({ verb: "tool-call", toolId, name, ...input, ...providerExecuted });
    if (isServers) this.say({ verb: "tool-started", toolId });
  }

  #readMessageDelta(message: Message, chunk: JsonRecord): void {
    Object.assign(message.end, present(record(chunk["delta"])));
    // Counts are cumulative: what the first count said and a later one leaves out, or some gateways say as 0, stands.
    for (const [name, value] of Object.entries(present(record(chunk["usage"])))) {
      const known = message.rawUsage[name];
      const isLess = typeof value === "number" && typeof known === "number" && value < known;
      if (!isLess) message.rawUsage[name] = value;
    }
  }

  #stopMessage(): void {
    const message = this.#open();
    const usage = this.#usage();
    const { stop_reason, stop_sequence, stop_details, container } = message.end;
    this.#message = undefined;
    this.endStep({
      finishReason: FINISH_REASONS.get(text(stop_reason)) ?? "other",
      usage,
      providerMetadata: {
        anthropic: present({
          stopReason: stop_reason,
          stopSequence: stop_sequence,
          stopDetails: stop_details,
          container,
          messageId: filledText(message.id),
          model: message.model,
        }),
      },
    });
  }

  #usage(): Usage | undefined {
    const raw = this.#message?.rawUsage;
    return raw === undefined || Object.keys(raw).length === 0 ? undefined : usageOfAnthropic(raw);
  }
}

/** What a failed server tool says: a code, or the text blocks of an MCP result. */
function errorText(content: unknown): string {
  if (typeof content === "string") return content;
  const parts = [record(content)["error_code"], record(content)["error_message"]].filter(
    (part): part is string => typeof part === "string" && part !== "",
  );
  if (parts.length > 0) return parts.join(": ");
  const texts = list(content).map((part) => text(record(part)["text"]));
  const joined = texts.join("");
  return joined === "" ? JSON.stringify(content ?? null) : joined;
}
