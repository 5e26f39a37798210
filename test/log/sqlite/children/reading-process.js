// Reads the log at argv[2], or its stream argv[3], and prints how many events there were and the most memory it took, in MB.
import { openSqliteEventLog } from "../../../../dist/log/sqlite/sqlite-event-log.js";

const log = await openSqliteEventLog(process.argv[2], { readOnly: true });
let events = 0;
let last = -1;
const stream = process.argv[3];
for await (const event of stream === undefined ? log.readAll() : log.readStream(stream)) {
  if (event.position !== last + 1) throw new Error(`position ${event.position} after ${last}`);
  last = event.position;
  events += 1;
}
await log.close();
console.log(JSON.stringify({ events, megabytes: process.resourceUsage().maxRSS / 1024 }));
