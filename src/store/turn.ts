import type { FilePart, ProviderMetadata, SourcePart, Usage } from "../events/stored-part.ts";
import type { TurnError } from "../events/conversation-event.ts";

/** What goes with a delta. */
export interface DeltaOptions {
  /** Names the provider's block: a delta of another block begins a new part, one of a known block extends its part. */
  block?: string | undefined;
  /** Merged into the part's providerMetadata (a reasoning signature, say); the text may be empty then. */
  providerMetadata?: ProviderMetadata | undefined;
}

/** A tool call as the model makes it. */
export interface ToolCallOptions {
  toolId: string;
  name: string;
  /** The provider runs it itself (a server-side tool). */
  providerExecuted?: boolean | undefined;
  providerMetadata?: ProviderMetadata | undefined;
}

/** What goes with a tool's result or error. */
export interface ToolResultOptions {
  /** Default: the time since toolStarted, where that was called. */
  durationMs?: number | undefined;
  providerMetadata?: ProviderMetadata | undefined;
}

/** What goes with the question to a human, and with the answer. */
export interface ApprovalOptions {
  approvalId?: string | undefined;
  reason?: string | undefined;
  providerMetadata?: ProviderMetadata | undefined;
}

/** What is known at the end of a step. */
export interface StepOptions {
  finishReason?: string | undefined;
  usage?: Usage | undefined;
  providerMetadata?: ProviderMetadata | undefined;
}

/** What is known at the end of a turn. */
export interface FinishOptions {
  finishReason?: string | undefined;
  usage?: Usage | undefined;
}

/**
 * One turn being written: the model's stream goes in call by call. Every method may be left un-awaited: calls
 * take effect in the order in which they are made, and a failure never becomes an unhandled rejection; it is
 * thrown by that call's promise where it concerns that call alone (`turn-ended`, `unknown-tool`,
 * `tool-call-exists`), and by every later call and `finish` where the log failed for good or the turn was lost
 * (`turn-lost`).
 *
 * Deltas resolve when more can be taken (back-pressure), not when they are durable. Structural calls resolve
 * when the log has acknowledged them.
 */
export interface Turn {
  readonly sessionId: string;
  readonly messageId: number;
  readonly turnId: string;

  /** A piece of text: it grows the text part that is growing, or its block's, or begins a new one. */
  textDelta(text: string, options?: DeltaOptions): Promise<void>;
  /** A piece of reasoning, in the same way. */
  reasoningDelta(text: string, options?: DeltaOptions): Promise<void>;

  /** A call whose input arrives in pieces: toolInputStart, toolInputDelta …, then toolCall without `input` (or with the final one). */
  toolInputStart(call: ToolCallOptions): Promise<void>;
  /** A piece of the input. @throws `unknown-tool`, `tool-input-complete` */
  toolInputDelta(toolId: string, text: string): Promise<void>;
  /** The call is complete: its input is available. Without `input` the streamed pieces stand. */
  toolCall(call: ToolCallOptions & { input?: string | undefined }): Promise<void>;
  /** Asks a human, or records the answer; `denied` ends the call as output-denied. */
  toolApproval(
    toolId: string,
    approval: "requested" | "approved" | "denied",
    options?: ApprovalOptions,
  ): Promise<void>;
  /** Its execution begins: from here until its result, the outcome is unknown after a crash. */
  toolStarted(toolId: string): Promise<void>;
  /** Its result, any JSON. @throws `unknown-tool`, `event-too-large` */
  toolResult(toolId: string, output: unknown, options?: ToolResultOptions): Promise<void>;
  /** Its failure. @throws `unknown-tool` */
  toolError(toolId: string, errorText: string, options?: ToolResultOptions): Promise<void>;

  /** A citation. */
  source(source: Omit<SourcePart, "kind">): Promise<void>;
  /** A file that the model made. */
  file(file: Omit<FilePart, "kind">): Promise<void>;
  /** The end of a step: what follows belongs to the next model call. */
  stepFinish(step?: StepOptions): Promise<void>;

  /** Ends the turn as finished. */
  finish(options?: FinishOptions): Promise<void>;
  /** Ends the turn as failed; `error` may be whatever was thrown. */
  fail(error: TurnError | Error, options?: FinishOptions): Promise<void>;
  /** Ends the turn as aborted. */
  abort(reason?: string): Promise<void>;

  /** Resolves when everything so far is durable at least to `process`. */
  flush(): Promise<void>;
}
