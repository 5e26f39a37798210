// Reads the log at argv[2], or its stream argv[3], and prints how many events there were and the most memory it took, in MB.
import { readFileSync } from "node:fs";
import { openSqliteEventLog } from "../../../../build/log/sqlite/sqlite-event-log.js";

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
// Not resourceUsage().maxRSS: that begins with what the parent had when it started this process.
const [, kilobytes] = /^VmHWM:\s+(\d+) kB$/m.exec(readFileSync("/proc/self/status", "utf8")) ?? [];
console.log(JSON.stringify({ events, megabytes: Number(kilobytes) / 1024 }));
