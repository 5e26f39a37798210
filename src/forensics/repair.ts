import { conversationStream } from "../events/conversation-event.ts";
import type { EventLog } from "../log/event-log.ts";
import type { ConversationStore } from "../store/conversation-store.ts";
import type { UnansweredTool, UnendedTurnReport } from "../store/recovery.ts";
import { endedTurnOf } from "./event-times.ts";
import { type Damage, type UnendedTurn, type UnendedTurns, isDamage } from "./unended-turns.ts";
import { type WriterReport, reportWriter } from "./writer-report.ts";

/** A turn that can be ended, or one that must not. */
export interface RepairPlan {
  ready: UnendedTurn[];
  refused: RefusedTurn[];
}

export interface RefusedTurn {
  sessionId: string;
  messageId: number;
  turnId: string;
  writer: WriterReport;
}

/** A turn that was ended as interrupted. */
export interface RepairedTurn {
  sessionId: string;
  messageId: number;
  turnId: string;
  /** Of the TurnEnded that was written; null where the log lacks it again already (a purge). */
  revision: number | null;
  text: string;
  tools: UnansweredTool[];
}

/** Which turns may be ended: those of dead writers, with `force` those of unknown ones, never those of living ones. */
export function planRepair({ turns }: UnendedTurns, force: boolean): RepairPlan {
  const isReady = ({ writer: { verdict } }: UnendedTurn): boolean =>
    verdict === "dead" || (force && verdict === "unknown");
  return {
    ready: turns.filter(isReady),
    refused: turns
      .filter((turn) => !isReady(turn))
      .map(({ sessionId, messageId, turnId, writer }) => ({
        sessionId,
        messageId,
        turnId,
        writer: reportWriter(writer),
      })),
  };
}

/**
 * Ends the turns of these sessions that may be ended, as interrupted. A session that cannot be read is left as it is
 * and told in `damage`; the others go on.
 */
export async function repairSessions(
  store: ConversationStore,
  sessionIds: Iterable<string>,
  force: boolean,
): Promise<{ repaired: RepairedTurn[]; damage: Damage[] }> {
  const repaired: RepairedTurn[] = [];
  const damage: Damage[] = [];
  for (const sessionId of sessionIds) {
    try {
      const ended = await store.recoverInterruptedTurns({ sessionId, includeUnknown: force });
      for (const turn of ended) repaired.push(await describe(store.log, turn));
    } catch (error) {
      if (!isDamage(error)) throw error;
      damage.push({ sessionId, message: error.message });
    }
  }
  return { repaired, damage };
}

async function describe(log: EventLog, turn: UnendedTurnReport): Promise<RepairedTurn> {
  const { sessionId, messageId, turnId, text, tools } = turn;
  return { sessionId, messageId, turnId, revision: await endOf(log, sessionId, turnId), text, tools };
}

async function endOf(log: EventLog, sessionId: string, turnId: string): Promise<number | null> {
  for await (const event of log.readStream(conversationStream(sessionId), { direction: "backwards" })) {
    if (endedTurnOf(event) === turnId) return event.revision;
  }
  return null;
}
