import { NotFoundError } from "../errors.ts";
import {
  conversationStream,
  conversationStreamPrefix,
  sessionOfStream,
} from "../events/conversation-event.ts";
import type { EventLog } from "../log/event-log.ts";
import type { ConversationStore } from "../store/conversation-store.ts";
import { checkSessionId } from "../store/message-input.ts";

export interface FoundSession {
  sessionId: string;
  /** Its newest event is its deletion: it has a history and is no session now. */
  isDeleted: boolean;
}

/**
 * The session that an argument names, which has events; `last` is the one of the newest event.
 * @throws {NotFoundError} `session-not-found`, `no-sessions`
 * @throws {InvalidInputError} `invalid-session-id`
 */
export async function findSession(store: ConversationStore, argument: string): Promise<FoundSession> {
  checkSessionId(argument);
  if (argument !== "last") {
    const newest = { direction: "backwards", limit: 1 } as const;
    for await (const { type } of store.log.readStream(conversationStream(argument), newest)) {
      return { sessionId: argument, isDeleted: type === "SessionDeleted" };
    }
    throw sessionNotFound(argument);
  }
  const newest = await newestSession(store.log);
  if (newest !== undefined) return { sessionId: newest, isDeleted: false };
  throw new NotFoundError("no-sessions", "The store has no sessions yet.");
}

/** Looks at the end of the log first, and further back only where that has no session that still exists. */
async function newestSession(log: EventLog): Promise<string | undefined> {
  const head = await log.head();
  for (let window = 256; ; window *= 16) {
    const after = Math.max(-1, head - window);
    const session = await newestSessionAfter(log, after);
    if (session !== undefined || after === -1) return session;
  }
}

async function newestSessionAfter(log: EventLog, after: number): Promise<string | undefined> {
  // Insertion order is the order of the newest events.
  const live = new Set<string>();
  for await (const { stream, type } of log.readAll({ after, streamPrefix: conversationStreamPrefix })) {
    live.delete(stream);
    if (type !== "SessionDeleted") live.add(stream);
  }
  const newest = [...live].at(-1);
  return newest === undefined ? undefined : sessionOfStream(newest);
}

export function sessionNotFound(sessionId: string): NotFoundError {
  return new NotFoundError(
    "session-not-found",
    `The store has no session ${JSON.stringify(sessionId)}. "turnlog sessions" lists those it has.`,
  );
}
