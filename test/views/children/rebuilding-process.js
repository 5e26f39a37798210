// Rebuilds the views of the log at argv[2] in small batches, and reports each on stdout before it goes on.
import { writeSync } from "node:fs";
import { rebuildViews } from "../../../dist/index.js";

const report = await rebuildViews(process.argv[2], {
  batchEvents: Number(process.argv[3]),
  onProgress: ({ phase, position }) => writeSync(1, `${phase} ${position}\n`),
});
writeSync(1, `done ${report.position}\n`);
