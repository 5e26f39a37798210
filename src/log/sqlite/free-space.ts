import { type Database, isBusy } from "./engine.ts";

/** Fewer free pages are soon used again. */
export const FEWEST_PAGES = 64;
/** 32 MB: closing must not take long, however much was freed. */
export const MOST_PAGES = 8_192;

/**
 * Gives pages that packing or rewriting has freed back to the file system. For a database that is about to be closed:
 * while it is written they would only be asked for again.
 */
export function giveBackFreePages(database: Database): void {
  if (database.number("PRAGMA freelist_count") < FEWEST_PAGES) return;
  try {
    database.exec(`PRAGMA incremental_vacuum(${MOST_PAGES})`);
  } catch (error) {
    if (!isBusy(error)) throw error; // Somebody else writes on: the pages will be used.
  }
}
