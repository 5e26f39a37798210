/** Runs the cases of a workload: each in its own process and folder, candidates alternating within each round. */
import { fork } from "node:child_process";
import { mkdtempSync, rmSync } from "node:fs";
import { join } from "node:path";
import { fileURLToPath } from "node:url";

const CHILD = fileURLToPath(new URL("child.js", import.meta.url));

/** The longest that one case may take before it counts as hung, ms. */
const MOST_CASE_MS = 900_000;

/** Of what a case that failed has said, the last characters. */
const MOST_TOLD = 4096;

function describe({ workload, prepare, parameters }) {
  return prepare ? `preparing ${workload}` : `${workload} ${Object.values(parameters).join(" ")}`;
}

function inChild(task) {
  return new Promise((resolve, reject) => {
    const child = fork(CHILD, [JSON.stringify(task)], {
      execArgv: ["--expose-gc", "--disable-warning=ExperimentalWarning"],
      stdio: ["ignore", "ignore", "pipe", "ipc"], // Peers write notes to both, where tables and progress go.
      timeout: MOST_CASE_MS,
    });
    let figures;
    let told = "";
    child.stderr.setEncoding("utf8").on("data", (text) => (told = (told + text).slice(-MOST_TOLD)));
    child.on("message", (message) => (figures = message));
    child.on("error", reject);
    child.on("close", (code, signal) => {
      if (code === 0 && figures !== undefined) resolve(figures);
      else reject(new Error(`${describe(task)} ended with ${signal ?? code}:\n${told}`));
    });
  });
}

async function withFolder(parent, work) {
  const folder = mkdtempSync(join(parent, "turnlog-bench-"));
  try {
    return await work(folder);
  } finally {
    rmSync(folder, { recursive: true, force: true });
  }
}

/**
 * @param definition a workload: `cases` are `{parameters, rounds?}`; a case's own `rounds` (for what takes
 * minutes) is the most it runs unless `rounds` was asked for. What is not available is left out. `prepare`, where
 * it has one, runs once before them, and its folder is handed to all.
 * @returns one `{parameters, rounds: [figures, …]}` per case.
 */
export async function runRounds(definition, { rounds, folder, progress }) {
  const { name, isAvailable = () => true } = definition;
  const cases = definition.cases.filter(({ parameters }) => isAvailable(parameters));
  const results = cases.map(({ parameters }) => ({ parameters, rounds: [] }));
  const most = rounds ?? definition.rounds;
  await withFolder(folder, async (shared) => {
    if (definition.prepare !== undefined && cases.length > 0) {
      progress(`${name}: preparing`);
      const all = cases.map(({ parameters }) => parameters);
      await inChild({ workload: name, prepare: true, parameters: all, shared });
    }
    for (let round = 0; round < most; round++) {
      for (const [index, { parameters, rounds: own = most }] of cases.entries()) {
        if (rounds === undefined && round >= own) continue;
        progress(`round ${round + 1} of ${most}: ${describe({ workload: name, parameters })}`);
        const run = (own) => inChild({ workload: name, parameters, folder: own, shared });
        results[index].rounds.push(await withFolder(folder, run));
      }
    }
  });
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
