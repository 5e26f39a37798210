/** Runs the cases of a workload: each in its own process and folder, candidates alternating within each round. */
import { fork } from "node:child_process";
import { mkdtempSync, rmSync } from "node:fs";
import { join } from "node:path";
import { fileURLToPath } from "node:url";

const CHILD = fileURLToPath(new URL("child.js", import.meta.url));

/** The longest that one case may take before it counts as hung, ms. */
const MOST_CASE_MS = 900_000;

function runCase(workload, parameters, parentFolder) {
  const folder = mkdtempSync(join(parentFolder, "turnlog-bench-"));
  return new Promise((resolve, reject) => {
    const child = fork(CHILD, [JSON.stringify({ workload, parameters, folder })], {
      execArgv: ["--expose-gc", "--disable-warning=ExperimentalWarning"],
      stdio: ["ignore", "ignore", "inherit", "ipc"], // Peers write notes to stdout, where the tables go.,
      timeout: MOST_CASE_MS,
    });
    let figures;
    child.on("message", (message) => (figures = message));
    child.on("error", reject);
    child.on("exit", (code, signal) => {
      if (code === 0 && figures !== undefined) resolve(figures);
      else reject(new Error(`${workload} ${JSON.stringify(parameters)} ended with ${signal ?? code}`));
    });
  }).finally(() => rmSync(folder, { recursive: true, force: true }));
}

/**
 * @param definition a workload: `cases` are `{parameters, rounds?}`; a case's own `rounds` (for what takes
 * minutes) is the most it runs unless `rounds` was asked for. What is not available is left out.
 * @returns one `{parameters, rounds: [figures, …]}` per case.
 */
export async function runRounds(definition, { rounds, folder, progress }) {
  const { isAvailable = () => true } = definition;
  const cases = definition.cases.filter(({ parameters }) => isAvailable(parameters));
  const results = cases.map(({ parameters }) => ({ parameters, rounds: [] }));
  const most = rounds ?? definition.rounds;
  for (let round = 0; round < most; round++) {
    for (const [index, { parameters, rounds: own = most }] of cases.entries()) {
      if (rounds === undefined && round >= own) continue;
      progress(`${definition.name}: round ${round + 1} of ${most}: ${Object.values(parameters).join(" ")}`);
      results[index].rounds.push(await runCase(definition.name, parameters, folder));
    }
  }
  return results;
}

/** Median, smallest and largest of a figure over the rounds; undefined where it was not measured. */
export function spread(rounds, figure) {
  const values = rounds.map(figure).filter((value) => Number.isFinite(value));
  if (values.length === 0) return undefined;
  const sorted = values.toSorted((a, b) => a - b);
  const middle = sorted.length >> 1;
  const median = sorted.length % 2 === 1 ? sorted[middle] : (sorted[middle - 1] + sorted[middle]) / 2;
  return { median, min: sorted[0], max: sorted.at(-1) };
}
