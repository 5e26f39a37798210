import type { ToolPart } from "../events/stored-part.ts";
import type {
  JsonObject,
  JsonValue,
  ProviderOptions,
  ToolResultContentItem,
  ToolResultModelPart,
  ToolResultOutput,
} from "./model-message-types.ts";
import { OWN_METADATA, approvalOf, isRecord, metadataOf } from "./prompt-steps.ts";

/** A stored tool call as the AI SDK's tool-call and tool-result parts, and what both directions share. */

/** What a prompt says of a call without a result. Stable: prompts are cached by their text. */
export const MISSING_RESULT_TEXT = {
  "not-started":
    "[Interrupted] This tool call was not started: nothing has been done. It is safe to make the call again.",
  "outcome-unknown":
    "[Interrupted] This tool call was started, but no result was recorded: whether it took effect is unknown. Check what has been done before making the call again.",
} as const;

/** What is known of a call without a result. */
export type MissingResult = keyof typeof MISSING_RESULT_TEXT;

/** What is known of a call that has no result. */
export function missingResult(tool: ToolPart): MissingResult {
  return tool.started_at === undefined ? "not-started" : "outcome-unknown";
}

/** The result that stands in for a missing one, marked under `providerOptions.turnlog`, so that it is never stored. */
export function syntheticResult(tool: ToolPart): ToolResultModelPart {
  const synthetic = missingResult(tool);
  const mark: JsonObject = { synthetic };
  if (synthetic === "outcome-unknown") mark["startedAt"] = tool.started_at;
  return {
    type: "tool-result",
    toolCallId: tool.tool_id,
    toolName: tool.name,
    output: { type: "error-text", value: MISSING_RESULT_TEXT[synthetic] },
    providerOptions: { [OWN_METADATA]: mark },
  };
}

/** The recorded result of a call, undefined while there is none. */
export function recordedResult(tool: ToolPart): ToolResultModelPart | undefined {
  const output = recordedOutput(tool);
  if (output === undefined) return undefined;
  return {
    type: "tool-result",
    toolCallId: tool.tool_id,
    toolName: tool.name,
    output,
    ...providerOptionsOf(tool),
  };
}

function recordedOutput(tool: ToolPart): ToolResultOutput | undefined {
  switch (tool.state) {
    case "output-available":
      return typeof tool.output === "string"
        ? { type: "text", value: tool.output }
        : (contentOutput(tool.output) ?? { type: "json", value: (tool.output ?? null) as JsonValue });
    case "output-error":
      return typeof tool.output === "string"
        ? { type: "error-text", value: tool.output }
        : { type: "error-json", value: (tool.output ?? null) as JsonValue };
    case "output-denied": {
      const reason = approvalOf(tool)?.reason;
      return { type: "execution-denied", ...(reason === undefined ? {} : { reason }) };
    }
    default:
      return undefined;
  }
}

/** An output of several items, as the SDK's `content` output has them. */
function contentOutput(output: unknown): ToolResultOutput | undefined {
  if (!isRecord(output) || output["type"] !== "content" || Object.keys(output).length !== 2) return undefined;
  const { value } = output;
  return Array.isArray(value) && value.every(isContentItem) ? { type: "content", value } : undefined;
}

const CONTENT_FIELDS = new Map([
  ["text", ["text"]],
  ["file-data", ["data", "mediaType"]],
  ["file-url", ["url"]],
  ["image-data", ["data", "mediaType"]],
  ["image-url", ["url"]],
]);

function isContentItem(item: unknown): item is ToolResultContentItem {
  if (!isRecord(item)) return false;
  const fields = CONTENT_FIELDS.get(item["type"] as string);
  const { providerOptions, filename = "", mediaType = "" } = item;
  return (
    fields !== undefined &&
    [filename, mediaType, ...fields.map((field) => item[field])].every(
      (field) => typeof field === "string",
    ) &&
    (providerOptions === undefined ||
      (isRecord(providerOptions) && Object.values(providerOptions).every(isRecord)))
  );
}

/**
 * The input as a value. Providers take calls back only with an object for the arguments, so a raw string that is
 * no JSON (it was cut short, or the model erred) is put into one.
 */
export function inputValue(raw: string): unknown {
  if (raw.trim() === "") return {};
  try {
    return JSON.parse(raw) as unknown;
  } catch {
    return { [INVALID_JSON]: raw };
  }
}

const INVALID_JSON = "invalidJson";

/** The raw string of an input value: the inverse. */
export function rawInput(value: unknown): string {
  if (isRecord(value) && Object.keys(value).length === 1 && typeof value[INVALID_JSON] === "string")
    return value[INVALID_JSON];
  return JSON.stringify(value) ?? "";
}

export function providerOptionsOf(part: { providerMetadata?: unknown }): {
  providerOptions?: ProviderOptions;
} {
  const metadata = metadataOf(part);
  return metadata === undefined ? {} : { providerOptions: metadata as ProviderOptions };
}
