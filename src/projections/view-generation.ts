import type { Database, SqlValue, Statement } from "../log/sqlite/engine.ts";
import { type Conversation, type UnendedTurn, emptyConversation } from "./conversation.ts";
import { MessageCollection, StaleView } from "./message-collection.ts";
import { clearChanges } from "./conversation-changes.ts";
import type { SessionInfo } from "./session-index.ts";
import type { FoldedMessage } from "./stored-message.ts";
import { sqlGuard } from "./view-errors.ts";
import { MESSAGE_COLUMNS, SESSION_COLUMNS, checkRow, messageRow, rowChecksum } from "./view-row.ts";
import { ViewedMessages } from "./viewed-messages.ts";

/** A conversation as it comes out of the views, with what saving it again needs. */
export interface ViewedConversation {
  readonly conversation: Conversation;
  /** Row of the session, undefined before it is first saved. */
  session: number | undefined;
  nextPlace: number;
  /** Revision of its rows. */
  savedRevision: number;
}

/** A conversation that has no rows yet. */
export function unsavedConversation(conversation: Conversation): ViewedConversation {
  return { conversation, session: undefined, nextPlace: 0, savedRevision: -1 };
}

interface SavedState {
  lastMessageId: number;
  exists: boolean;
  missingForkEvents: number;
  metadata?: Record<string, unknown> | undefined;
  filling?: number | undefined;
  turns: UnendedTurn[];
}

/** The rows of one generation: sessions and their messages, read piecemeal, and written as far as they changed. */
export class ViewGeneration {
  readonly generation: number;
  readonly #database: Database;
  readonly #statements = new Map<string, Statement>();

  constructor(database: Database, generation: number) {
    this.#database = database;
    this.generation = generation;
  }

  #sql(sql: string): Statement {
    let statement = this.#statements.get(sql);
    if (statement === undefined) {
      statement = this.#database.prepare(
        sql
          .replaceAll("sessions_g", `sessions_${this.generation}`)
          .replaceAll("messages_g", `messages_${this.generation}`),
      );
      this.#statements.set(sql, statement);
    }
    return statement;
  }

  /**
   * The session at the revision of its rows; its messages are loaded when they are asked for, and only as long as
   * the rows have not moved past the conversation: then `StaleView` is thrown.
   */
  load(
    name: string,
    options: { keepsContents?: boolean; isShared?: boolean } = {},
  ): ViewedConversation | undefined {
    const row = sqlGuard(() =>
      this.#sql(`SELECT session, ${SESSION_COLUMNS}, crc FROM sessions_g WHERE name = ?`).get(name),
    );
    if (row === undefined) return undefined;
    const [session, , revision, lastActive, , , count, nextPlace, title, state] = row;
    checkRow(row.slice(1), name);
    const saved = JSON.parse(String(state)) as SavedState;
    const empty = emptyConversation(options);
    const conversation: Conversation = {
      ...empty,
      revision: Number(revision),
      lastActive: Number(lastActive),
      exists: saved.exists,
      title: title === null ? undefined : (JSON.parse(String(title)) as string),
      metadata: saved.metadata,
      lastMessageId: saved.lastMessageId,
      missingForkEvents: saved.missingForkEvents,
      unendedTurns: new Map(saved.turns.map((turn) => [turn.turnId, turn])),
      messages: new MessageCollection(
        new ViewedMessages({
          sql: (text) => this.#sql(text),
          session: Number(session),
          count: Number(count),
          nextPlace: Number(nextPlace),
          revision: () => conversation.revision,
        }),
      ),
    };
    if (saved.filling !== undefined) conversation.filling = conversation.messages.get(saved.filling);
    return {
      conversation,
      session: Number(session),
      nextPlace: Number(nextPlace),
      savedRevision: Number(revision),
    };
  }

  /** Row and revision of a session, whatever else is wrong with it. */
  placeOf(name: string): { session: number; revision: number } | undefined {
    const row = sqlGuard(() =>
      this.#sql("SELECT session, revision FROM sessions_g WHERE name = ?").get(name),
    );
    return row && { session: Number(row[0]), revision: Number(row[1]) };
  }

  /**
   * Writes what has changed since the conversation was loaded or last saved, and empties its changes.
   * @throws {StaleView} where somebody else has written the session since: nothing may be kept of the transaction.
   */
  save(name: string, viewed: ViewedConversation, deadLetter?: object): void {
    const { conversation } = viewed;
    const changes = conversation.changes;
    if (changes === undefined) throw new Error("a conversation that is saved must note its changes");
    const place = this.placeOf(name);
    if (place?.session !== viewed.session || (place?.revision ?? -1) !== viewed.savedRevision)
      throw new StaleView(`session ${name} was written by another`);
    const session = (viewed.session ??= this.#newSession(name));
    if (changes.list) this.#saveList(viewed, session);
    else for (const message of changes.messages) this.#saveMessage(viewed, session, message);
    clearChanges(changes);
    const saved: SavedState = {
      lastMessageId: conversation.lastMessageId,
      exists: conversation.exists,
      missingForkEvents: conversation.missingForkEvents,
      metadata: conversation.metadata,
      filling: conversation.filling?.id,
      turns: [...conversation.unendedTurns.values()],
    };
    const row: SqlValue[] = [
      name,
      conversation.revision,
      conversation.lastActive,
      Number(conversation.exists && conversation.missingForkEvents === 0),
      Number(conversation.unendedTurns.size > 0),
      conversation.messages.count,
      viewed.nextPlace,
      conversation.title === undefined ? null : JSON.stringify(conversation.title),
      JSON.stringify(saved),
    ];
    this.#sql(
      `UPDATE sessions_g SET (${SESSION_COLUMNS}, crc, dead_letter) = (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)
        WHERE session = ?`,
    ).run(...row, rowChecksum(row), deadLetter === undefined ? null : JSON.stringify(deadLetter), session);
    viewed.savedRevision = conversation.revision;
  }

  #newSession(name: string): number {
    const row = this.#sql(
      `INSERT INTO sessions_g (${SESSION_COLUMNS}, crc) VALUES (?, -1, 0, 0, 0, 0, 0, NULL, '{}', 0)
        RETURNING session`,
    ).get(name);
    return Number(row?.[0]);
  }

  #saveMessage(viewed: ViewedConversation, session: number, message: FoldedMessage): void {
    message.place ??= viewed.nextPlace++;
    this.#write(session, message.place, message);
  }

  /** The list itself has changed: every message gets its place anew. */
  #saveList(viewed: ViewedConversation, session: number): void {
    this.#sql("DELETE FROM messages_g WHERE session = ?").run(session);
    viewed.nextPlace = 0;
    for (const message of viewed.conversation.messages.all()) {
      message.place = viewed.nextPlace++;
      this.#write(session, message.place, message);
    }
  }

  #write(session: number, place: number, message: FoldedMessage): void {
    this.#sql(`INSERT OR REPLACE INTO messages_g (${MESSAGE_COLUMNS}) VALUES (?, ?, ?, ?, ?, ?, ?)`).run(
      ...messageRow(session, place, message),
    );
  }

  /** Listed sessions, newest first. */
  list(options: {
    limit: number;
    cursor?: Pick<SessionInfo, "id" | "lastActive"> | undefined;
    prefix: string;
  }): SessionInfo[] {
    const { limit, cursor, prefix } = options;
    const newest = cursor === undefined ? Number.MAX_SAFE_INTEGER : cursor.lastActive.getTime();
    const rows = sqlGuard(() =>
      this.#sql(
        `SELECT ${SESSION_COLUMNS}, crc FROM sessions_g
          WHERE is_listed = 1 AND last_active <= ? AND (last_active < ? OR name > ?) AND substr(name, 1, ?) = ?
          ORDER BY last_active DESC, name LIMIT ?`,
      ).all(
        newest,
        newest,
        cursor?.id ?? "",
        [...prefix].length, // SQLite counts characters, not UTF-16 units.
        prefix,
        limit === Infinity ? -1 : limit,
      ),
    );
    return rows.map((row) => {
      const [name, , lastActive, , , count, , title] = row;
      checkRow(row, String(name));
      return {
        id: String(name),
        ...(title === null ? {} : { title: JSON.parse(String(title)) as string }),
        messageCount: Number(count),
        lastActive: new Date(Number(lastActive)),
      };
    });
  }

  namesWithUnendedTurns(): string[] {
    return sqlGuard(() =>
      this.#sql("SELECT name FROM sessions_g WHERE has_unended ORDER BY session").all(),
    ).map(([name]) => String(name));
  }

  deadLetterOf<Letter>(name: string): Letter | undefined {
    const letter = sqlGuard(() =>
      this.#sql("SELECT dead_letter FROM sessions_g WHERE name = ?").get(name),
    )?.[0];
    return typeof letter === "string" ? (JSON.parse(letter) as Letter) : undefined;
  }

  deadLetters(): { sessionId: string; deadLetter: unknown }[] {
    return this.#sql("SELECT name, dead_letter FROM sessions_g WHERE dead_letter IS NOT NULL")
      .all()
      .map(([name, letter]) => ({
        sessionId: String(name),
        deadLetter: JSON.parse(String(letter)) as unknown,
      }));
  }

  /** All session names, in pages by row. */
  *names(): Generator<string> {
    let after = 0;
    for (;;) {
      const rows = this.#sql(
        "SELECT session, name FROM sessions_g WHERE session > ? ORDER BY session LIMIT 1000",
      ).all(after);
      if (rows.length === 0) return;
      for (const [session, name] of rows) {
        after = Number(session);
        yield String(name);
      }
    }
  }
}
