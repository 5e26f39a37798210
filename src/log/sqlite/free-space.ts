import { type Database, isBusy } from "./engine.ts";

/** Fewer free pages are soon used again. */
export const FEWEST_PAGES = 64;
/** 32 MB: closing must not take long, however much was freed. */
export const MOST_PAGES = 8_192;

/** Gives back to the file system what packing or rewriting has freed. While a database is written, it is only asked for again. */
function giveBackFreePages(database: Database): void {
  if (database.number("PRAGMA freelist_count") < FEWEST_PAGES) return;
  try {
    database.exec(`PRAGMA incremental_vacuum(${MOST_PAGES})`);
  } catch (error) {
    if (!isBusy(error)) throw error; // Somebody else writes on: the pages will be used.
  }
}

/**
 * What a database that was written leaves to do before it is closed. A thread that has moved pages for it has done the same.
 * @throws SQLite's busy error where others use it: they go on with it.
 */
export function tidyBeforeClosing(database: Database): void {
  giveBackFreePages(database);
  // The engine keeps statements alive until they are collected, and so would leave a full WAL behind.
  database.exec("PRAGMA wal_checkpoint(TRUNCATE)");
}
