import { StateError, StoreError } from "../errors.ts";
import type { Cause, Outcome, Splice, TurnError } from "../events/conversation-event.ts";
import { contentChecksum } from "../events/content-checksum.ts";
import { checkDraft } from "../events/event-codec.ts";
import type { FilePart, SourcePart, StoredPart, ToolPart } from "../events/stored-part.ts";
import { handled } from "./deferred.ts";
import { onExit } from "./exit-flush.ts";
import type { Flushable, FlushScheduler } from "./flush-scheduler.ts";
import type { ModelMessage } from "./model-message-types.ts";
import type { ModelMessagesOptions } from "./model-messages.ts";
import type { Session } from "./session.ts";
import type {
  ApprovalOptions,
  DeltaOptions,
  FinishOptions,
  StepOptions,
  ToolCallOptions,
  ToolResultOptions,
  Turn,
} from "./turn.ts";
import { newToolCall, withApproval, withInput, withOutput, withStart } from "./tool-call-states.ts";
import { TurnContent, type UpdateDraft } from "./turn-content.ts";
import { checkFits, checkText } from "./turn-limits.ts";
import { TurnOutbox } from "./turn-outbox.ts";
import type { TurnParts } from "./turn-parts.ts";
import type { TimedDraft } from "./writer.ts";

const DONE = Promise.resolve();

/** Stands for the checksum that is not known before the turn's last event is sent. */
const NO_CONTENT = contentChecksum("");

/** UTF-16 units up to which a delta fits into every log's append, however it is escaped. */
const LONGEST_SMALL_DELTA = 4096;

export type PromptOptions = ModelMessagesOptions & { limit?: number | undefined };

export interface TurnWriterOptions {
  session: Session;
  turnId: string;
  messageId: number;
  scheduler: FlushScheduler;
  maxAppendBytes: number;
  signal?: AbortSignal | undefined;
  readPrompt(options: PromptOptions | undefined): Promise<ModelMessage[]>;
  /** Called once, when nothing more will be written. */
  onClose(): void;
}

/**
 * Writes one turn. It keeps the JSON of the parts as splices, coalesces the deltas of a window into one event,
 * and sends them before any structural event. See `Turn` for what each call promises.
 */
export class TurnWriter implements Turn, Flushable {
  readonly sessionId: string;
  readonly messageId: number;
  readonly turnId: string;
  readonly #content: TurnContent;
  readonly #outbox: TurnOutbox;
  readonly #options: TurnWriterOptions;
  readonly #takeBackExit: () => void;
  #outcome: Outcome | undefined;
  /** The scheduler will call flushWindow. */
  #isScheduled = false;

  constructor(options: TurnWriterOptions) {
    this.#options = options;
    this.sessionId = options.session.id;
    this.messageId = options.messageId;
    this.turnId = options.turnId;
    this.#content = new TurnContent(options.turnId, options.messageId);
    this.#outbox = new TurnOutbox(options.session, this, options.maxAppendBytes, () => this.#close());
    this.#takeBackExit = onExit(() => this.#flushAtExit());
    if (options.signal?.aborted === true) this.#onAbort();
    else options.signal?.addEventListener("abort", this.#onAbort);
  }

  textDelta(text: string, options?: DeltaOptions): Promise<void> {
    return this.#extend("text", text, options) ?? this.#delta("text", text, options);
  }

  reasoningDelta(text: string, options?: DeltaOptions): Promise<void> {
    return this.#extend("reasoning", text, options) ?? this.#delta("reasoning", text, options);
  }

  toolInputStart(call: ToolCallOptions): Promise<void> {
    return this.#call(() => {
      this.#parts.refuseKnownTool(call.toolId);
      return this.#addTool(newToolCall(call, "", "input-streaming"));
    });
  }

  toolInputDelta(toolId: string, text: string): Promise<void> {
    return this.#call(() => {
      checkText(text);
      if (this.#parts.tool(toolId).state !== "input-streaming") {
        throw new StateError(
          "tool-input-complete",
          `The input of tool call "${toolId}" is complete already.`,
        );
      }
      this.#checkFits(text);
      this.#addDelta(this.#parts.appendInput(toolId, text));
      return this.#outbox.whenReady() ?? DONE;
    });
  }

  toolCall(call: ToolCallOptions & { input?: string | undefined }): Promise<void> {
    return this.#call(() => {
      if (!this.#parts.hasTool(call.toolId))
        return this.#addTool(newToolCall(call, call.input ?? "", "input-available"));
      const streamed = this.#parts.tool(call.toolId);
      if (streamed.state !== "input-streaming") this.#parts.refuseKnownTool(call.toolId);
      return this.#changeTool("tool-call", withInput(streamed, call));
    });
  }

  toolApproval(
    toolId: string,
    approval: "requested" | "approved" | "denied",
    options: ApprovalOptions = {},
  ): Promise<void> {
    return this.#call(() =>
      this.#changeTool("approval", withApproval(this.#parts.tool(toolId), approval, options)),
    );
  }

  toolStarted(toolId: string): Promise<void> {
    return this.#call(() =>
      this.#changeTool("tool-started", withStart(this.#parts.tool(toolId), Date.now())),
    );
  }

  toolResult(toolId: string, output: unknown, options: ToolResultOptions = {}): Promise<void> {
    return this.#endTool(
      "tool-result",
      toolId,
      { output: output ?? null, state: "output-available" },
      options,
    );
  }

  toolError(toolId: string, errorText: string, options: ToolResultOptions = {}): Promise<void> {
    return this.#endTool("tool-error", toolId, { output: errorText, state: "output-error" }, options);
  }

  source(source: Omit<SourcePart, "kind">): Promise<void> {
    return this.#call(() => this.#addPart({ ...source, kind: "source" }));
  }

  file(file: Omit<FilePart, "kind">): Promise<void> {
    return this.#call(() => this.#addPart({ kind: "file", ...file }));
  }

  stepFinish(step: StepOptions = {}): Promise<void> {
    return this.#call(() => this.#structural("step", this.#newPart({ kind: "step", ...step })));
  }

  finish(options: FinishOptions = {}): Promise<void> {
    return this.#end("finished", options);
  }

  fail(error: TurnError | Error, options: FinishOptions = {}): Promise<void> {
    // What is thrown need not be an Error, and what is caught goes in here.
    const { message, code } = (error ?? {}) as { message?: unknown; code?: unknown };
    const reason: TurnError = { message: typeof message === "string" ? message : String(error) };
    if (typeof code === "string") reason.code = code;
    return this.#end("failed", options, reason);
  }

  abort(reason?: string): Promise<void> {
    return this.#end("aborted", {}, reason === undefined ? undefined : { message: reason });
  }

  flush(): Promise<void> {
    return this.#call(() => {
      this.flushWindow();
      return this.#outbox.whenAcknowledged();
    }, true);
  }

  /**
   * The prompt for the next model call of this turn: getMessages with what the turn has written so far, and without
   * the answer that it writes anew.
   */
  async prompt(options?: PromptOptions): Promise<ModelMessage[]> {
    await this.flush();
    return this.#options.readPrompt(options);
  }

  /** Writes what is buffered and lets go of the turn without ending it: the store is being closed. */
  async detach(): Promise<void> {
    try {
      await this.flush();
    } finally {
      this.#outbox.fail(new StoreError("store-closed", "The store has been closed: the turn cannot go on."));
    }
  }

  /** The window is over: what is pending becomes an event. */
  flushWindow(): void {
    this.#isScheduled = false;
    this.#closePending();
    this.#outbox.send();
  }

  /** Runs a call in its turn: what it throws is this call's alone, and never an unhandled rejection. */
  #call(action: () => Promise<void>, alsoWhenEnded = false): Promise<void> {
    try {
      this.#outbox.check();
      if (this.#outcome !== undefined && !alsoWhenEnded) throw this.#turnEnded(this.#outcome);
      return action();
    } catch (error) {
      return handled(Promise.reject(error));
    }
  }

  #turnEnded(outcome: Outcome): StateError {
    return new StateError(
      "turn-ended",
      `Turn ${this.turnId} has ended as ${outcome}: nothing can be added to it.`,
      { details: { outcome } },
    );
  }

  /**
   * The commonest delta of all: more text for the part that is growing. It takes a shorter way than `#delta`, to the
   * same end; undefined where it is anything else.
   */
  #extend(
    kind: "text" | "reasoning",
    text: string,
    options: DeltaOptions | undefined,
  ): Promise<void> | undefined {
    if (options !== undefined || this.#outcome !== undefined || typeof text !== "string") return undefined;
    if (text === "" || text.length > LONGEST_SMALL_DELTA || this.#outbox.hasFailed) return undefined;
    if (!this.#content.extend(kind, text)) return undefined;
    if (this.#content.isFull) this.flushWindow();
    else this.#scheduleFlush();
    return this.#outbox.whenReady() ?? DONE;
  }

  #scheduleFlush(): void {
    if (this.#isScheduled) return;
    this.#isScheduled = true;
    this.#options.scheduler.schedule(this);
  }

  #delta(kind: "text" | "reasoning", text: string, options: DeltaOptions | undefined): Promise<void> {
    return this.#call(() => {
      checkText(text);
      const { providerMetadata, block } = options ?? {};
      const target = this.#parts.target(kind, block);
      const saysNothing = text === "" && providerMetadata === undefined;
      if (saysNothing && (target.index !== undefined || block === undefined)) return DONE;
      this.#checkFits(text, providerMetadata);
      for (const splice of this.#parts.write(target, text, providerMetadata)) this.#addDelta(splice);
      return this.#outbox.whenReady() ?? DONE;
    });
  }

  #addDelta(splice: Splice | undefined): void {
    if (splice === undefined) return;
    this.#push(this.#content.addDelta(splice));
    if (this.#content.isFull) this.flushWindow();
    else this.#scheduleFlush();
  }

  get #parts(): TurnParts {
    return this.#content.parts;
  }

  #newPart(part: StoredPart): Splice {
    this.#checkFits(JSON.stringify(part));
    return this.#parts.add(part);
  }

  #addPart(part: StoredPart): Promise<void> {
    this.#addDelta(this.#newPart(part));
    return this.#outbox.whenReady() ?? DONE;
  }

  #addTool(tool: ToolPart): Promise<void> {
    this.#checkFits(JSON.stringify(tool));
    return this.#structural("tool-call", this.#parts.addTool(tool));
  }

  #changeTool(cause: Cause, tool: ToolPart): Promise<void> {
    this.#checkFits(JSON.stringify(tool));
    const splice = this.#parts.replaceTool(tool);
    return splice === undefined ? this.flush() : this.#structural(cause, splice);
  }

  #endTool(
    cause: Cause,
    toolId: string,
    result: Pick<ToolPart, "output" | "state">,
    options: ToolResultOptions,
  ): Promise<void> {
    return this.#call(() =>
      this.#changeTool(cause, withOutput(this.#parts.tool(toolId), result, options, Date.now())),
    );
  }

  #checkFits(text: string, extra?: unknown): void {
    checkFits(this.#options.maxAppendBytes, text, extra);
  }

  #closePending(): void {
    this.#push(this.#content.takeDeltas());
  }

  #push(update: UpdateDraft | undefined): void {
    if (update !== undefined) this.#outbox.push(update.draft, update.units, update.bytes);
  }

  #structural(cause: Cause, splice: Splice): Promise<void> {
    this.#closePending();
    this.#push(this.#content.update(cause, [splice], Date.now()));
    const done = this.#outbox.whenAcknowledged();
    this.#outbox.send();
    return done;
  }

  #end(outcome: Outcome, options: FinishOptions, error?: TurnError): Promise<void> {
    return this.#call(() => {
      const { turnId, messageId } = this;
      const { finishReason, usage } = options;
      const given = { turnId, messageId, outcome, finishReason, usage, error };
      const json = JSON.stringify(given);
      // What the log will give back: no undefined, no shared references.
      const end = JSON.parse(json) as typeof given;
      checkDraft({ type: "TurnEnded", data: { ...end, content: NO_CONTENT } });
      this.#checkFits(json);
      this.#closePending();
      const released = this.#parts.release();
      const time = Date.now();
      if (released.length > 0) this.#push(this.#content.update("delta", released, time));
      this.#outcome = outcome;
      // Nothing changes the content from here on.
      const ended = (): TimedDraft => {
        const data = { ...end, content: this.#content.checksum() };
        return { type: "TurnEnded", data, turnId, time };
      };
      this.#outbox.push(ended, 0, json.length * 3);
      const done = this.#outbox.whenAcknowledged();
      this.#outbox.send();
      return handled(done.finally(() => this.#close()));
    });
  }

  readonly #onAbort = (): void => {
    const reason = this.#options.signal?.reason as unknown;
    void this.abort(reason instanceof Error ? reason.message : undefined);
  };

  #flushAtExit(): void {
    this.#closePending();
    this.#options.session.appendAtExit(this.#outbox.takeUnsent());
  }

  #close(): void {
    this.#takeBackExit();
    this.#outbox.close();
    this.#options.signal?.removeEventListener("abort", this.#onAbort);
    this.#options.onClose();
  }
}
