/** emmett with its SQLite store, as it comes: every append is a transaction, synced to disk (WAL, synchronous=FULL). */
import { getSQLiteEventStore } from "@event-driven-io/emmett-sqlite";
import { join } from "node:path";
import { appendingTurn, foldAnswers, turnStarted } from "../harness/turn-events.js";

export const lostAtKill = "nothing";

export function openStore(folder) {
  return getSQLiteEventStore({
    fileName: join(folder, "store.db"),
    schema: { autoMigration: "CreateOrUpdate" },
  });
}

export const streamOf = (session) => `conversation-${session}`;

/** Its commit fails now and then, because a statement of its own is not finished: rolled back, and worth repeating. */
export async function append(store, session, events) {
  for (;;) {
    try {
      return await store.appendToStream(streamOf(session), events);
    } catch (error) {
      if (error.code !== "SQLITE_BUSY") throw error;
    }
  }
}

export async function open(folder) {
  const store = openStore(folder);
  return {
    async beginTurn(session, user) {
      const appendOne = (event) => append(store, session, [event]);
      await appendOne(turnStarted(user));
      return appendingTurn(appendOne);
    },
    async close() {},
  };
}

export async function answersIn(folder) {
  const store = openStore(folder);
  return {
    async answers(session) {
      const { events } = await store.readStream(streamOf(session));
      return foldAnswers(events);
    },
    async close() {},
  };
}
