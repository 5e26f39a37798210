// Commits to the database argv[2] until the checkpointer makes the writer wait, and closes in that moment: nothing but the
// thread holds the process. argv[3]: the bounds. Says when it is closed.
import { setImmediate as nextTick } from "node:timers/promises";
import { Checkpointer } from "../../../../build/log/sqlite/checkpointer.js";
import { Database } from "../../../../build/log/sqlite/engine.js";

const database = new Database(process.argv[2]);
database.exec("PRAGMA journal_mode = WAL; PRAGMA wal_autocheckpoint = 0; CREATE TABLE t (x)");
const insert = database.prepare("INSERT INTO t VALUES (?)");
const writer = {
  isPaused: false,
  pause: () => void (writer.isPaused = true),
  resume() {},
};
const checkpointer = new Checkpointer(process.argv[2], database, writer, JSON.parse(process.argv[3]));
for (;;) {
  insert.run("x".repeat(3_000));
  checkpointer.look();
  if (writer.isPaused) break;
  await nextTick();
}
await checkpointer.close();
database.close();
console.log("closed");
