import { isBusy, isNotDatabase } from "../log/sqlite/engine.ts";
import { DamagedView, StaleView } from "./message-collection.ts";

/**
 * Runs a query on the views. A table that is no more belongs to a generation that has been replaced; anything else SQLite says is damage.
 * @throws {StaleView}
 * @throws {DamagedView}
 */
export function sqlGuard<Result>(query: () => Result): Result {
  try {
    return query();
  } catch (cause) {
    // By its text: a native module's errors are not instances of this realm's Error everywhere.
    if (/no such table/.test(String(cause))) throw new StaleView("dropped", { cause });
    if (isBusy(cause)) throw new StaleView("locked for a moment", { cause });
    throw new DamagedView(`the views cannot be read: ${String(cause)}`, { cause });
  }
}

/** True for what SQLite, or a row's checksum, says of a file that cannot be made sense of. */
export function isDamagedViews(error: unknown): boolean {
  const cause = error instanceof Error && error.cause !== undefined ? error.cause : error;
  const code = (cause as { errcode?: unknown } | null)?.errcode;
  return (
    error instanceof DamagedView || isNotDatabase(cause) || (typeof code === "number" && (code & 0xff) === 11)
  );
}

/** Another process holds a lock on the views: to be tried again. */
export function isViewsBusy(error: unknown): boolean {
  return isBusy(error);
}
