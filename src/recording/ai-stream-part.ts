import type { ProviderMetadata } from "../events/stored-part.ts";

/**
 * The parts of the Vercel AI SDK's `fullStream`, as far as they are recorded; versions 6 and 7 agree in them.
 * Declared here, so that the library needs no SDK.
 */

interface WithMetadata {
  providerMetadata?: ProviderMetadata | undefined;
}

interface CallOfTool extends WithMetadata {
  toolCallId: string;
  toolName: string;
  input?: unknown;
  providerExecuted?: boolean | undefined;
}

export type AIStreamPart =
  | ({ type: "text-start" | "text-end" | "reasoning-start" | "reasoning-end"; id: string } & WithMetadata)
  | ({ type: "text-delta" | "reasoning-delta"; id: string; text: string } & WithMetadata)
  | ({
      type: "tool-input-start";
      id: string;
      toolName: string;
      providerExecuted?: boolean | undefined;
    } & WithMetadata)
  | { type: "tool-input-delta"; id: string; delta: string }
  | { type: "tool-input-end"; id: string }
  | ({ type: "tool-call"; invalid?: boolean | undefined } & CallOfTool)
  | ({ type: "tool-result"; output: unknown; preliminary?: boolean | undefined } & CallOfTool)
  | ({ type: "tool-error"; error: unknown } & CallOfTool)
  | { type: "tool-output-denied"; toolCallId: string }
  | {
      type: "tool-approval-request";
      approvalId: string;
      toolCall: CallOfTool;
      signature?: string | undefined;
    }
  | {
      type: "tool-approval-response";
      approvalId: string;
      toolCall: CallOfTool;
      approved: boolean;
      reason?: string | undefined;
    }
  | ({ type: "source"; [fact: string]: unknown } & WithMetadata)
  | ({ type: "file"; file: { base64: string; mediaType: string } } & WithMetadata)
  | ({ type: "finish-step"; finishReason?: string | undefined; usage?: AIUsage | undefined } & WithMetadata)
  | { type: "finish"; finishReason?: string | undefined; totalUsage?: AIUsage | undefined }
  | { type: "abort"; reason?: string | undefined }
  | { type: "error"; error: unknown }
  | { type: "start" | "start-step" | "raw" | "ping" };

export interface AIUsage {
  inputTokens?: number | undefined;
  outputTokens?: number | undefined;
  inputTokenDetails?: { cacheReadTokens?: number | undefined } | undefined;
  outputTokenDetails?: { reasoningTokens?: number | undefined } | undefined;
  raw?: unknown;
}
