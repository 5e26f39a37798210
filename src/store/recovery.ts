import { TurnlogError } from "../errors.ts";
import type { StoredPart, ToolPart } from "../events/stored-part.ts";
import { contentChecksum } from "../events/content-checksum.ts";
import { parseParts } from "../events/stored-part.ts";
import type { Conversation, UnendedTurn } from "../projections/conversation.ts";
import type { SessionDirectory } from "../projections/session-index.ts";
import { missingResult } from "./tool-model-parts.ts";
import type { SessionCache } from "./session-cache.ts";
import type { Command } from "./session.ts";
import type { WriterLiveness, WriterStatus } from "./writer-liveness.ts";

/** A tool call that a crash left without a result. */
export interface UnansweredTool {
  tool_id: string;
  name: string;
  input: string;
  /** `not-started`: safe to call again. `outcome-unknown`: it had begun; look before calling it again. */
  verdict: "not-started" | "outcome-unknown";
  /** Epoch ms. */
  started_at?: number;
}

/** A turn that began and did not end. */
export interface UnendedTurnReport {
  sessionId: string;
  messageId: number;
  turnId: string;
  kind: "new" | "regenerate";
  model?: string;
  startedAt: Date;
  /** Another turn has begun since: nobody will go on with this one. */
  isSuperseded: boolean;
  writer: WriterStatus;
  /** What had been written so far. */
  text: string;
  parts: StoredPart[];
  tools: UnansweredTool[];
}

/** Which turns to end. */
export interface RecoverOptions {
  /** Only this session; default all. */
  sessionId?: string | undefined;
  /** Also turns whose writer is neither known to be dead nor known to live. */
  includeUnknown?: boolean | undefined;
}

/** Finds the turns that began and did not end, and ends those whose writer is dead. */
export class TurnRecovery {
  readonly #sessions: SessionCache;
  readonly #directory: SessionDirectory;
  readonly #liveness: WriterLiveness;

  constructor(sessions: SessionCache, directory: SessionDirectory, liveness: WriterLiveness) {
    this.#sessions = sessions;
    this.#directory = directory;
    this.#liveness = liveness;
  }

  async unendedTurns(sessionId?: string): Promise<UnendedTurnReport[]> {
    const sessionIds =
      sessionId === undefined ? await this.#directory.sessionsWithUnendedTurns() : [sessionId];
    const reports: UnendedTurnReport[] = [];
    const judged = new Map<string, WriterStatus>();
    for (const id of sessionIds) {
      const turns = await this.#turnsOf(id).catch((error: unknown) => {
        // Asked for by name it fails; among all it must not keep the others from being recovered.
        if (sessionId !== undefined || !TurnlogError.isInstance(error)) throw error;
        process.emitWarning(
          `Session ${JSON.stringify(id)} cannot be read: ${error.message}`,
          "TurnlogWarning",
        );
        return [];
      });
      for (const { turn, left } of turns) {
        const writer = judged.get(turn.writer) ?? (await this.#liveness.judge(turn.writer));
        judged.set(turn.writer, writer);
        reports.push({ ...left, writer });
      }
    }
    return reports;
  }

  #turnsOf(id: string): Promise<{ turn: UnendedTurn; left: Omit<UnendedTurnReport, "writer"> }[]> {
    return this.#sessions.get(id).query((state) => {
      // An unfinished fork ends its turns itself, with the last of its events.
      if (state.missingForkEvents > 0) return [];
      return [...state.unendedTurns.values()].map((turn) => ({
        turn,
        left: describeUnendedTurn(id, state, turn),
      }));
    });
  }

  async recover({ sessionId, includeUnknown = false }: RecoverOptions): Promise<UnendedTurnReport[]> {
    const recovered: UnendedTurnReport[] = [];
    for (const report of await this.unendedTurns(sessionId)) {
      const { verdict } = report.writer;
      if (verdict === "alive" || (verdict === "unknown" && !includeUnknown)) continue;
      const ended = await this.#sessions.get(report.sessionId).run(endAsInterrupted(report.turnId));
      if (ended) recovered.push(report);
    }
    return recovered;
  }
}

function describeUnendedTurn(
  sessionId: string,
  state: Conversation,
  turn: UnendedTurn,
): Omit<UnendedTurnReport, "writer"> {
  const message = state.messages.get(turn.messageId);
  // A message that has been regenerated since shows the newer turn's content, not this one's.
  const isItsContent = message?.turnId === turn.turnId;
  const parts = (isItsContent ? parseParts(message.content.toString()) : undefined) ?? [];
  return {
    sessionId,
    messageId: turn.messageId,
    turnId: turn.turnId,
    kind: turn.kind,
    ...(turn.model === undefined ? {} : { model: turn.model }),
    startedAt: new Date(turn.startedAt),
    isSuperseded: turn.superseded,
    text: parts
      .map((part) => (part.kind === "text" ? String(part["text" as keyof StoredPart]) : ""))
      .join(""),
    parts,
    tools: unansweredTools(parts),
  };
}

/** The calls without a result among a turn's parts, and what is known of each. */
export function unansweredTools(parts: readonly StoredPart[]): UnansweredTool[] {
  return parts.filter(isUnansweredTool).map(describeTool);
}

function isUnansweredTool(part: StoredPart): part is ToolPart {
  return (
    part.kind === "tool" &&
    !["output-available", "output-error", "output-denied"].includes((part as ToolPart).state)
  );
}

function describeTool(tool: ToolPart): UnansweredTool {
  const { tool_id, name, input, started_at } = tool;
  return {
    tool_id,
    name,
    input,
    verdict: missingResult(tool),
    ...(started_at === undefined ? {} : { started_at }),
  };
}

/** Ends a turn as interrupted; false where it has ended already, so that several processes may repair at once. */
export const endAsInterrupted =
  (turnId: string): Command<boolean> =>
  (state) => {
    const turn = state.unendedTurns.get(turnId);
    if (turn === undefined) return { drafts: [], result: false };
    const content = state.messages.get(turn.messageId)?.content.toString() ?? "";
    const data = {
      turnId,
      messageId: turn.messageId,
      outcome: "interrupted" as const,
      content: contentChecksum(content),
    };
    return { drafts: [{ type: "TurnEnded", data, cause: "repair" }], result: true, seal: true };
  };
