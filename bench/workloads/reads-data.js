/**
 * Makes what `reads` reads: `node reads-data.js LOG TABLE '{"sessionEvents": …, "sessions": …}'`. A process of its own,
 * so that the one that is measured holds nothing but what it reads.
 */
import { DatabaseSync } from "@photostructure/sqlite";
import { openConversationStore, rebuildViews } from "../../dist/index.js";
import { SCHEMA } from "../candidates/update-per-delta.js";
import { makeLog } from "./rebuild.js";

/** The same messages in the original store's table. */
async function makeTable(path, storePath) {
  const store = await openConversationStore(storePath, { readOnly: true });
  const database = new DatabaseSync(path);
  database.exec("PRAGMA journal_mode = WAL; PRAGMA synchronous = NORMAL");
  database.exec(SCHEMA);
  const insert = database.prepare(
    "INSERT INTO messages (session_id, role, content, created_at) VALUES (?, ?, ?, ?)",
  );
  database.exec("BEGIN");
  // In the order of the sessions' last activity, as they would have come.
  for (const { id } of (await store.listSessions({ limit: Infinity })).toReversed())
    for (const { role, content, createdAt } of await store.listMessages(id, { limit: Infinity }))
      insert.run(id, role, content, Math.floor(createdAt.getTime() / 1000));
  database.exec("COMMIT");
  database.close();
  await store.close();
}

const [path, tablePath, what] = process.argv.slice(2);
makeLog(path, JSON.parse(what));
await rebuildViews(path);
await makeTable(tablePath, path);
