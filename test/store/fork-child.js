// Forks session "s" at REVISION and kills itself with SIGKILL after so many appends.
//   node fork-child.js PATH REVISION APPENDS
// Prints "done" when the fork was whole before the kill came.
import { writeSync } from "node:fs";
import { openConversationStore } from "../../dist/index.js";

const [path, revision, appends] = process.argv.slice(2);
const store = await openConversationStore(path);
const die = () => process.kill(process.pid, "SIGKILL");

let left = Number(appends);
if (left === 0) setImmediate(die);
await store.fork("s", {
  at: Number(revision),
  as: "f",
  onProgress: () => (--left === 0 ? die() : undefined),
});
writeSync(1, "done");
die();
