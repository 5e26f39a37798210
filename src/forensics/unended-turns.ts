import { DamageError, TurnlogError } from "../errors.ts";
import {
  conversationStream,
  conversationStreamPrefix,
  sessionOfStream,
} from "../events/conversation-event.ts";
import type { EventLog, RecordedEvent } from "../log/event-log.ts";
import type { ReadProgress } from "../projections/session-index.ts";
import type { ConversationStore } from "../store/conversation-store.ts";
import type { UnendedTurnReport } from "../store/recovery.ts";
import { WriterLiveness } from "../store/writer-liveness.ts";
import { type StartedTurn, endedTurnOf, startedTurnOf, timeOfEvent } from "./event-times.ts";

/** What the log could not tell. */
export interface Damage {
  /** null: the log itself, beyond what was read of it. */
  sessionId: string | null;
  message: string;
}

export type UnendedTurn = Pick<
  UnendedTurnReport,
  "sessionId" | "messageId" | "turnId" | "kind" | "model" | "startedAt" | "isSuperseded" | "writer"
>;

export interface UnendedTurns {
  turns: UnendedTurn[];
  damage: Damage[];
}

/**
 * The store's unended turns. A session that cannot be read does not hide the others: of it is told what its stored
 * events say.
 */
export async function findUnendedTurns(
  store: ConversationStore,
  sessionId: string | undefined,
  onProgress?: (progress: ReadProgress) => void,
): Promise<UnendedTurns> {
  const found: UnendedTurns = { turns: [], damage: [] };
  const sessionIds =
    sessionId === undefined ? await sessionsOf(store, found.damage, onProgress) : [sessionId];
  const liveness = new WriterLiveness(store.log);
  for (const id of sessionIds) {
    try {
      found.turns.push(...(await store.unendedTurns({ sessionId: id })));
    } catch (error) {
      if (!isDamage(error)) throw error;
      found.damage.push({ sessionId: id, message: error.message });
      found.turns.push(...(await turnsAsStored(store.log, id, liveness)));
    }
  }
  return found;
}

async function sessionsOf(
  store: ConversationStore,
  damage: Damage[],
  onProgress?: (progress: ReadProgress) => void,
): Promise<Iterable<string>> {
  try {
    return await store.sessionsWithUnendedTurns({ onProgress });
  } catch (error) {
    if (!isDamage(error)) throw error;
    const { stream } = error.details;
    const sessionId = typeof stream === "string" ? (sessionOfStream(stream) ?? null) : null;
    damage.push({ sessionId, message: error.message });
    return scanForSessions(store.log);
  }
}

/** Goes by the events' types alone, as far as the log can be read. */
async function scanForSessions(log: EventLog): Promise<Set<string>> {
  const open = new Map<string, Map<string, unknown>>();
  await readWhileSound(log.readAll({ streamPrefix: conversationStreamPrefix }), (event) => {
    const turns = open.get(event.stream) ?? new Map<string, unknown>();
    open.set(event.stream, turns);
    follow(turns, event);
  });
  const sessions = [...open].filter(([, turns]) => turns.size > 0).map(([stream]) => sessionOfStream(stream));
  return new Set(sessions.filter((id) => id !== undefined));
}

async function turnsAsStored(
  log: EventLog,
  sessionId: string,
  liveness: WriterLiveness,
): Promise<UnendedTurn[]> {
  const open = new Map<string, { started: StartedTurn; event: RecordedEvent }>();
  await readWhileSound(log.readStream(conversationStream(sessionId)), (event) => follow(open, event));
  const newest = [...open.keys()].at(-1);
  const turns: UnendedTurn[] = [];
  for (const [turnId, { started, event }] of open) {
    turns.push({
      sessionId,
      messageId: started.messageId,
      turnId,
      kind: started.kind,
      ...(started.model === undefined ? {} : { model: started.model }),
      startedAt: new Date(timeOfEvent(event)),
      isSuperseded: turnId !== newest,
      writer: await liveness.judge(String(event.metadata["writer"])),
    });
  }
  return turns;
}

function follow(open: Map<string, unknown>, event: RecordedEvent): void {
  const started = startedTurnOf(event);
  if (started !== undefined) open.set(started.turnId, { started, event });
  const ended = endedTurnOf(event);
  if (ended !== undefined) open.delete(ended);
  if (event.type === "SessionDeleted") open.clear();
}

/** Reads up to the damage that the caller knows of already. */
async function readWhileSound(
  events: AsyncIterable<RecordedEvent>,
  take: (event: RecordedEvent) => void,
): Promise<void> {
  try {
    for await (const event of events) take(event);
  } catch (error) {
    if (!isDamage(error)) throw error;
  }
}

/** Another copy of this package may have thrown it. */
export function isDamage(error: unknown): error is TurnlogError {
  return error instanceof DamageError || (TurnlogError.isInstance(error) && error.name === "DamageError");
}
