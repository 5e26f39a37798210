/** A model's answer of 2,000 deltas that makes 16 KB, streamed into a store by 1, 100 and 1,000 sessions at once. */
import { readdirSync, statSync } from "node:fs";
import { join } from "node:path";
import { DatabaseSync } from "@photostructure/sqlite";
import { measure } from "../harness/measure.js";
import { expectedContent, modelDeltas } from "../harness/model-output.js";
import { pacing } from "../harness/pacing.js";
import { report } from "./streamed-turn-report.js";

const TURN = { deltas: 2000, characters: 16_000 };
/** Paced, a whole turn would take 40 s: its middle 300 deltas stand for it, with what came before in one piece. */
const PACED_DELTAS = 300;
const DELTAS_PER_SECOND = 50;

const CANDIDATES = [
  { candidate: "update-per-delta", durability: "process" },
  { candidate: "awaited-updates", durability: "process" },
  { candidate: "turn-writer", durability: "process" },
  { candidate: "turn-writer", durability: "power" },
  { candidate: "driver-alone", durability: "–" },
];

/** One session alone streams turn after turn, so that there is enough to measure. */
const SHAPES = [
  { sessions: 1, turns: 20 },
  { sessions: 100, turns: 1 },
  { sessions: 1000, turns: 1, rounds: 1 },
];

function cases() {
  const all = [];
  for (const pace of ["closed", "paced"]) {
    for (const { sessions, turns, rounds } of SHAPES) {
      for (const { candidate, durability } of CANDIDATES) {
        const parameters = { candidate, durability, pace, sessions, turns: pace === "paced" ? 1 : turns };
        all.push(rounds === undefined ? { parameters } : { parameters, rounds });
      }
    }
  }
  return all;
}

async function streamTurn(store, session, sessionIndex, deltas, clock) {
  const turn = await store.beginTurn(session, "Go on.");
  await new Promise((resolve, reject) => {
    let index = 0;
    const handOver = () => {
      const taken = turn.delta(deltas[index]);
      index += 1;
      if (taken === undefined) goOn();
      else taken.then(goOn, reject);
    };
    const goOn = () => {
      if (index < deltas.length) clock.schedule(handOver, sessionIndex, index);
      else resolve();
    };
    goOn();
  });
  await turn.finish();
}

/** Compiles what will run: some turns into another file. */
async function warmUp(open, durability, folder) {
  const store = await open(join(folder, "warm-up.db"), { durability });
  const clock = pacing(undefined, 4);
  const deltas = modelDeltas(0, TURN.deltas, TURN.characters);
  const sessions = ["a", "b", "c", "d"];
  await Promise.all(sessions.map((session, index) => streamTurn(store, session, index, deltas, clock)));
  await store.close();
}

function middle(deltas) {
  const start = (deltas.length - PACED_DELTAS) / 2;
  return [deltas.slice(0, start).join(""), ...deltas.slice(start, start + PACED_DELTAS)];
}

async function run({ candidate, durability, pace, sessions, turns }, folder) {
  const { open, answersIn } = await import(`../candidates/${candidate}.js`);
  await warmUp(open, durability, folder);

  const path = join(folder, "store.db");
  const isPaced = pace === "paced";
  const inputs = Array.from({ length: sessions }, (_, index) => ({
    session: `session-${index}`,
    turns: Array.from({ length: turns }, (_, turn) => {
      const deltas = modelDeltas(1 + index * turns + turn, TURN.deltas, TURN.characters);
      return isPaced ? middle(deltas) : deltas;
    }),
  }));
  const store = await open(path, { durability });
  const clock = pacing(isPaced ? DELTAS_PER_SECOND : undefined, sessions);

  const figures = await measure(async (lap) => {
    clock.start();
    await Promise.all(
      inputs.map(async (input, index) => {
        for (const deltas of input.turns) await streamTurn(store, input.session, index, deltas, clock);
      }),
    );
    lap();
    await store.close();
  });

  const turnDeltas = inputs[0].turns[0].length;
  return {
    ...figures,
    deltas: sessions * turns * turnDeltas,
    turns: sessions * turns,
    behindMs: isPaced ? Math.max(0, figures.wallMs - clock.scheduledMs(turnDeltas)) : undefined,
    ...(answersIn && (await check(answersIn, path, inputs))),
    ...(answersIn && kept(folder, path)),
  };
}

/** A store that is fast and wrong is not fast: every answer must read back from the file as it was streamed. */
async function check(answersIn, path, inputs) {
  const reader = await answersIn(path);
  for (const { session, turns } of inputs) {
    const answers = await reader.answers(session);
    const expected = turns.map(expectedContent);
    if (answers.length !== expected.length || answers.some((answer, index) => answer !== expected[index]))
      throw new Error(`wrong result: the answers of ${session} did not read back as they were streamed`);
  }
  await reader.close();
  return { checked: inputs.length };
}

/** Bytes of the closed store's files, and of those the pages in use (the rest is free for the next turns). */
function kept(folder, path) {
  const files = readdirSync(folder).filter((name) => name.startsWith("store.db"));
  const database = new DatabaseSync(path, { readOnly: true });
  const pragma = (name) => Number(Object.values(database.prepare(`PRAGMA ${name}`).get())[0]);
  const usedBytes = (pragma("page_count") - pragma("freelist_count")) * pragma("page_size");
  database.close();
  const keptBytes = files.reduce((sum, name) => sum + statSync(join(folder, name)).size, 0);
  return { keptBytes, usedBytes };
}

export default { name: "streamed-turn", rounds: 3, cases: cases(), run, report };
