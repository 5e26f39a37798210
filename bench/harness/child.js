/** One case in a process of its own: `node child.js '{"workload": …, "parameters": …, "folder": …}'`. */
import process from "node:process";

const { workload, parameters, folder } = JSON.parse(process.argv[2]);
const { default: definition } = await import(`../workloads/${workload}.js`);
const figures = await definition.run(parameters, folder);
process.send(figures, () => process.disconnect());
