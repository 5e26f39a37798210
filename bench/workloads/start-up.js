/**
 * What turnlog costs before it does anything: a command on a small store from the start of its process to its end,
 * the import of the library, and what an installation puts on the disk. Beside it, Node.js alone and the peers.
 */
import { spawnSync } from "node:child_process";
import { join } from "node:path";
import { fileURLToPath } from "node:url";
import { openConversationStore } from "../../dist/index.js";
import { ownInstallation, peerInstallation } from "../harness/installation.js";
import { modelTurn } from "../harness/model-turn.js";
import { isInstalled } from "../harness/peers.js";
import { spread } from "../harness/rounds.js";
import { number, table, withSpread } from "../harness/table.js";

const CLI = fileURLToPath(new URL("../../dist/cli/main.js", import.meta.url));
const LIBRARY = new URL("../../dist/index.js", import.meta.url).href;
const MESSAGE = "How late is it?";

/** By candidate, what a program that uses it imports. */
const IMPORTS = {
  turnlog: LIBRARY,
  emmett: "@event-driven-io/emmett-sqlite",
  langgraph: "@langchain/langgraph @langchain/langgraph-checkpoint-sqlite",
  "node-event-storage": "event-storage",
  "durable-streams": "@durable-streams/server",
};

/** By candidate, what a user of it installs. */
const PACKAGES = {
  emmett: ["@event-driven-io/emmett", "@event-driven-io/emmett-sqlite", "sqlite3"],
  langgraph: ["@langchain/langgraph", "@langchain/langgraph-checkpoint-sqlite", "@langchain/core"],
  "node-event-storage": ["event-storage"],
  "durable-streams": ["@durable-streams/server"],
};

/** From the start of a process to its end, ms. */
function timeOf(args) {
  const start = performance.now();
  const { status, stdout, stderr } = spawnSync(process.execPath, args, { encoding: "utf8", cwd: BENCH });
  const wallMs = performance.now() - start;
  if (status !== 0) throw new Error(`node ${args.join(" ")} ended with ${status}: ${stderr}`);
  return { wallMs, stdout };
}

const BENCH = fileURLToPath(new URL("..", import.meta.url));

async function makeSmallStore(path) {
  const store = await openConversationStore(path);
  for (let turns = 0; turns < 3; turns++) {
    const model = modelTurn(turns, { deltas: 100, characters: 800, toolCalls: 1 });
    const turn = await store.beginTurn("small", { user: turns === 2 ? MESSAGE : model.user });
    for (const delta of model.deltas) await turn.textDelta(delta);
    await turn.finish();
  }
  await store.close();
}

/** Each in a process of its own, one after the other. */
async function run({ candidate, what }, folder) {
  if (what === "node alone") return { wallMs: timeOf(["-e", "0"]).wallMs };
  if (what === "turnlog show") {
    const path = join(folder, "small.db");
    await makeSmallStore(path);
    const { wallMs, stdout } = timeOf([CLI, "show", "small", "--store", path]);
    if (!stdout.includes(MESSAGE)) throw new Error("wrong result: turnlog show did not show the message");
    return { wallMs };
  }
  if (what === "turnlog --version") return { wallMs: timeOf([CLI, "--version"]).wallMs };
  if (what === "import") {
    const script = IMPORTS[candidate]
      .split(" ")
      .map((name) => `await import(${JSON.stringify(name)});`)
      .join("");
    return { wallMs: timeOf(["--input-type=module", "-e", script]).wallMs };
  }
  return candidate === "turnlog" ? ownInstallation() : peerInstallation(PACKAGES[candidate]);
}

function report(results) {
  const measured = results.filter(({ rounds }) => rounds.length > 0);
  const nameOf = ({ candidate, what }) => (what === "import" ? `${what} of ${candidate}` : what);
  const times = measured.filter(({ parameters }) => parameters.what !== "installation");
  const timeRows = times.map(({ parameters, rounds }) => [
    nameOf(parameters),
    String(rounds.length),
    withSpread(spread(rounds, ({ wallMs }) => wallMs)),
  ]);
  const sizeRows = measured
    .filter(({ parameters }) => parameters.what === "installation")
    .map(({ parameters, rounds: [{ ownBytes, bytes, packages }] }) => [
      parameters.candidate,
      number(ownBytes / 1e6),
      number(bytes / 1e6),
      String(packages),
    ]);
  const sections = [];
  if (timeRows.length > 0)
    sections.push(
      "### Start-up: from the start of a process to its end",
      "",
      table(["what", "rounds", "ms"], timeRows),
      "",
    );
  if (sizeRows.length > 0)
    sections.push(
      "### What an installation puts on the disk",
      "",
      table(
        ["who", "own packages, MB", "with all dependencies, MB", "packages, own ones included"],
        sizeRows,
      ),
      "",
    );
  return { text: sections.join("\n"), targets: [] };
}

const peers = Object.keys(PACKAGES);
const cases = [
  ...["node alone", "turnlog --version", "turnlog show"].map((what) => ({
    parameters: { candidate: "turnlog", what },
  })),
  ...["turnlog", ...peers].map((candidate) => ({ parameters: { candidate, what: "import" } })),
  ...["turnlog", ...peers].map((candidate) => ({
    parameters: { candidate, what: "installation" },
    rounds: 1,
  })),
];

export default {
  name: "start-up",
  rounds: 7,
  cases,
  quickCases: cases,
  isAvailable: ({ candidate }) => isInstalled(candidate),
  run,
  report,
};
