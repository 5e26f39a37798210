import { InvalidInputError } from "../errors.ts";
import type { Role } from "../events/conversation-event.ts";
import type { Durability } from "../log/event-log.ts";
import type { SessionInfo, SessionQuery } from "../projections/session-index.ts";
import { type MessageContent, type SaveMessageOptions, toMessageInput } from "./message-input.ts";
import { checkLimit } from "./message-page.ts";
import type { MessageInput, Replacement } from "./session-commands.ts";

/** What callers hand to the store, and what becomes of it. */

const DEFAULT_LIMIT = 50;

/** How a store is opened. */
export interface ConversationStoreOptions {
  /** What structural events wait for: the disk (`power`, the default) or the operating system (`process`). */
  durability?: Durability | undefined;
  /**
   * The window in which a turn's deltas are coalesced, ms; 0 is every tick. Default: 20, and where more than 200 turns
   * stream at once 0.1 for each, at most 100.
   */
  flushIntervalMs?: number | undefined;
  /** What to call this writer in forensics: the name of the service, say. */
  label?: string | undefined;
  /** Interval of this writer's signs of life while a turn is open, ms. Default 10,000. */
  heartbeatMs?: number | undefined;
  /**
   * The views file, which bounds what a read costs; it is made anew from the log whenever it is lost. Default: beside
   * a log in a file; none for a log in memory. `false`: none, and every session is folded from its start.
   */
  views?: string | false | undefined;
  /** Whether this store keeps the views up to date, when no other process does. Default true; `readOnly` never does. */
  projector?: boolean | undefined;
  /** Never create, never write; works in folders that cannot be written. */
  readOnly?: boolean | undefined;
  /** How many sessions are kept folded in memory. Default 1,000. */
  cachedSessions?: number | undefined;
}

/** What a turn begins with. */
export interface BeginTurnOptions {
  /** The user's message that the turn answers, saved in the same append. */
  user?: MessageContent | ({ content: MessageContent } & SaveMessageOptions) | undefined;
  model?: string | undefined;
  /** Aborts the turn. */
  signal?: AbortSignal | undefined;
}

/** Which page of the sessions to list. */
export interface ListSessionsOptions {
  /** Default 50. */
  limit?: number | undefined;
  /** The last session of the page before. */
  cursor?: Pick<SessionInfo, "id" | "lastActive"> | undefined;
  /** Only sessions whose id begins so. */
  prefix?: string | undefined;
}

/** A new message for replaceMessages, or messages to keep: `count` of them from `keep` on (default 1). */
export type ReplacementMessage =
  | { keep: number; count?: number | undefined }
  | ({ role: Role; content: MessageContent } & SaveMessageOptions);

/** @throws {InvalidInputError} `invalid-option` for a number that cannot work. */
export function checkStoreOptions({
  flushIntervalMs,
  heartbeatMs,
  cachedSessions,
}: ConversationStoreOptions): void {
  const least: [name: string, given: number | undefined, least: number][] = [
    ["flushIntervalMs", flushIntervalMs, 0],
    ["heartbeatMs", heartbeatMs, 1],
    ["cachedSessions", cachedSessions, 1],
  ];
  for (const [name, given, lowest] of least) {
    if (given === undefined || (Number.isFinite(given) && given >= lowest)) continue;
    throw new InvalidInputError(
      "invalid-option",
      `${name} is a number from ${lowest}, not ${String(given)}.`,
    );
  }
}

/** The user's message of a turn, checked. */
export function toUserMessage(user: BeginTurnOptions["user"]): MessageInput | undefined {
  if (user === undefined) return undefined;
  if (typeof user === "string" || Array.isArray(user)) return toMessageInput("user", user as MessageContent);
  const { content, ...options } = user as { content: MessageContent } & SaveMessageOptions;
  return toMessageInput("user", content, options);
}

/** An entry of a replacement, checked; nothing for an empty text. */
export function toReplacement(message: ReplacementMessage): Replacement[] {
  if ("keep" in message) {
    return [
      message.count === undefined ? { keep: message.keep } : { keep: message.keep, count: message.count },
    ];
  }
  const { role, content, ...options } = message;
  const isEmpty = content === "" || (Array.isArray(content) && content.length === 0);
  return isEmpty ? [] : [toMessageInput(role, content, options)];
}

/** A query with its defaults. @throws `invalid-limit` */
export function toQuery({ limit = DEFAULT_LIMIT, cursor, prefix = "" }: ListSessionsOptions): SessionQuery {
  checkLimit(limit);
  return { limit, cursor, prefix };
}
