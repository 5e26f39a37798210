// Copies, exports or imports, and kills itself with SIGKILL so many turns of the event loop after it began.
//   node transfer-child.js copy|export|import TURNS FROM TO
// Prints "done" when it was done before the kill came.
import { writeSync } from "node:fs";
import { runCli } from "../../../build/cli/program.js";

const [what, turns, from, to] = process.argv.slice(2);
const die = () => process.kill(process.pid, "SIGKILL");
let left = Number(turns);
const count = () => (left-- <= 0 ? die() : setImmediate(count));

const commands = {
  copy: ["copy", from, to],
  export: ["export", "--store", from, "--out", to],
  import: ["import", from, "--store", to],
};
const { stdin, stdout, stderr, env } = process;
setImmediate(count);
await runCli([...commands[what], "--quiet"], { stdin, stdout, stderr, env });
writeSync(1, "done");
die();
