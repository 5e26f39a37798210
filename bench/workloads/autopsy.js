/**
 * `turnlog autopsy` on a big log with one crashed turn: the wall time of the command, from the start of its process
 * to its end, by the views and without them.
 */
import { spawn } from "node:child_process";
import { once } from "node:events";
import { rm } from "node:fs/promises";
import { join } from "node:path";
import { fileURLToPath } from "node:url";
import { text } from "node:stream/consumers";
import { setImmediate as nextTick } from "node:timers/promises";
import { openConversationStore } from "../../dist/index.js";
import { modelDeltas } from "../harness/model-output.js";
import { spread } from "../harness/rounds.js";
import { below, number, table, withSpread } from "../harness/table.js";

const CLI = fileURLToPath(new URL("../../dist/cli/main.js", import.meta.url));
const LIBRARY = new URL("../../dist/index.js", import.meta.url).href;

/** Sessions that stream at the same time while the log is made. */
const AT_ONCE = 100;
/** Of a session's events these are no deltas: user message, stub, the turn's beginning and end. */
const OTHER_EVENTS = 4;
const LOOKS = 5;

async function makeLog(path, { events, sessions }) {
  const store = await openConversationStore(path, {
    durability: "process",
    flushIntervalMs: 0,
    views: false,
  });
  const deltas = Math.ceil(events / sessions) - OTHER_EVENTS;
  let next = 0;
  const agents = Array.from({ length: AT_ONCE }, async () => {
    while (next < sessions) {
      const turn = await store.beginTurn(`session-${next++}`, { user: "Go on.", model: "model-1" });
      for (const delta of modelDeltas(next, deltas, deltas * 8)) {
        await turn.textDelta(delta);
        await nextTick(); // The window of this store: what comes in one tick is one event.
      }
      await turn.finish();
    }
  });
  await Promise.all(agents);
  const head = await store.log.head();
  await store.close();
  return head + 1;
}

/** A process that dies in the middle of a turn. */
async function crash(path) {
  const script = `
    const { openConversationStore } = await import(${JSON.stringify(LIBRARY)});
    const store = await openConversationStore(${JSON.stringify(path)}, { views: false });
    const turn = await store.beginTurn("crashed", { user: "What time is it?" });
    void turn.textDelta("It is half past ");
    await turn.flush();
    process.kill(process.pid, "SIGKILL");`;
  const child = spawn(process.execPath, ["--input-type=module", "-e", script], { stdio: "ignore" });
  await once(child, "exit");
}

async function turnlog(...args) {
  const start = performance.now();
  const child = spawn(process.execPath, [CLI, ...args], { stdio: ["ignore", "pipe", "pipe"] });
  const [stdout, stderr, [code]] = await Promise.all([
    text(child.stdout),
    text(child.stderr),
    once(child, "exit"),
  ]);
  return { code, stdout, stderr, wallMs: performance.now() - start };
}

async function look(path, events) {
  const { code, stdout, stderr, wallMs } = await turnlog("autopsy", "--json", "--store", path);
  const { turns } = JSON.parse(stdout);
  if (code !== 1 || turns.length !== 1 || turns[0].text !== "It is half past ")
    throw new Error(`wrong result: exit ${code}, ${turns.length} turns of ${events} events`);
  return { wallMs, saysThatItReads: stderr.includes("reading the log") };
}

async function looks(path, times, events) {
  const wallMs = [];
  let saysThatItReads = false;
  for (let n = 0; n < times; n++) {
    const told = await look(path, events);
    wallMs.push(told.wallMs);
    saysThatItReads = told.saysThatItReads;
  }
  return { wallMs: wallMs.toSorted((a, b) => a - b)[times >> 1], saysThatItReads };
}

async function run(parameters, folder) {
  const path = join(folder, "log.db");
  const events = await makeLog(path, parameters);
  await crash(path);
  const rebuilt = await turnlog("rebuild", "--quiet", "--store", path);
  if (rebuilt.code !== 0) throw new Error(`the views could not be made: ${rebuilt.stderr}`);
  const viewed = await looks(path, LOOKS, events);
  if (viewed.saysThatItReads) throw new Error("wrong result: the views were not asked");
  for (const suffix of ["", "-wal", "-shm"]) await rm(`${path}.views${suffix}`, { force: true });
  const folded = await looks(path, 1, events);
  return {
    events,
    viewedMs: viewed.wallMs,
    foldedMs: folded.wallMs,
    saysThatItReads: folded.saysThatItReads,
  };
}

function report(results) {
  const measured = results.filter(({ rounds }) => rounds.length > 0);
  const rows = measured.map(({ parameters, rounds }) => [
    `${number(rounds[0].events)} events, ${number(parameters.sessions)} sessions`,
    withSpread(spread(rounds, ({ viewedMs }) => viewedMs)),
    withSpread(spread(rounds, ({ foldedMs }) => foldedMs)),
    rounds.every(({ saysThatItReads }) => saysThatItReads) ? "yes" : "NO",
  ]);
  const head = ["log", "by the views, ms", "without views, ms", "then says that it reads"];
  const big = measured.find(({ parameters }) => parameters.events >= 1_000_000);
  const viewedMs = big && spread(big.rounds, (figures) => figures.viewedMs)?.median;
  return {
    text: [
      "### turnlog autopsy, one crashed turn: from the start of its process to its end",
      "",
      table(head, rows),
      "",
    ].join("\n"),
    targets: [below("autopsy of 1,000,000 events by the views, ms", viewedMs, 1000)],
  };
}

const cases = [
  { parameters: { events: 100_000, sessions: 1_000 } },
  { parameters: { events: 1_000_000, sessions: 10_000 }, rounds: 1 },
];

const quickCases = [{ parameters: { events: 1_000, sessions: 100 } }];

export default { name: "autopsy", rounds: 1, cases, quickCases, run, report };
