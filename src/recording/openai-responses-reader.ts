import type { Usage } from "../events/stored-part.ts";
import { citationSource } from "./citation-source.ts";
import { type JsonRecord, filledText, isRecord, label, list, present, record, text } from "./json-access.ts";
import { ResponsesToolItems } from "./openai-responses-tools.ts";
import { usageOfResponses } from "./provider-usage.ts";
import { type FinishReason, StreamReader, providerError } from "./stream-reader.ts";

/** Events that say nothing which another event, mostly output_item.done, does not say as well. */
const RESTATING = new Set(
  [
    "in_progress",
    "queued",
    "content_part.added",
    "content_part.done",
    "reasoning_summary_part.added",
    "reasoning_summary_part.done",
    "reasoning_summary_text.done",
    "reasoning_text.done",
    "output_text.done",
    "refusal.done",
    "mcp_list_tools.in_progress",
    "mcp_list_tools.completed",
    "mcp_list_tools.failed",
    "image_generation_call.partial_image",
    "apply_patch_call_operation_diff.delta",
    "apply_patch_call_operation_diff.done",
    "shell_call_command.added",
    "shell_call_command.delta",
    "shell_call_command.done",
    "shell_call_output_content.delta",
    "shell_call_output_content.done",
  ].map((name) => `response.${name}`),
);

interface Response {
  id: string;
  model: string | undefined;
  /** Blocks of text and reasoning that have begun, by name. */
  begun: Set<string>;
  /** Blocks of text whose citations came as they were made. */
  cited: Set<string>;
  /** Metadata of message and reasoning items, by their place in the output. */
  items: Map<unknown, Record<string, unknown>>;
}

/** The events of OpenAI's responses stream, hosted tools included; also of those who speak it: Azure, xAI, LM Studio. */
export class OpenAiResponsesReader extends StreamReader {
  #response: Response | undefined;
  readonly #tools = new ResponsesToolItems({
    claimToolId: (wanted) => this.claimToolId(wanted),
    hasTool: (toolId) => this.hasTool(toolId),
    say: (...verbs) => this.say(...verbs),
  });

  protected override get hasOpenMessage(): boolean {
    return this.#response !== undefined;
  }

  protected override readChunk(chunk: JsonRecord): void {
    const type = text(chunk["type"]);
    const delta = text(chunk["delta"]);
    const response = record(chunk["response"]);
    switch (type) {
      case "keepalive":
        return;
      case "response.created":
        return this.#start(response);
      case "response.output_item.added":
        return this.#readItem(chunk, false);
      case "response.output_item.done":
        return this.#readItem(chunk, true);
      case "response.output_text.delta":
        return this.#sayText(chunk["output_index"], chunk["content_index"], delta);
      case "response.refusal.delta":
        return this.#sayText(chunk["output_index"], chunk["content_index"], delta, { refusal: true });
      case "response.output_text.annotation.added":
        return this.#cite(textBlock(chunk["output_index"], chunk["content_index"]), [chunk["annotation"]]);
      case "response.reasoning_summary_text.delta":
        return this.#sayReasoning(chunk["output_index"], `summary${label(chunk["summary_index"])}`, delta);
      case "response.reasoning_text.delta":
        return this.#sayReasoning(chunk["output_index"], `content${label(chunk["content_index"])}`, delta);
      case "response.completed":
        return this.#complete(response);
      case "response.incomplete":
        return this.#incomplete(response);
      case "response.failed":
        return this.#fail(response["error"], response);
      case "error":
        return this.#fail(chunk["error"] ?? { code: chunk["code"], message: chunk["message"] }, response);
      default:
        if (RESTATING.has(type) || this.#tools.readProgress(type, chunk)) return;
        this.unknown(type === "" ? "chunk without a type" : type);
    }
  }

  #open(): Response {
    return (this.#response ??= {
      id: "",
      model: undefined,
      begun: new Set(),
      cited: new Set(),
      items: new Map(),
    });
  }

  #start(response: JsonRecord): void {
    if (this.#response !== undefined) this.#endStep("other", {});
    const opened = this.#open();
    opened.id = text(response["id"]);
    opened.model = filledText(response["model"]);
  }

  #readItem(chunk: JsonRecord, isDone: boolean): void {
    const response = this.#open();
    const item = record(chunk["item"]);
    const index = chunk["output_index"];
    switch (text(item["type"])) {
      case "message":
        response.items.set(index, present({ itemId: item["id"], phase: item["phase"] }));
        return isDone ? this.#finishText(response, index, item) : undefined;
      case "reasoning":
        response.items.set(index, present({ itemId: item["id"] }));
        return isDone ? this.#finishReasoning(response, index, item) : undefined;
      case "mcp_list_tools":
        return; // What the server offers is no part of the answer.
      default:
        if (!this.#tools.readItem(index, item, isDone)) this.unknown(`output item ${text(item["type"])}`);
    }
  }

  /**
   * Blocks are named by their place in the output and not by the item's id, which some gateways change from
   * event to event.
   */
  #sayText(index: unknown, contentIndex: unknown, delta: string, facts: JsonRecord = {}): void {
    if (delta === "") return;
    const block = `${this.step}.${textBlock(index, contentIndex)}`;
    this.say({ verb: "text", text: delta, block, ...this.#metadataOnce(index, block, facts) });
  }

  #sayReasoning(index: unknown, part: string, delta: string): void {
    if (delta === "") return;
    const block = `${this.step}.${label(index)}.${part}`;
    this.say({ verb: "reasoning", text: delta, block, ...this.#metadataOnce(index, block, {}) });
  }

  /** A block's metadata goes with its first delta. */
  #metadataOnce(
    index: unknown,
    block: string,
    more: JsonRecord,
  ): { providerMetadata?: Record<string, Record<string, unknown>> } {
    const { begun, items } = this.#open();
    if (begun.has(block)) return {};
    begun.add(block);
    const facts = { ...items.get(index), ...more };
    return Object.keys(facts).length === 0 ? {} : { providerMetadata: { openai: facts } };
  }

  #cite(block: string, annotations: readonly unknown[]): void {
    this.#open().cited.add(block);
    for (const annotation of annotations) this.say(citationSource("openai", record(annotation)));
  }

  /** Servers that do not stream a text, or its citations, say them in the finished item only. */
  #finishText(response: Response, index: unknown, item: JsonRecord): void {
    for (const [contentIndex, part] of list(item["content"]).entries()) {
      const { type, text: whole, refusal, annotations } = record(part);
      const block = textBlock(index, contentIndex);
      if (!response.begun.has(`${this.step}.${block}`)) {
        this.#sayText(index, contentIndex, text(whole));
        if (type === "refusal") this.#sayText(index, contentIndex, text(refusal), { refusal: true });
      }
      if (!response.cited.has(block)) this.#cite(block, list(annotations));
    }
  }

  /** A reasoning item may be empty but for its id and what is encrypted: the next request must send them back. */
  #finishReasoning(response: Response, index: unknown, item: JsonRecord): void {
    const prefix = `${this.step}.${label(index)}.`;
    const hasBegun = [...response.begun].some((block) => block.startsWith(prefix));
    if (!hasBegun) {
      for (const field of ["summary", "content"]) {
        for (const [partIndex, part] of list(item[field]).entries())
          this.#sayReasoning(index, `${field}${partIndex}`, text(record(part)["text"]));
      }
    }
    const block = [...response.begun].findLast((name) => name.startsWith(prefix)) ?? `${prefix}summary0`;
    const facts = present({ itemId: item["id"], reasoningEncryptedContent: item["encrypted_content"] });
    if (response.begun.has(block) && facts["reasoningEncryptedContent"] === undefined) return;
    response.begun.add(block);
    this.say({ verb: "reasoning", text: "", block, providerMetadata: { openai: facts } });
  }

  #complete(response: JsonRecord): void {
    const usage = usageOf(response);
    this.#endStep(this.#tools.awaitsCaller ? "tool-calls" : "stop", response, usage);
  }

  #incomplete(response: JsonRecord): void {
    const reason = filledText(record(response["incomplete_details"])["reason"]) ?? "incomplete";
    const finishReasons = new Map<string, FinishReason>([
      ["max_output_tokens", "length"],
      ["content_filter", "content-filter"],
    ]);
    const finishReason = finishReasons.get(reason) ?? "other";
    this.fail(reason, `The response is incomplete: ${reason}.`, usageOf(response), finishReason);
  }

  #fail(error: unknown, response: JsonRecord): void {
    const { code, message } = providerError(error);
    this.fail(code, message, usageOf(response), "error");
  }

  #endStep(finishReason: FinishReason, response: JsonRecord, usage?: Usage): void {
    const { id, model } = this.#open();
    this.#response = undefined;
    this.#tools.endResponse();
    this.endStep({
      finishReason,
      usage,
      providerMetadata: {
        openai: present({
          status: response["status"],
          responseId: filledText(response["id"]) ?? filledText(id),
          model: filledText(response["model"]) ?? model,
          serviceTier: response["service_tier"],
        }),
      },
    });
  }
}

/** Of one message: with the step in front it is a block's name. */
function textBlock(index: unknown, contentIndex: unknown): string {
  return `${label(index)}.text${label(contentIndex)}`;
}

function usageOf(response: JsonRecord): Usage | undefined {
  return isRecord(response["usage"]) ? usageOfResponses(response["usage"]) : undefined;
}
