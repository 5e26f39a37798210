import { conversationStream } from "../events/conversation-event.ts";
import type { EventLog } from "../log/event-log.ts";
import type { Deletion } from "../projections/views-purge.ts";

/** What purgeSession removed. */
export interface Purge {
  /** Events that were removed. */
  events: number;
  /**
   * True where nothing of their text is left in any file of the store. False where a server decides when it frees what
   * was removed (EventStoreDB: its next scavenge), and for a log in memory.
   */
  isErased: boolean;
}

/** Removes all that a deleted session's stream holds before its deletion. Undefined where it was never deleted. */
export async function truncateDeleted(
  log: EventLog,
  sessionId: string,
): Promise<{ deletion: Deletion; events: number } | undefined> {
  const stream = conversationStream(sessionId);
  const deletion = await newestDeletion(log, sessionId);
  if (deletion === undefined) return undefined;
  let oldest = deletion.revision;
  for await (const { revision } of log.readStream(stream, { limit: 1 })) oldest = revision;
  await log.truncate(stream, deletion.revision);
  return { deletion, events: deletion.revision - oldest };
}

async function newestDeletion(log: EventLog, sessionId: string): Promise<Deletion | undefined> {
  const newestFirst = log.readStream(conversationStream(sessionId), { direction: "backwards" });
  for await (const { type, revision, position } of newestFirst) {
    if (type === "SessionDeleted") return { sessionId, revision, position };
  }
  return undefined;
}
