// Rebuilds the views of the log at argv[2] in batches of argv[3] events, and reports each on stdout before it goes on.
// Dies right behind report argv[4], where that is given.
import { writeSync } from "node:fs";
import { rebuildViews } from "../../../dist/index.js";

const [path, batchEvents, lastReport] = process.argv.slice(2);
let reports = 0;
const report = await rebuildViews(path, {
  batchEvents: Number(batchEvents),
  onProgress: ({ phase, position }) => {
    writeSync(1, `${phase} ${position}\n`);
    if (++reports === Number(lastReport)) process.kill(process.pid, "SIGKILL");
  },
});
writeSync(1, `done ${report.position}\n`);
