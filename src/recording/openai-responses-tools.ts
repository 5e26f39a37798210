import {
  type JsonRecord,
  filledText,
  isRecord,
  label,
  list,
  present,
  presentExcept,
  record,
  text,
} from "./json-access.ts";
import type { TurnVerb } from "./turn-verb.ts";

/** What the tools need of the reader. */
interface Host {
  claimToolId(wanted: string): string;
  hasTool(toolId: string): boolean;
  say(...verbs: readonly TurnVerb[]): void;
}

interface OpenItem {
  toolId: string;
  name: string;
  providerExecuted: boolean;
  hasPieces: boolean;
  isComplete: boolean;
  isStarted: boolean;
}

/** The fields of an item's result; the other fields of its own are the call's input. */
const HOSTED = new Map<string, { name: string; results: readonly string[] }>([
  ["web_search_call", { name: "web_search", results: ["results"] }],
  ["file_search_call", { name: "file_search", results: ["results"] }],
  ["code_interpreter_call", { name: "code_interpreter", results: ["outputs"] }],
  ["image_generation_call", { name: "image_generation", results: [] }],
]);

const COMMON_FIELDS = [
  "id",
  "type",
  "status",
  "call_id",
  "name",
  "namespace",
  "environment",
  "execution",
  "caller",
];

const ARGUMENT_EVENT =
  /^response\.(function_call_arguments|mcp_call_arguments|custom_tool_call_input|code_interpreter_call_code)\.(delta|done)$/;
const PROGRESS_EVENT =
  /^response\.(\w+_call)\.(in_progress|searching|interpreting|generating|completed|incomplete|failed)$/;

/** The tool items of responses: functions that the caller runs, and the tools that the provider hosts. */
export class ResponsesToolItems {
  readonly #host: Host;
  readonly #items = new Map<unknown, OpenItem>();
  /** The provider's call ids, which outputs name, and the turn's. */
  readonly #toolIds = new Map<string, string>();
  #awaitsCaller = false;

  constructor(host: Host) {
    this.#host = host;
  }

  /** True where the response has calls whose results the caller must send. */
  get awaitsCaller(): boolean {
    return this.#awaitsCaller;
  }

  endResponse(): void {
    this.#items.clear();
    this.#awaitsCaller = false;
  }

  /** Events inside an item: the pieces of its input, and its execution. False where the event is none of them. */
  readProgress(type: string, chunk: JsonRecord): boolean {
    const item = this.#items.get(chunk["output_index"]);
    const [, , piece] = ARGUMENT_EVENT.exec(type) ?? [];
    if (piece === "delta") {
      const delta = text(chunk["delta"]);
      if (item !== undefined && !item.isComplete && delta !== "") {
        item.hasPieces = true;
        this.#host.say({ verb: "tool-input-delta", toolId: item.toolId, text: delta });
      }
      return true;
    }
    if (piece === "done") {
      const whole = chunk["arguments"] ?? chunk["input"] ?? chunk["code"];
      if (item !== undefined) this.#complete(item, text(whole));
      // A remote call runs as soon as its arguments are there; the hosted tools say themselves when they run.
      if (type.startsWith("response.mcp_call")) this.#start(item);
      return true;
    }
    const [, , state] = PROGRESS_EVENT.exec(type) ?? [];
    if (state === "searching" || state === "interpreting" || state === "generating") this.#start(item);
    return state !== undefined;
  }

  /** An item of the output; false where it is none of a tool. */
  readItem(index: unknown, item: JsonRecord, isDone: boolean): boolean {
    const type = text(item["type"]);
    if (type.endsWith("_call_output")) return this.#readOutput(item, isDone);
    if (type === "mcp_approval_request") return this.#readApprovalRequest(item, isDone);
    if (!type.endsWith("_call")) return false;
    const open = this.#items.get(index) ?? this.#begin(index, type, item);
    if (isDone) this.#finish(open, type, item);
    return true;
  }

  #begin(index: unknown, type: string, item: JsonRecord): OpenItem {
    const providerExecuted = isHosted(type, item);
    const sentId = filledText(item["call_id"]) ?? filledText(item["id"]) ?? `item_${label(index)}`;
    const open: OpenItem = {
      toolId: this.#host.claimToolId(sentId),
      name: nameOf(type, item),
      providerExecuted,
      hasPieces: false,
      isComplete: false,
      isStarted: false,
    };
    this.#items.set(index, open);
    this.#toolIds.set(sentId, open.toolId);
    if (!providerExecuted) this.#awaitsCaller = true;
    const facts = present({
      itemId: item["id"],
      serverLabel: item["server_label"],
      approvalRequestId: item["approval_request_id"],
      containerId: item["container_id"],
      namespace: item["namespace"],
    });
    this.#host.say({
      verb: "tool-input-start",
      ...callOf(open),
      ...(Object.keys(facts).length === 0 ? {} : { providerMetadata: { openai: facts } }),
    });
    const approved = this.#toolIds.get(text(item["approval_request_id"]));
    if (approved !== undefined)
      this.#host.say({ verb: "tool-approval", toolId: approved, approval: "approved" });
    return open;
  }

  #complete(open: OpenItem, input: string): void {
    if (open.isComplete) return;
    open.isComplete = true;
    const whole = open.hasPieces ? {} : { input };
    this.#host.say({ verb: "tool-call", ...callOf(open), ...whole });
  }

  #start(open: OpenItem | undefined): void {
    if (open === undefined || open.isStarted || !open.providerExecuted) return;
    open.isStarted = true;
    this.#host.say({ verb: "tool-started", toolId: open.toolId });
  }

  #finish(open: OpenItem, type: string, item: JsonRecord): void {
    this.#complete(open, inputOf(type, item));
    if (!open.providerExecuted) return;
    const { toolId } = open;
    const error = item["error"];
    if (error !== undefined && error !== null) {
      const errorText = typeof error === "string" ? error : (mcpErrorText(error) ?? JSON.stringify(error));
      this.#host.say({ verb: "tool-error", toolId, errorText });
    } else if (item["status"] === "failed") {
      this.#host.say({ verb: "tool-error", toolId, errorText: `The provider's ${open.name} failed.` });
    } else if (type === "mcp_call") {
      this.#host.say({ verb: "tool-result", toolId, output: item["output"] ?? null });
    } else if (HOSTED.has(type)) {
      this.#finishHosted(toolId, type, item);
    }
  }

  #finishHosted(toolId: string, type: string, item: JsonRecord): void {
    const { results = [] } = HOSTED.get(type) ?? {};
    const output = present(Object.fromEntries(results.map((field) => [field, item[field]])));
    const image = type === "image_generation_call" ? filledText(item["result"]) : undefined;
    const format = filledText(item["output_format"]) ?? "png";
    const facts = { status: item["status"], revisedPrompt: item["revised_prompt"] };
    this.#host.say({ verb: "tool-result", toolId, output: { ...present(facts), ...output } });
    // The image itself is a part of the answer; in the tool's output it would be kept twice.
    if (image !== undefined) this.#host.say({ verb: "file", mediaType: `image/${format}`, data: image });
  }

  /** The output of a call that ran in the provider's container, as an item of its own. */
  #readOutput(item: JsonRecord, isDone: boolean): boolean {
    const toolId = this.#toolIds.get(text(item["call_id"]));
    if (toolId === undefined) return false;
    if (isDone) this.#host.say({ verb: "tool-result", toolId, output: item["output"] ?? null });
    return true;
  }

  #readApprovalRequest(item: JsonRecord, isDone: boolean): boolean {
    if (!isDone) return true;
    const sentId = text(item["id"]);
    const toolId = this.#host.claimToolId(sentId);
    this.#toolIds.set(sentId, toolId);
    this.#host.say(
      {
        verb: "tool-call",
        toolId,
        name: text(item["name"]),
        input: text(item["arguments"]),
        providerExecuted: true,
        providerMetadata: { openai: present({ itemId: item["id"], serverLabel: item["server_label"] }) },
      },
      { verb: "tool-approval", toolId, approval: "requested", approvalId: sentId },
    );
    return true;
  }
}

function callOf({ toolId, name, providerExecuted }: OpenItem): {
  toolId: string;
  name: string;
  providerExecuted?: boolean;
} {
  return { toolId, name, ...(providerExecuted ? { providerExecuted } : {}) };
}

function isHosted(type: string, item: JsonRecord): boolean {
  if (HOSTED.has(type) || type === "mcp_call") return true;
  if (type === "tool_search_call") return item["execution"] === "server";
  return text(record(item["environment"])["type"]).startsWith("container");
}

function nameOf(type: string, item: JsonRecord): string {
  return filledText(item["name"]) ?? HOSTED.get(type)?.name ?? type.slice(0, -"_call".length);
}

/** Arguments, input and code are what the model wrote; of the other tools it is what the item says of the call. */
function inputOf(type: string, item: JsonRecord): string {
  const written = item["arguments"] ?? item["input"] ?? item["code"];
  if (typeof written === "string") return written;
  if (isRecord(written)) return JSON.stringify(written);
  if (type === "image_generation_call") return "{}"; // The item repeats the request's settings, not the model's words.
  const { results = [] } = HOSTED.get(type) ?? {};
  const said = presentExcept(item, [...COMMON_FIELDS, ...results]);
  const only = said["action"] ?? said["operation"];
  return JSON.stringify(only ?? said);
}

function mcpErrorText(error: unknown): string | undefined {
  const fields = record(error);
  const texts = list(fields["content"]).map((part) => text(record(part)["text"]));
  return filledText(fields["message"]) ?? filledText(texts.join(""));
}
