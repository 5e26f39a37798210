import type { Outcome } from "../events/conversation-event.ts";
import type { ProviderMetadata, Usage } from "../events/stored-part.ts";
import type { Turn } from "../store/turn.ts";
import type { AIStreamPart } from "./ai-stream-part.ts";
import { sumOfUsage, usageOf } from "./ai-usage.ts";
import { KindCounts } from "./kind-counts.ts";
import { TurnToolCalls } from "./turn-tool-calls.ts";

/** A tool call that waits for a human. */
export interface PendingApproval {
  approvalId: string;
  toolId: string;
  name: string;
  input: unknown;
}

/** What was recorded of a stream, and how the turn ended. */
export interface RecordedStream {
  /** How the turn ended; `open` where endTurn is false and the stream ran to its end. */
  outcome: Outcome | "open";
  finishReason?: string | undefined;
  usage?: Usage | undefined;
  steps: number;
  toolCalls: number;
  /** Tool calls that wait for a human. */
  pendingApprovals: PendingApproval[];
  /** Why it failed, or why it was aborted. */
  error?: { message: string; code?: string | undefined } | undefined;
  /** Kinds of parts that were not recorded, and how often each came. */
  unknownKinds: Record<string, number>;
}

/** What the streams before used, of turns that were left open. */
const earlierUsage = new WeakMap<Turn, Usage>();

/** How many streams went into a turn: each uses the same ids for its blocks. */
const streamsOfTurn = new WeakMap<Turn, number>();

type PartOf<Type extends AIStreamPart["type"]> = Extract<AIStreamPart, { type: Type }>;

/** Takes the parts of a fullStream one by one, and at last ends the turn. See recordStream. */
export class AIStreamRecorder {
  readonly #turn: Turn;
  readonly #calls: TurnToolCalls;
  readonly #stream: number;
  readonly #unknown = new KindCounts();
  readonly #approvals = new Map<string, PendingApproval>();
  /** The stream's block → the turn's: the stream uses its ids again in every step. */
  readonly #blocks = new Map<string, string>();
  /** Raw input of calls that is still streaming, by the stream's id. */
  readonly #inputs = new Map<string, string>();
  #newBlocks = 0;
  #steps = 0;
  #toolCalls = 0;
  #finish: PartOf<"finish"> | undefined;
  #error: { message: string; code?: string } | undefined;
  #aborted: PartOf<"abort"> | undefined;

  constructor(turn: Turn) {
    this.#turn = turn;
    this.#calls = TurnToolCalls.of(turn);
    this.#stream = (streamsOfTurn.get(turn) ?? 0) + 1;
    streamsOfTurn.set(turn, this.#stream);
  }

  async read(part: AIStreamPart): Promise<void> {
    switch (part.type) {
      case "text-start":
      case "reasoning-start":
        this.#blocks.delete(blockKey(part));
        return this.#write(part, "");
      case "text-delta":
      case "reasoning-delta":
        return this.#write(part, part.text);
      case "text-end":
      case "reasoning-end":
        return this.#write(part, "");
      case "tool-input-start":
        return this.#inputStart(part);
      case "tool-input-delta":
        return this.#inputDelta(part);
      case "tool-call":
        return this.#toolCall(part);
      case "tool-result":
        return part.preliminary === true ? undefined : this.#toolResult(part);
      case "tool-error":
        return this.#toolError(part);
      case "tool-approval-request":
        return this.#approvalRequest(part);
      case "tool-approval-response":
        return this.#answer(part.toolCall.toolCallId, part.approved, part.approvalId, part.reason);
      case "tool-output-denied":
        return this.#answer(part.toolCallId, false);
      case "source": {
        const { type: _type, ...source } = part;
        return this.#turn.source(source);
      }
      case "file": {
        const { mediaType, base64 } = part.file;
        return this.#turn.file({ mediaType, data: base64, ...metadata(part) });
      }
      case "finish-step": {
        this.#steps++;
        const { finishReason, usage } = part;
        return this.#turn.stepFinish({ finishReason, usage: usageOf(usage), ...metadata(part) });
      }
      case "finish":
        this.#finish = part;
        return;
      case "abort":
        this.#aborted = part;
        return;
      case "error":
        this.streamFailed(part.error);
        return;
      case "tool-input-end":
      case "start":
      case "start-step":
      case "raw":
      case "ping":
        return;
      default:
        this.#unknown.add(String((part as { type: unknown }).type));
    }
  }

  streamFailed(error: unknown): void {
    const { code } = error as { code?: unknown };
    this.#error ??= { message: messageOf(error), ...(typeof code === "string" ? { code } : {}) };
  }

  async end(endTurn: boolean): Promise<RecordedStream> {
    const finishReason = this.#finish?.finishReason;
    const usage = sumOfUsage(earlierUsage.get(this.#turn), usageOf(this.#finish?.totalUsage));
    const ending = { finishReason, usage };
    if (this.#aborted !== undefined) {
      await this.#turn.abort(this.#aborted.reason);
      return this.result("aborted");
    }
    if (this.#finish === undefined)
      this.#error ??= { message: "The stream ended before the model did.", code: "stream-ended-early" };
    else if (finishReason === "error")
      this.#error ??= { message: "The model's stream ended with an error that it did not name." };
    if (this.#error !== undefined) {
      await this.#turn.fail(this.#error, ending);
      return this.result("failed");
    }
    if (!endTurn) {
      if (usage !== undefined) earlierUsage.set(this.#turn, usage);
      await this.#turn.flush();
      return this.result("open");
    }
    await this.#turn.finish(ending);
    return this.result("finished");
  }

  result(outcome: RecordedStream["outcome"]): RecordedStream {
    const reason = this.#aborted?.reason;
    return {
      outcome,
      finishReason: this.#finish?.finishReason,
      usage: usageOf(this.#finish?.totalUsage),
      steps: this.#steps,
      toolCalls: this.#toolCalls,
      pendingApprovals: [...this.#approvals.values()],
      error: this.#error ?? (reason === undefined ? undefined : { message: reason }),
      unknownKinds: Object.fromEntries(this.#unknown.counts),
    };
  }

  /** A block without text leaves a part only where the provider said something of it. */
  async #write(part: { type: string; id: string } & WithMetadata, text: string): Promise<void> {
    if (text === "" && part.providerMetadata === undefined) return;
    const key = blockKey(part);
    const block = this.#blocks.get(key) ?? `${key} ${this.#stream}.${++this.#newBlocks}`;
    this.#blocks.set(key, block);
    const options = { block, ...metadata(part) };
    return part.type.startsWith("text")
      ? this.#turn.textDelta(text, options)
      : this.#turn.reasoningDelta(text, options);
  }

  async #inputStart(part: PartOf<"tool-input-start">): Promise<void> {
    const toolId = this.#calls.begin(part.id);
    if (this.#calls.complete.has(toolId)) return;
    this.#inputs.set(toolId, "");
    const { providerExecuted } = part;
    await this.#turn.toolInputStart({ toolId, name: part.toolName, providerExecuted, ...metadata(part) });
  }

  async #inputDelta(part: PartOf<"tool-input-delta">): Promise<void> {
    const toolId = this.#calls.idOf(part.id);
    const before = this.#inputs.get(toolId);
    if (before === undefined || this.#calls.complete.has(toolId)) return;
    this.#inputs.set(toolId, before + part.delta);
    await this.#turn.toolInputDelta(toolId, part.delta);
  }

  async #toolCall(part: PartOf<"tool-call">): Promise<void> {
    const { toolCallId, toolName: name, providerExecuted } = part;
    const streamedId = this.#calls.idOf(toolCallId);
    const streamed = this.#inputs.get(streamedId);
    const toolId = streamed === undefined ? this.#calls.begin(toolCallId) : streamedId;
    this.#inputs.delete(toolId);
    this.#toolCalls++;
    if (!this.#calls.complete.has(toolId)) {
      // The raw text stands as the model sent it, unless the SDK had to repair it.
      const input = streamed !== undefined && isJson(streamed) ? {} : { input: inputText(part) };
      await this.#turn.toolCall({ toolId, name, providerExecuted, ...input, ...metadata(part) });
    }
    this.#calls.pass(toolId);
    const isRunHere = providerExecuted !== true && part.invalid !== true;
    if (isRunHere && !this.#calls.startsAreRecorded.has(name)) await this.#turn.toolStarted(toolId);
  }

  async #toolResult(part: PartOf<"tool-result">): Promise<void> {
    const toolId = await this.#knownCall(part);
    await this.#turn.toolResult(toolId, part.output, metadata(part));
  }

  async #toolError(part: PartOf<"tool-error">): Promise<void> {
    const toolId = await this.#knownCall(part);
    await this.#turn.toolError(toolId, messageOf(part.error), metadata(part));
  }

  /** The result of a call that an earlier turn made and a human approved since comes without the call. */
  async #knownCall(part: PartOf<"tool-result" | "tool-error">): Promise<string> {
    const toolId = this.#calls.idOf(part.toolCallId);
    this.#approvals.delete(toolId);
    if (this.#calls.complete.has(toolId)) return toolId;
    const { toolName: name, providerExecuted } = part;
    this.#calls.complete.add(toolId);
    await this.#turn.toolCall({ toolId, name, input: inputText(part), providerExecuted });
    return toolId;
  }

  async #approvalRequest(part: PartOf<"tool-approval-request">): Promise<void> {
    const { approvalId, signature } = part;
    const { toolCallId, toolName: name, input } = part.toolCall;
    const toolId = this.#calls.idOf(toolCallId);
    this.#approvals.set(toolId, { approvalId, toolId, name, input });
    const signed = signature === undefined ? {} : { turnlog: { approvalSignature: signature } };
    await this.#turn.toolApproval(toolId, "requested", {
      approvalId,
      ...(signature === undefined ? {} : { providerMetadata: signed }),
    });
  }

  async #answer(
    toolCallId: string,
    isApproved: boolean,
    approvalId?: string,
    reason?: string,
  ): Promise<void> {
    const toolId = this.#calls.idOf(toolCallId);
    this.#approvals.delete(toolId);
    // A refusal of an earlier turn's call is recorded there.
    if (!this.#calls.complete.has(toolId)) return;
    await this.#turn.toolApproval(toolId, isApproved ? "approved" : "denied", { approvalId, reason });
  }
}

function blockKey(part: { type: string; id: string }): string {
  return `${part.type.slice(0, part.type.indexOf("-"))} ${part.id}`;
}

interface WithMetadata {
  providerMetadata?: ProviderMetadata | undefined;
}

function metadata({ providerMetadata }: WithMetadata): WithMetadata {
  return providerMetadata === undefined ? {} : { providerMetadata };
}

function inputText({ input, ...part }: { input?: unknown; invalid?: boolean | undefined }): string {
  // What the SDK could not parse it hands on as it came.
  return part.invalid === true && typeof input === "string" ? input : (JSON.stringify(input) ?? "");
}

function isJson(text: string): boolean {
  try {
    JSON.parse(text);
    return true;
  } catch {
    return false;
  }
}

/** What an error of any shape says. */
export function messageOf(error: unknown): string {
  if (error instanceof Error) return error.message;
  return typeof error === "string" ? error : (JSON.stringify(error) ?? String(error));
}
