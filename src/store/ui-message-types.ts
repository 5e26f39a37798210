import type { TurnError } from "../events/conversation-event.ts";
import type { Usage } from "../events/stored-part.ts";
import type { MessageStatus } from "../projections/stored-message.ts";
import type { ProviderOptions } from "./model-message-types.ts";

/**
 * Messages for display, in the shape of the Vercel AI SDK's `UIMessage`. Declared here, so that the library needs
 * no SDK; type tests check that it fits the SDK's own types.
 */
export interface UIMessage {
  /** The message's numeric id as a string. */
  id: string;
  role: "system" | "user" | "assistant";
  metadata: UIMessageMetadata;
  parts: UIMessagePart[];
}

/** The message's own metadata, and beside it what the store knows. Times are ISO 8601. */
export interface UIMessageMetadata {
  turnlog: {
    status: MessageStatus;
    createdAt: string;
    updatedAt: string;
    /** How many variants there are, and which is shown: what selectBranch takes. */
    variants: number;
    activeBranch: number;
    usage?: Usage;
    finishReason?: string;
    error?: TurnError;
    externalId?: string;
  };
  [key: string]: unknown;
}

interface WithProviderMetadata {
  providerMetadata?: ProviderOptions;
}

/** A text; `streaming` while it may grow. */
export interface TextUIPart extends WithProviderMetadata {
  type: "text";
  text: string;
  state: "streaming" | "done";
}

/** Reasoning; `streaming` while it may grow. */
export interface ReasoningUIPart extends WithProviderMetadata {
  type: "reasoning";
  text: string;
  state: "streaming" | "done";
}

/** A file, by its address or as a data URL. */
export interface FileUIPart extends WithProviderMetadata {
  type: "file";
  mediaType: string;
  filename?: string;
  /** Of a file kept as bytes a `data:` URL. */
  url: string;
}

/** A citation of a page. */
export interface SourceUrlUIPart extends WithProviderMetadata {
  type: "source-url";
  sourceId: string;
  url: string;
  title?: string;
}

/** A citation of a document. */
export interface SourceDocumentUIPart extends WithProviderMetadata {
  type: "source-document";
  sourceId: string;
  mediaType: string;
  title: string;
  filename?: string;
}

/** Where a step begins. */
export interface StepStartUIPart {
  type: "step-start";
}

interface ToolUIPartBase {
  toolCallId: string;
  providerExecuted?: boolean;
  callProviderMetadata?: ProviderOptions;
}

interface Granted {
  id: string;
  approved: true;
  reason?: string;
}

/** How far a tool call has come, with what is known by then. */
export type ToolUIState =
  | { state: "input-streaming"; input: unknown; rawInput: string }
  | { state: "input-available"; input: unknown }
  | { state: "approval-requested"; input: unknown; approval: { id: string } }
  | {
      state: "approval-responded";
      input: unknown;
      approval: { id: string; approved: boolean; reason?: string };
    }
  | { state: "output-available"; input: unknown; output: unknown; approval?: Granted }
  | { state: "output-error"; input: unknown; errorText: string; approval?: Granted }
  | { state: "output-denied"; input: unknown; approval: { id: string; approved: false; reason?: string } };

/** A tool call; its type names the tool. */
export type StaticToolUIPart = ToolUIPartBase & ToolUIState & { type: `tool-${string}` };
/** A tool call of a tool that has no type. */
export type DynamicToolUIPart = ToolUIPartBase & ToolUIState & { type: "dynamic-tool"; toolName: string };

/** A part of a message for display. */
export type UIMessagePart =
  | TextUIPart
  | ReasoningUIPart
  | FileUIPart
  | SourceUrlUIPart
  | SourceDocumentUIPart
  | StepStartUIPart
  | StaticToolUIPart
  | DynamicToolUIPart;
