import type { SqlValue, Statement } from "../log/sqlite/engine.ts";
import { DamagedView, type MessageRange, type MessageSource, StaleView } from "./message-collection.ts";
import type { FoldedMessage } from "./stored-message.ts";
import { sqlGuard } from "./view-errors.ts";
import { READ_COLUMNS, externalIdKey, toMessage } from "./view-row.ts";

/** The session whose messages are read, as it was when it was loaded. */
interface LoadedSession {
  /** Prepares a statement on the generation's tables. */
  readonly sql: (text: string) => Statement;
  readonly session: number;
  /** Messages that are not replaced. */
  readonly count: number;
  /** Rows at or beyond it were appended after the conversation was loaded: it has them already. */
  readonly nextPlace: number;
  /** Of the conversation as it is now. */
  readonly revision: () => number;
}

/** Rows that one statement reads at most where nobody knows how many of them are wanted. */
const MOST_ROWS = 256;

/**
 * A session's messages as the views hold them, read when they are asked for. What SQLite is not asked for, it cannot
 * leave out: pages are read by place, and places have no gaps, so that neither a wrong bit in a flag nor a lost entry
 * of an index makes a message vanish from one.
 */
export class ViewedMessages implements MessageSource {
  readonly count: number;
  readonly #loaded: LoadedSession;

  constructor(loaded: LoadedSession) {
    this.#loaded = loaded;
    this.count = loaded.count;
  }

  byId(id: number): FoldedMessage | undefined {
    const { session, nextPlace } = this.#loaded;
    return this.#read("id = ? AND session = ? AND place < ?", id, session, nextPlace)[0];
  }

  byExternalId(externalId: string): FoldedMessage | undefined {
    const { session, nextPlace } = this.#loaded;
    const where = "session = ? AND external_id = ? AND place < ? ORDER BY id LIMIT 1";
    const [found] = this.#read(where, session, externalIdKey(externalId), nextPlace);
    if (found === undefined || found.externalId === externalId) return found;
    throw new DamagedView(`message ${found.id} is found by an external id that it has not`);
  }

  newestOf(roles: readonly string[]): FoldedMessage | undefined {
    const isWanted = ({ role, replaced }: FoldedMessage): boolean => !replaced && roles.includes(role);
    return this.#find([0, this.#loaded.nextPlace - 1], false, 1, isWanted)[0];
  }

  page({ before, after, limit, isOldestFirst, includeReplaced }: MessageRange): FoldedMessage[] {
    const first = (this.#placeOf(after) ?? -1) + 1;
    const last = (this.#placeOf(before) ?? this.#loaded.nextPlace) - 1;
    // No more than there are: behind a compaction nothing but replaced messages would be looked at.
    const most = includeReplaced ? limit : Math.min(limit, this.count);
    const isWanted = ({ replaced }: FoldedMessage): boolean => includeReplaced || !replaced;
    const messages = this.#find([first, last], isOldestFirst, most, isWanted);
    return isOldestFirst ? messages : messages.toReversed();
  }

  all(): FoldedMessage[] {
    return this.#span(0, this.#loaded.nextPlace - 1, true, Infinity);
  }

  /** At most `most` messages that are wanted, in the order in which they are found. */
  #find(
    [first, last]: [first: number, last: number],
    isOldestFirst: boolean,
    most: number,
    isWanted: (message: FoldedMessage) => boolean,
  ): FoldedMessage[] {
    const found: FoldedMessage[] = [];
    for (let size = most; found.length < most && first <= last; size = Math.min(size * 2, MOST_ROWS)) {
      const messages = this.#span(first, last, isOldestFirst, size);
      if (isOldestFirst) first += messages.length;
      else last -= messages.length;
      for (const message of messages) if (found.length < most && isWanted(message)) found.push(message);
    }
    return found;
  }

  /** @throws {DamagedView} where one is missing. */
  #span(first: number, last: number, isOldestFirst: boolean, limit: number): FoldedMessage[] {
    const { session } = this.#loaded;
    const count = Math.min(limit, last - first + 1);
    const order = isOldestFirst ? "ASC" : "DESC";
    const where = `session = ? AND place BETWEEN ? AND ? ORDER BY place ${order} LIMIT ?`;
    const messages = this.#read(where, session, first, last, count);
    const isWhole = messages.every(
      ({ place }, index) => place === (isOldestFirst ? first + index : last - index),
    );
    if (messages.length === count && isWhole) return messages;
    throw new DamagedView(`messages of the session's row ${session} are missing`);
  }

  #placeOf(id: number | undefined): number | undefined {
    const [message] = id === undefined ? [] : this.#read("id = ? AND session = ?", id, this.#loaded.session);
    return message?.place;
  }

  #read(where: string, ...parameters: SqlValue[]): FoldedMessage[] {
    const text = `SELECT ${READ_COLUMNS} FROM messages_g WHERE ${where}`;
    // Preparing is guarded too: the table's own description may be damaged.
    const rows = sqlGuard(() => this.#loaded.sql(text).all(...parameters));
    this.#check();
    return rows.map((row) => {
      const { message, session } = toMessage(row);
      if (session === this.#loaded.session) return message;
      throw new DamagedView(`message ${message.id} is found in another session`);
    });
  }

  /**
   * Behind what was read, not before it: another process may write between two statements, and a revision only rises.
   * Rows that are not past the state now were not when they were read.
   */
  #check(): void {
    const { sql, session, revision } = this.#loaded;
    const row = sqlGuard(() => sql("SELECT revision FROM sessions_g WHERE session = ?").get(session));
    if (row === undefined || Number(row[0]) > revision()) throw new StaleView();
  }
}
