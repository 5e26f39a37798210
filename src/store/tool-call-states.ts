import type { ToolPart } from "../events/stored-part.ts";
import { mergeProviderMetadata } from "./parts-json.ts";
import type { ApprovalOptions, ToolCallOptions, ToolResultOptions } from "./turn.ts";

/** A tool call's way from its first piece of input to its result: each function gives the part of the next state. */

export function newToolCall(call: ToolCallOptions, input: string, state: ToolPart["state"]): ToolPart {
  return inOrder({
    kind: "tool",
    tool_id: call.toolId,
    name: call.name,
    input,
    state,
    provider_executed: call.providerExecuted,
    providerMetadata: call.providerMetadata,
  });
}

/** The input is complete: the pieces that were streamed, or the one that is given. */
export function withInput(tool: ToolPart, call: ToolCallOptions & { input?: string | undefined }): ToolPart {
  return inOrder({
    ...tool,
    name: call.name,
    input: call.input ?? tool.input,
    state: "input-available",
    provider_executed: call.providerExecuted ?? tool.provider_executed,
    providerMetadata: mergeProviderMetadata(tool.providerMetadata, call.providerMetadata),
  });
}

const approvalStates = {
  requested: "approval-requested",
  approved: "approval-responded",
  denied: "output-denied",
} as const;

export function withApproval(
  tool: ToolPart,
  approval: keyof typeof approvalStates,
  { approvalId, reason, providerMetadata }: ApprovalOptions,
): ToolPart {
  return inOrder({
    ...tool,
    state: approvalStates[approval],
    // A call that a human is asked about has not begun, even where the stream made it look so.
    started_at: approval === "requested" ? undefined : tool.started_at,
    approval: {
      ...tool.approval,
      ...(approvalId === undefined ? {} : { id: approvalId }),
      ...(approval === "requested" ? {} : { approved: approval === "approved" }),
      ...(reason === undefined ? {} : { reason }),
    },
    providerMetadata: mergeProviderMetadata(tool.providerMetadata, providerMetadata),
  });
}

/** @param now epoch ms */
export function withStart(tool: ToolPart, now: number): ToolPart {
  return inOrder({ ...tool, started_at: now });
}

/** @param now epoch ms; the duration counts from its start where no other is given. */
export function withOutput(
  tool: ToolPart,
  result: Pick<ToolPart, "output" | "state">,
  options: ToolResultOptions,
  now: number,
): ToolPart {
  const ranMs = tool.started_at === undefined ? undefined : Math.max(0, now - tool.started_at);
  return inOrder({
    ...tool,
    ...result,
    duration_ms: options.durationMs ?? ranMs,
    providerMetadata: mergeProviderMetadata(tool.providerMetadata, options.providerMetadata),
  });
}

/** Keys in one fixed order, the input before everything that may change, so that a change is one short splice. */
function inOrder(tool: ToolPart): ToolPart {
  const { kind, tool_id, name, input, output, state, ...rest } = tool;
  return { kind, tool_id, name, input, output, state, ...rest };
}
