import type { StoredPart, ToolPart } from "../events/stored-part.ts";
import { type UnansweredTool, unansweredTools } from "../store/recovery.ts";

/**
 * What a turn was doing when its last event was written: the model wrote `text`, `reasoning` or a tool call's
 * arguments (`tool-input`); a call was complete and had not begun (`tool-pending`), waited for a human (`approval`)
 * or ran (`tool-running`); or the model was asked and had not said anything yet (`model`).
 */
export type TurnPhase =
  "model" | "text" | "reasoning" | "tool-input" | "tool-pending" | "approval" | "tool-running";

export function phaseOf(parts: readonly StoredPart[]): TurnPhase {
  const unanswered = new Map(unansweredTools(parts).map((tool) => [tool.tool_id, tool]));
  const states = parts
    .filter(isToolPart)
    .filter(({ tool_id }) => unanswered.has(tool_id))
    .map(({ state }) => state);
  if ([...unanswered.values()].some(({ verdict }) => verdict === "outcome-unknown")) return "tool-running";
  if (states.includes("input-streaming")) return "tool-input";
  if (states.includes("approval-requested")) return "approval";
  if (states.length > 0) return "tool-pending";
  const last = parts.at(-1);
  return last?.kind === "text" || last?.kind === "reasoning" ? (last.kind as TurnPhase) : "model";
}

/** A tool call of an unended turn. */
export interface AutopsyTool {
  tool_id: string;
  name: string;
  /** As the model sent it; of a call whose arguments were still coming, what had come. */
  input: string;
  /** `not-started`: safe to call again. `outcome-unknown`: it had begun. `finished`: its result is recorded. */
  verdict: UnansweredTool["verdict"] | "finished";
  state: ToolPart["state"];
  startedAt: Date | null;
  /** How long it ran, or had been running when the turn's end came; null where it has no beginning. */
  ranMs: number | null;
}

/** @param endAt epoch ms until which a call in flight had been running */
export function describeTools(parts: readonly StoredPart[], endAt: number): AutopsyTool[] {
  const unanswered = new Map(unansweredTools(parts).map((tool) => [tool.tool_id, tool]));
  return parts.filter(isToolPart).map((part) => {
    const { tool_id, name, input, state, started_at: startedAt, duration_ms: durationMs } = part;
    const inFlight = unanswered.get(tool_id);
    const verdict = inFlight?.verdict ?? "finished";
    const ranMs = inFlight === undefined ? durationMs : startedAt && Math.max(0, endAt - startedAt);
    return {
      tool_id: String(tool_id),
      name: String(name),
      input: typeof input === "string" ? input : (JSON.stringify(input) ?? ""),
      verdict,
      state,
      startedAt: typeof startedAt === "number" ? new Date(startedAt) : null,
      ranMs: typeof ranMs === "number" ? ranMs : null,
    };
  });
}

function isToolPart(part: StoredPart): part is ToolPart {
  return part.kind === "tool";
}

/** All that the parts of a kind say, in order. */
export function textOf(parts: readonly StoredPart[], kind: "text" | "reasoning"): string {
  return parts
    .filter((part) => part.kind === kind)
    .map((part) => ("text" in part && typeof part.text === "string" ? part.text : ""))
    .join("");
}
