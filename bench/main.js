/**
 * Measures turnlog beside what a user would pick instead, in one run on this machine:
 *
 *   npm run bench -- [--only NAME[:PARAMETER=VALUE…]]… [--rounds N] [--json] [--save FILE] [--dir FOLDER]
 *
 * Absolute times are this machine's and this minute's; the ratios within one run are what counts. Exits 1 where a
 * result was wrong, 2 for wrong usage. docs/performance.md says how each figure is taken.
 */
import { writeFileSync } from "node:fs";
import { parseArgs } from "node:util";
import { runRounds } from "./harness/rounds.js";
import { benchFolder, versions } from "./harness/surroundings.js";
import { targetTable } from "./harness/table.js";
import autopsy from "./workloads/autopsy.js";
import findSplice from "./workloads/find-splice.js";
import rebuild from "./workloads/rebuild.js";
import streamedTurn from "./workloads/streamed-turn.js";

const WORKLOADS = [autopsy, findSplice, streamedTurn, rebuild];

function readArguments() {
  const { values } = parseArgs({
    options: {
      only: { type: "string", multiple: true },
      rounds: { type: "string" },
      json: { type: "boolean", default: false },
      save: { type: "string" },
      dir: { type: "string" },
    },
  });
  const rounds = values.rounds === undefined ? undefined : Number(values.rounds);
  if (rounds !== undefined && !(Number.isInteger(rounds) && rounds > 0))
    throw new Error(`--rounds takes a whole number above 0, not ${values.rounds}.`);
  return { ...values, rounds, workloads: chosenWorkloads(values.only) };
}

/** `streamed-turn` is all its cases, `streamed-turn:pace=closed:sessions=100` those with both parameters. */
function chosenWorkloads(only) {
  if (only === undefined) return WORKLOADS;
  const chosen = only.map((wanted) => {
    const [name, ...words] = wanted.split(":");
    const workload = WORKLOADS.find((known) => known.name === name);
    if (workload === undefined) {
      const known = WORKLOADS.map((each) => each.name).join(", ");
      throw new Error(`There is no workload "${name}"; known are ${known}.`);
    }
    const cases = workload.cases.filter(({ parameters }) =>
      words.every((word) => Object.entries(parameters).some(([key, value]) => word === `${key}=${value}`)),
    );
    if (cases.length === 0) throw new Error(`No case of ${name} has all of: ${words.join(", ")}.`);
    return { name, cases };
  });
  return WORKLOADS.map((workload) => {
    const wanted = new Set(chosen.filter(({ name }) => name === workload.name).flatMap(({ cases }) => cases));
    return { ...workload, cases: workload.cases.filter((one) => wanted.has(one)) };
  }).filter(({ cases }) => cases.length > 0);
}

/** On a terminal one line that changes, elsewhere a line each. */
function showProgress(text) {
  if (process.stderr.isTTY) process.stderr.write(`\r\u001b[2K${text}`);
  else process.stderr.write(`${text}\n`);
}

async function main() {
  let options;
  let folder;
  try {
    options = readArguments();
    folder = benchFolder(options.dir);
  } catch (error) {
    process.stderr.write(`bench: ${error.message}\n`);
    return 2;
  }
  const record = { date: new Date().toISOString(), versions: versions(), workloads: [] };
  try {
    for (const workload of options.workloads) {
      const results = await runRounds(workload, {
        rounds: options.rounds,
        folder: folder.path,
        progress: showProgress,
      });
      const { text, targets } = workload.report(results);
      record.workloads.push({ name: workload.name, results, targets });
      if (process.stderr.isTTY) process.stderr.write("\r\u001b[2K");
      if (!options.json) process.stdout.write(`${text}\n${targetTable(targets)}\n\n`);
    }
  } catch (error) {
    process.stderr.write(`\nbench: ${error.message}\n`);
    return 1;
  } finally {
    folder.remove();
  }
  const json = `${JSON.stringify(record, undefined, 2)}\n`;
  if (options.save !== undefined) writeFileSync(options.save, json);
  if (options.json) process.stdout.write(json);
  else process.stdout.write(`${describe(record)}\n`);
  return 0;
}

function describe({ date, versions: parts }) {
  return `${date}; ${Object.entries(parts)
    .map(([name, version]) => `${name} ${version}`)
    .join(", ")}`;
}

process.exitCode = await main();
