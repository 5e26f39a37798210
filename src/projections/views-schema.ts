import { StoreError } from "../errors.ts";
import type { Database } from "../log/sqlite/engine.ts";

/**
 * The views file: what the fold has made of the log, in tables per generation. It is disposable: whatever is wrong
 * with it, the log can make it anew.
 */

/** The format of the file. A newer one is refused, an older one made anew. */
export const VIEWS_FORMAT = 2;
/** "tlgv" in the file's header. */
const VIEWS_APPLICATION_ID = 0x746c6776;

const SHARED_TABLES = `
  CREATE TABLE generations (
    generation INTEGER PRIMARY KEY AUTOINCREMENT,
    -- building, current or retired.
    state TEXT NOT NULL,
    log_id TEXT NOT NULL,
    fold_version INTEGER NOT NULL,
    -- Everything up to here is in the tables; the event's id tells this log from another, or from a shorter one.
    checkpoint INTEGER NOT NULL,
    checkpoint_event TEXT,
    -- The newest event that any row has seen.
    highest INTEGER NOT NULL,
    highest_event TEXT
  );
  -- Who holds a lock, for the message to whom it is refused.
  CREATE TABLE holders (role TEXT PRIMARY KEY, pid INTEGER NOT NULL, since INTEGER NOT NULL);
  CREATE TABLE projections (
    name TEXT PRIMARY KEY,
    version INTEGER NOT NULL,
    log_id TEXT NOT NULL,
    checkpoint INTEGER NOT NULL,
    checkpoint_event TEXT,
    state TEXT NOT NULL
  );
`;

/** Tables of one generation. Indexes that only queries need are made when its rows are there. */
export function createGenerationTables(database: Database, generation: number): void {
  database.exec(`
    CREATE TABLE sessions_${generation} (
      session INTEGER PRIMARY KEY,
      name TEXT NOT NULL UNIQUE,
      revision INTEGER NOT NULL,
      last_active INTEGER NOT NULL,
      -- 1 where it exists and is no unfinished fork.
      is_listed INTEGER NOT NULL,
      has_unended INTEGER NOT NULL,
      message_count INTEGER NOT NULL,
      next_place INTEGER NOT NULL,
      title TEXT,
      -- The rest of the fold's state as JSON: what no query asks for by itself.
      state TEXT NOT NULL,
      -- Why it can be folded no further, as JSON.
      dead_letter TEXT,
      crc INTEGER NOT NULL
    );
    CREATE TABLE messages_${generation} (
      id INTEGER PRIMARY KEY,
      session INTEGER NOT NULL,
      -- Order in which messages are shown, replaced ones included.
      place INTEGER NOT NULL,
      external_id TEXT,
      -- All of the message but its content, as JSON.
      facts TEXT NOT NULL,
      -- Text, or its UTF-16LE bytes where UTF-8 cannot hold it.
      content NOT NULL,
      -- SQLite notices a torn page, not a wrong byte: of facts and content.
      crc INTEGER NOT NULL
    );
    CREATE INDEX messages_${generation}_by_place ON messages_${generation} (session, place);
  `);
}

export function createGenerationIndexes(database: Database, generation: number): void {
  database.exec(`
    CREATE INDEX IF NOT EXISTS sessions_${generation}_newest
      ON sessions_${generation} (is_listed, last_active DESC, name);
    CREATE INDEX IF NOT EXISTS sessions_${generation}_unended
      ON sessions_${generation} (session) WHERE has_unended;
    CREATE INDEX IF NOT EXISTS messages_${generation}_by_external_id
      ON messages_${generation} (session, external_id) WHERE external_id IS NOT NULL;
  `);
}

export function dropGeneration(database: Database, generation: number): void {
  database.exec(`DROP TABLE IF EXISTS sessions_${generation}; DROP TABLE IF EXISTS messages_${generation}`);
  database.prepare("DELETE FROM generations WHERE generation = ?").run(generation);
}

export type ViewsKind = "ours" | "blank" | "older" | "newer" | "foreign";

export function viewsKind(database: Database): ViewsKind {
  return database.read(() => {
    const applicationId = database.number("PRAGMA application_id");
    const version = database.number("PRAGMA user_version");
    if (applicationId === VIEWS_APPLICATION_ID) {
      if (version === VIEWS_FORMAT) return "ours";
      return version > VIEWS_FORMAT ? "newer" : "older";
    }
    const objects = database.number("SELECT count(*) FROM sqlite_master");
    return applicationId === 0 && version === 0 && objects === 0 ? "blank" : "foreign";
  });
}

/** Makes the shared tables in a blank file; two processes may do so at once. May fail as busy. */
export function createViews(database: Database): void {
  database.exec("PRAGMA page_size = 4096; PRAGMA auto_vacuum = INCREMENTAL; PRAGMA journal_mode = WAL");
  database.write(() => {
    if (database.number("PRAGMA application_id") === VIEWS_APPLICATION_ID) return;
    database.exec(SHARED_TABLES);
    database.exec(`PRAGMA user_version = ${VIEWS_FORMAT}; PRAGMA application_id = ${VIEWS_APPLICATION_ID}`);
  });
}

export function configureViews(database: Database): void {
  // Losing the newest views in a power cut costs a catch-up, not data: what they lost is in the log.
  database.exec("PRAGMA synchronous = NORMAL");
}

export function newerViews(path: string): StoreError {
  return new StoreError(
    "newer-views",
    `The views ${path} were written by a newer turnlog. Use that one, or name another path for the views; the log and the views were not touched.`,
    { details: { path } },
  );
}

export function foreignViews(path: string): StoreError {
  return new StoreError(
    "not-a-views-file",
    `${path} is another application's database; it was not touched. Name another path for the views.`,
    { details: { path } },
  );
}
