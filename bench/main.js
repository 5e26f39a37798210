/**
 * Measures turnlog beside what a user would pick instead, in one run on this machine:
 *
 *   npm run bench -- [--only NAME[:PARAMETER=VALUE…]]… [--rounds N] [--quick] [--json] [--save FILE]
 *     [--update docs/performance.md] [--dir FOLDER]
 *
 * Absolute times are this machine's and this minute's; the ratios within one run are what counts. Exits 1 where a
 * result was wrong, 2 for wrong usage. docs/performance.md says how each figure is taken.
 */
import { writeFileSync } from "node:fs";
import { parseArgs } from "node:util";
import { putIntoPage } from "./harness/page.js";
import { runRounds } from "./harness/rounds.js";
import { INSTALL_PEERS } from "./harness/peers.js";
import { benchFolder, versions } from "./harness/surroundings.js";
import { targetTable } from "./harness/table.js";
import autopsy from "./workloads/autopsy.js";
import eventstoredb from "./workloads/eventstoredb.js";
import findSplice from "./workloads/find-splice.js";
import reads from "./workloads/reads.js";
import rebuild from "./workloads/rebuild.js";
import manyTurns from "./workloads/many-turns.js";
import oneTurn from "./workloads/one-turn.js";
import startUp from "./workloads/start-up.js";

const WORKLOADS = [oneTurn, manyTurns, reads, rebuild, eventstoredb, startUp, autopsy, findSplice];

function readArguments() {
  const { values } = parseArgs({
    options: {
      only: { type: "string", multiple: true },
      rounds: { type: "string" },
      quick: { type: "boolean", default: false },
      json: { type: "boolean", default: false },
      save: { type: "string" },
      update: { type: "string" },
      dir: { type: "string" },
    },
  });
  const rounds = values.rounds === undefined ? undefined : Number(values.rounds);
  if (rounds !== undefined && !(Number.isInteger(rounds) && rounds > 0))
    throw new Error(`--rounds takes a whole number above 0, not ${values.rounds}.`);
  const all = values.quick ? WORKLOADS.map(quick) : WORKLOADS;
  return {
    ...values,
    rounds: rounds ?? (values.quick ? 1 : undefined),
    workloads: chosenWorkloads(all, values.only),
  };
}

/** The same code on inputs that are too small to measure anything: does it run, and are the results right? */
function quick(workload) {
  return { ...workload, cases: workload.quickCases };
}

/** `one-turn` is all its cases, `one-turn:size=16 KB:durability=power` those with both parameters. */
function chosenWorkloads(all, only) {
  // Without a server there is nothing to measure on one.
  if (only === undefined) return all.filter(({ cases }) => cases.length > 0);
  const chosen = only.map((wanted) => {
    const [name, ...words] = wanted.split(":");
    const workload = all.find((known) => known.name === name);
    if (workload === undefined) {
      const known = all.map((each) => each.name).join(", ");
      throw new Error(`There is no workload "${name}"; known are ${known}.`);
    }
    if (workload.cases.length === 0) throw new Error(workload.why ?? `${name} has nothing to measure here.`);
    const cases = workload.cases.filter(({ parameters }) =>
      words.every((word) => Object.entries(parameters).some(([key, value]) => word === `${key}=${value}`)),
    );
    if (cases.length === 0) throw new Error(`No case of ${name} has all of: ${words.join(", ")}.`);
    return { name, cases };
  });
  return all
    .map((workload) => {
      const wanted = new Set(
        chosen.filter(({ name }) => name === workload.name).flatMap(({ cases }) => cases),
      );
      return { ...workload, cases: workload.cases.filter((one) => wanted.has(one)) };
    })
    .filter(({ cases }) => cases.length > 0);
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
  const notInstalled = missingCandidates(options.workloads);
  if (notInstalled.length > 0) {
    process.stderr.write(
      `bench: not installed, and left out: ${notInstalled.join(", ")}. To install: ${INSTALL_PEERS}\n`,
    );
  }
  const record = { date: new Date().toISOString(), versions: versions(), notInstalled, workloads: [] };
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
      const tables = `${text}\n${withBlankLine(targetTable(targets))}`;
      if (!options.json) process.stdout.write(tables);
      if (options.update !== undefined && results.length > 0)
        putIntoPage(options.update, workload.name, `${tables}\n${describe(record)}`);
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

const withBlankLine = (text) => (text === "" ? "" : `${text}\n\n`);

/** Names of the candidates whose packages are not there. */
function missingCandidates(workloads) {
  const names = workloads.flatMap(({ cases, isAvailable = () => true }) =>
    cases.filter(({ parameters }) => !isAvailable(parameters)).map(({ parameters }) => parameters.candidate),
  );
  return [...new Set(names)];
}

function describe({ date, versions: parts }) {
  return `${date}; ${Object.entries(parts)
    .map(([name, version]) => `${name} ${version}`)
    .join(", ")}`;
}

process.exitCode = await main();
