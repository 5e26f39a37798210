import { execFileSync } from "node:child_process";
import { join } from "node:path";
import type { EventLog, NewEvent } from "../../../src/log/event-log.ts";
import type { WalBounds } from "../../../src/log/sqlite/checkpointer.ts";
import { Database } from "../../../src/log/sqlite/engine.ts";

/** A few hundred commits make the WAL long, so that it begins anew again and again; what is far too long is out of reach. */
export const SMALL_WAL_BOUNDS: WalBounds = {
  perCheckpoint: 40,
  long: 100,
  few: 30,
  betweenPauses: 50,
  farTooLong: 100_000,
  mostPending: 100_000,
};

let counter = 0;

/** A small event, another each time. */
export function sampleEvent(data: NewEvent["data"] = { text: ` Holiday ${counter}` }): NewEvent {
  counter += 1;
  return {
    id: `0f3a9c1e-77aa-8bcd-9e01-${counter.toString(16).padStart(12, "0")}`,
    type: "Happened",
    data,
    metadata: { v: 1, n: counter },
  };
}

export function sampleEvents(count: number): NewEvent[] {
  return Array.from({ length: count }, () => sampleEvent());
}

/** Rows of a query on the file, through a connection of its own. */
export function query(path: string, sql: string): (string | number | Uint8Array | null)[][] {
  const database = new Database(path, { readOnly: true });
  try {
    return database
      .prepare(sql)
      .all()
      .map((row) => [...row]);
  } finally {
    database.close();
  }
}

/**
 * What kill -9 would leave of an open log: its files as they are now. Copied by another process, since opening
 * them past SQLite would drop this process's locks.
 */
export function crashedCopy(path: string, folder: string): string {
  const copy = join(folder, "crashed.db");
  execFileSync("cp", [path, copy]);
  execFileSync("cp", [`${path}-wal`, `${copy}-wal`]);
  return copy;
}

/** Appends events one by one, so that each has a hot row of its own. */
export async function appendOneByOne(log: EventLog, stream: string, count: number): Promise<void> {
  for (let appended = 0; appended < count; appended++) await log.append(stream, [sampleEvent()], "any");
}
