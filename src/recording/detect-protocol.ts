import { AnthropicReader } from "./anthropic-reader.ts";
import { isRecord, text } from "./json-access.ts";
import { OpenAiChatReader } from "./openai-chat-reader.ts";
import { OpenAiResponsesReader } from "./openai-responses-reader.ts";
import type { StreamReader } from "./stream-reader.ts";
import { TurnVerbReader } from "./turn-verb-reader.ts";

export const providerProtocols = ["openai-chat", "openai-responses", "anthropic"] as const;
export type ProviderProtocol = (typeof providerProtocols)[number];

/** Of what a provider sends, or of this library's own, which has to be named. */
export type RecordProtocol = ProviderProtocol | "turnlog";

/** The protocol that a chunk is of; undefined where it could be of any, or is of none that is known. */
export function detectProtocol(chunk: unknown): ProviderProtocol | undefined {
  if (!isRecord(chunk)) return undefined;
  const type = text(chunk["type"]);
  if (type.startsWith("response.") || type === "keepalive") return "openai-responses";
  if (/^(message|content_block)_(start|delta|stop)$/.test(type) || type === "ping") return "anthropic";
  if (type === "error") {
    return "sequence_number" in chunk || !isRecord(chunk["error"]) ? "openai-responses" : "anthropic";
  }
  const isChat = Array.isArray(chunk["choices"]) || text(chunk["object"]).startsWith("chat.completion");
  return isChat || (chunk["error"] ?? undefined) !== undefined ? "openai-chat" : undefined;
}

export function createStreamReader(protocol: RecordProtocol): StreamReader {
  switch (protocol) {
    case "openai-chat":
      return new OpenAiChatReader();
    case "openai-responses":
      return new OpenAiResponsesReader();
    case "anthropic":
      return new AnthropicReader();
    case "turnlog":
      return new TurnVerbReader();
  }
}
