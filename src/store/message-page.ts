import { InvalidInputError } from "../errors.ts";
import type { Conversation } from "../projections/conversation.ts";
import type { FoldedMessage } from "../projections/stored-message.ts";
import { checkMessageId, messageNotFound } from "./message-ids.ts";

export interface ListMessagesOptions {
  /** Default 50; Infinity for all. */
  limit?: number | undefined;
  /** Only messages before this one, exclusive. */
  before?: number | undefined;
  /** Only messages after this one, exclusive; alone it gives the oldest that follow. */
  after?: number | undefined;
  /** Also what has been replaced, marked `replaced: true`. */
  includeReplaced?: boolean | undefined;
}

/** The page of a session's messages, ascending. @throws `message-not-found`, `invalid-limit` */
export function pageOfMessages(
  state: Conversation,
  sessionId: string,
  { limit = 50, before, after, includeReplaced = false }: ListMessagesOptions,
): FoldedMessage[] {
  checkLimit(limit);
  const messages = includeReplaced ? state.allMessages : state.messages;
  const indexOf = (id: number): number => {
    checkMessageId(id);
    const index = messages.findIndex((message) => message.id === id);
    if (index < 0) throw messageNotFound(id, sessionId);
    return index;
  };
  const start = after === undefined ? 0 : indexOf(after) + 1;
  const end = before === undefined ? messages.length : indexOf(before);
  const range = messages.slice(start, Math.max(start, end));
  if (limit >= range.length) return range;
  const isOldestFirst = after !== undefined && before === undefined;
  return isOldestFirst ? range.slice(0, limit) : range.slice(range.length - limit);
}

/** @throws {InvalidInputError} `invalid-limit` for anything but an integer from 0, or Infinity. */
export function checkLimit(limit: number): void {
  if (limit === Infinity || (Number.isSafeInteger(limit) && limit >= 0)) return;
  throw new InvalidInputError(
    "invalid-limit",
    `A limit is an integer from 0, or Infinity, not ${String(limit)}.`,
  );
}
