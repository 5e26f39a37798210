/** One case, or a workload's preparation, in a process of its own: `node child.js '{"workload": …, "parameters": …, …}'`. */
import process from "node:process";

const { workload, prepare, parameters, folder, shared } = JSON.parse(process.argv[2]);
const { default: definition } = await import(`../workloads/${workload}.js`);
const figures = prepare
  ? ((await definition.prepare(parameters, shared)) ?? {})
  : await definition.run(parameters, folder, shared);
process.send(figures, () => process.disconnect());
