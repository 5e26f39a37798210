import { retryWhileBusy } from "./busy-retry.ts";
import { openReadOnly } from "./open-database.ts";
import { resolveStorePath } from "./store-path.ts";

const MOST_PROBLEMS = 100;
const BUSY_TIMEOUT_MS = 10_000;

/**
 * What SQLite finds wrong with a log's file: its trees, indexes and lists of pages. Reads all of it, in one go, and
 * changes nothing. Rows' own checksums are not looked at.
 *
 * @throws {StoreError} where SQLite cannot open it as a log
 */
export async function structureProblems(path: string): Promise<string[]> {
  const opened = await openReadOnly(await resolveStorePath(path), BUSY_TIMEOUT_MS);
  try {
    const sql = `PRAGMA integrity_check(${MOST_PROBLEMS})`;
    const rows = await retryWhileBusy(path, BUSY_TIMEOUT_MS, () => opened.database.prepare(sql).all());
    return rows
      .map((row) => String(row[0]))
      .filter((problem) => problem !== "ok")
      .map((problem) => `SQLite finds the file damaged: ${problem.replaceAll("\n", " ")}.`);
  } finally {
    await opened.dispose();
  }
}
