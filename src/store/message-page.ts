import { InvalidInputError } from "../errors.ts";
import type { Conversation } from "../projections/conversation.ts";
import type { FoldedMessage } from "../projections/stored-message.ts";
import { checkMessageId, messageNotFound } from "./message-ids.ts";

/** Which page of a session's messages to list. */
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
  for (const id of [before, after]) if (id !== undefined) checkMessageId(id);
  const isOldestFirst = after !== undefined && before === undefined;
  const page = state.messages.page({ before, after, limit, isOldestFirst, includeReplaced });
  if (page !== undefined) return page;
  const isUnknown = (id: number): boolean =>
    state.messages.page({ before: id, limit: 0, isOldestFirst, includeReplaced }) === undefined;
  throw messageNotFound(before !== undefined && isUnknown(before) ? before : (after ?? 0), sessionId);
}

/** @throws {InvalidInputError} `invalid-limit` for anything but an integer from 0, or Infinity. */
export function checkLimit(limit: number): void {
  if (limit === Infinity || (Number.isSafeInteger(limit) && limit >= 0)) return;
  throw new InvalidInputError(
    "invalid-limit",
    `A limit is an integer from 0, or Infinity, not ${String(limit)}.`,
  );
}
