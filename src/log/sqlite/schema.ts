import { randomUUID } from "node:crypto";
import { StoreError } from "../../errors.ts";
import type { Database } from "./engine.ts";

/** The format of the file. A reader of version n refuses n + 1: what is stored is never guessed at. */
export const FORMAT_VERSION = 1;
/** "tlog" in the file's header: tells our files from other applications' databases. */
export const APPLICATION_ID = 0x746c6f67;
/** Positions that one packed row may span at most: bounds how far back a reader of all streams has to look. */
export const DEFAULT_PACK_SPAN = 65_536;

const TABLES = `
  CREATE TABLE log_meta (key TEXT PRIMARY KEY, value NOT NULL) WITHOUT ROWID;
  -- One row, written only when rows move: what hot rows alone cannot say once they are gone.
  CREATE TABLE log_state (
    id INTEGER PRIMARY KEY CHECK (id = 1),
    highest_position INTEGER NOT NULL,
    recorded_at INTEGER NOT NULL,
    hot_generation INTEGER NOT NULL
  );
  CREATE TABLE streams (
    id INTEGER PRIMARY KEY,
    name TEXT NOT NULL UNIQUE,
    -- Newest packed revision: an event of a hot row is live if it is above.
    head_revision INTEGER NOT NULL,
    -- Oldest revision that was kept.
    first_revision INTEGER NOT NULL
  );
  CREATE TABLE hot (
    position INTEGER PRIMARY KEY,
    count INTEGER NOT NULL,
    encoding INTEGER NOT NULL,
    crc INTEGER NOT NULL,
    payload BLOB NOT NULL
  );
  CREATE TABLE packed (
    first_position INTEGER PRIMARY KEY,
    stream_id INTEGER NOT NULL,
    first_revision INTEGER NOT NULL,
    count INTEGER NOT NULL,
    last_position INTEGER NOT NULL,
    encoding INTEGER NOT NULL,
    crc INTEGER NOT NULL,
    payload BLOB NOT NULL
  );
  CREATE UNIQUE INDEX packed_by_stream ON packed (stream_id, first_revision);
`;

/** A WAL that has grown beyond, for a reader that held it, is cut when it begins anew. */
const LONGEST_KEPT_WAL_BYTES = 67_108_864;

/** What a database file turns out to be. */
export type FileKind = "ours" | "newer" | "blank" | "foreign";

/** Looks only. */
export function fileKind(database: Database): FileKind {
  return database.read(() => {
    const applicationId = database.number("PRAGMA application_id");
    const version = database.number("PRAGMA user_version");
    if (applicationId === APPLICATION_ID) return version > FORMAT_VERSION ? "newer" : "ours";
    const objects = database.number("SELECT count(*) FROM sqlite_master");
    return applicationId === 0 && version === 0 && objects === 0 ? "blank" : "foreign";
  });
}

/** Of every connection that writes or moves pages: without them a commit that was synced may still be torn. */
export const DURABLE_SETTINGS =
  "PRAGMA synchronous = NORMAL; PRAGMA checkpoint_fullfsync = 1; PRAGMA wal_autocheckpoint = 0;";

/**
 * Settings that live with the connection, and the one of the file that every promise rests on: a copy made with
 * VACUUM INTO, say, has lost it.
 * @throws {StoreError} `cannot-open` where the file system has no memory to share, which the WAL needs.
 */
export function configureConnection(database: Database, path: string): void {
  const mode = database.prepare("PRAGMA journal_mode = WAL").get()?.[0];
  if (mode !== "wal") {
    throw new StoreError(
      "cannot-open",
      `The log ${path} cannot be put into WAL mode (it is in ${String(mode)}): its file system cannot share memory between processes. Use a local disk.`,
      { details: { path } },
    );
  }
  database.exec(`${DURABLE_SETTINGS} PRAGMA journal_size_limit = ${LONGEST_KEPT_WAL_BYTES}`);
}

/**
 * Makes a log in a blank file. Two processes may do so at once: each step is one that the other's does not spoil,
 * and the second finds the log made. May fail as busy; then do it again.
 */
export function createLog(database: Database, packSpan: number): void {
  // Both must be set before the first page is written, and auto_vacuum before WAL mode.
  database.exec("PRAGMA page_size = 4096; PRAGMA auto_vacuum = INCREMENTAL; PRAGMA journal_mode = WAL");
  database.write(() => {
    if (database.number("PRAGMA application_id") === APPLICATION_ID) return;
    database.exec(TABLES);
    const insert = database.prepare("INSERT INTO log_meta (key, value) VALUES (?, ?)");
    insert.run("log_id", randomUUID());
    insert.run("pack_span", packSpan);
    insert.run("created_at", Date.now());
    database.exec(`
      INSERT INTO log_state (id, highest_position, recorded_at, hot_generation) VALUES (1, -1, 0, 0);
      PRAGMA user_version = ${FORMAT_VERSION};
      PRAGMA application_id = ${APPLICATION_ID};
    `);
  });
}

/** @throws {StoreError} `newer-format` where another process has upgraded the file since it was opened. */
export function checkFormatVersion(database: Database, path: string): void {
  const version = database.number("PRAGMA user_version");
  if (version > FORMAT_VERSION) throw newerFormat(path, version);
}

export function newerFormat(path: string, version: number): StoreError {
  return new StoreError(
    "newer-format",
    `The log ${path} has format ${version}; this version of turnlog knows up to ${FORMAT_VERSION}. Use a newer turnlog; the file was not touched.`,
    { details: { path, version, known: FORMAT_VERSION } },
  );
}
