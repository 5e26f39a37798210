// Reads the log at argv[2] without any rights, then tries to open it for writing. Prints what came of it as JSON.
import { openSqliteEventLog } from "../../../../build/log/sqlite/sqlite-event-log.js";

const NOBODY = 65_534;
if (process.getuid() === 0) {
  process.setgid(NOBODY);
  process.setuid(NOBODY);
}

const path = process.argv[2];
const outcome = {};
try {
  const log = await openSqliteEventLog(path, { readOnly: true });
  outcome.events = 0;
  for await (const event of log.readAll()) outcome.events += event.revision >= 0 ? 1 : 0;
  await log.close();
} catch (error) {
  outcome.code = error.code;
}
try {
  await (await openSqliteEventLog(path)).close();
  outcome.writing = "possible";
} catch (error) {
  outcome.writing = error.code;
}
console.log(JSON.stringify(outcome));
