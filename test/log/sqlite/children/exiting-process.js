// Appends without waiting, and exits.
import { openSqliteEventLog } from "../../../../build/log/sqlite/sqlite-event-log.js";

const log = await openSqliteEventLog(process.argv[2]);
for (let n = 0; n < 100; n++) {
  const id = `0f3a9c1e-77aa-8bcd-9e01-${n.toString(16).padStart(12, "0")}`;
  void log.append("a", [{ id, type: "Happened", data: n, metadata: {} }], "any");
}
process.exit(0);
