/** A database of a candidate that is plain SQL on turnlog's own engine. */
import { join } from "node:path";
import { DatabaseSync } from "@photostructure/sqlite";

/** WAL; at `power` every commit is synced (FULL), at `process` none is (NORMAL). */
export function openDatabase(folder, durability) {
  const database = new DatabaseSync(join(folder, "store.db"));
  const synchronous = durability === "power" ? "FULL" : "NORMAL";
  database.exec(`PRAGMA journal_mode = WAL; PRAGMA synchronous = ${synchronous}`);
  return database;
}

export function openForReading(folder) {
  return new DatabaseSync(join(folder, "store.db"), { readOnly: true });
}
