/**
 * The prompt in the shape of the Vercel AI SDK's `ModelMessage`. Declared here, so that the library needs no SDK;
 * type tests check that it fits the SDK's own types.
 */

export type JsonValue = null | string | number | boolean | JsonObject | JsonValue[];
export type JsonObject = { [key: string]: JsonValue | undefined };

/** By provider: what it said of a part, handed back to it. */
export type ProviderOptions = Record<string, JsonObject>;

interface WithProviderOptions {
  providerOptions?: ProviderOptions;
}

export interface TextModelPart extends WithProviderOptions {
  type: "text";
  text: string;
}

export interface ReasoningModelPart extends WithProviderOptions {
  type: "reasoning";
  text: string;
}

export interface ImageModelPart extends WithProviderOptions {
  type: "image";
  /** Base64, or a URL. */
  image: string;
  mediaType?: string;
}

export interface FileModelPart extends WithProviderOptions {
  type: "file";
  /** Base64, or a URL. */
  data: string;
  mediaType: string;
  filename?: string;
}

export interface ToolCallModelPart extends WithProviderOptions {
  type: "tool-call";
  toolCallId: string;
  toolName: string;
  input: unknown;
  providerExecuted?: boolean;
}

export interface ToolResultModelPart extends WithProviderOptions {
  type: "tool-result";
  toolCallId: string;
  toolName: string;
  output: ToolResultOutput;
}

export type ToolResultOutput =
  | { type: "text" | "error-text"; value: string }
  | { type: "json" | "error-json"; value: JsonValue }
  | { type: "execution-denied"; reason?: string }
  | { type: "content"; value: ToolResultContentItem[] };

/** What a tool may return beside text and JSON: several items, images and files among them. */
export type ToolResultContentItem = WithProviderOptions &
  (
    | { type: "text"; text: string }
    | { type: "file-data"; data: string; mediaType: string; filename?: string }
    | { type: "file-url"; url: string; mediaType?: string }
    | { type: "image-data"; data: string; mediaType: string }
    | { type: "image-url"; url: string }
  );

export interface ToolApprovalRequestModelPart {
  type: "tool-approval-request";
  approvalId: string;
  toolCallId: string;
  signature?: string;
}

export interface ToolApprovalResponseModelPart {
  type: "tool-approval-response";
  approvalId: string;
  approved: boolean;
  reason?: string;
  providerExecuted?: boolean;
}

/** An instruction to the model. */
export interface SystemModelMessage extends WithProviderOptions {
  role: "system";
  content: string;
}

/** What the user said. */
export interface UserModelMessage {
  role: "user";
  content: string | (TextModelPart | ImageModelPart | FileModelPart)[];
}

export type AssistantModelPart =
  | TextModelPart
  | ReasoningModelPart
  | FileModelPart
  | ToolCallModelPart
  | ToolResultModelPart
  | ToolApprovalRequestModelPart;

/** One step of an answer. */
export interface AssistantModelMessage {
  role: "assistant";
  content: string | AssistantModelPart[];
}

export type ToolModelPart = ToolResultModelPart | ToolApprovalResponseModelPart;

/** Results of the step before, and answers to its approval requests. */
export interface ToolModelMessage {
  role: "tool";
  content: ToolModelPart[];
}

/** A message of a prompt, as the AI SDK has them. */
export type ModelMessage = SystemModelMessage | UserModelMessage | AssistantModelMessage | ToolModelMessage;

/**
 * A prompt message as replaceMessages takes it: what getMessages gives, and what the SDK itself makes
 * (`response.messages`), of any version. What cannot be stored is refused when it is read.
 */
export interface ModelMessageInput {
  role: "system" | "user" | "assistant" | "tool";
  content: string | readonly { readonly type: string }[];
  providerOptions?: unknown;
}
