/**
 * One streamed turn, alone: a model's answer with four tool calls, as fast as the store takes it. One turn after the
 * other, each in a session of its own, so that there is enough to measure.
 */
import { isInstalled } from "../harness/peers.js";
import { measure } from "../harness/measure.js";
import { modelTurn, streamTurn } from "../harness/model-turn.js";
import { pacing } from "../harness/pacing.js";
import { checkAnswers, storeFolder, warmUp } from "../harness/streaming.js";
import { report } from "./one-turn-report.js";

const SIZES = {
  "16 KB": { deltas: 2000, characters: 16_000, toolCalls: 4 },
  "64 KB": { deltas: 8000, characters: 64_000, toolCalls: 4 },
  tiny: { deltas: 100, characters: 800, toolCalls: 4 },
};
/** Deltas in a read from the socket: a model that is as fast as this brings many more. */
const BURST = 16;
const WARM_UP = { deltas: 500, characters: 4000, toolCalls: 4 };

/**
 * `turns` of 16 KB and of 64 KB: as many as take long enough to be measured, and not minutes. No figure: not measured
 * at that size.
 */
const CANDIDATES = [
  { candidate: "update-per-delta", durabilities: ["process", "power"], turns: [4, 1] },
  { candidate: "turn-writer", durabilities: ["process", "power"], turns: [30, 10], warmUpTurns: 8 },
  { candidate: "awaited-updates", durabilities: ["process", "power"], turns: [8, 2], warmUpTurns: 8 },
  { candidate: "jsonl-append", durabilities: ["process", "power"], turns: [30, 10], warmUpTurns: 8 },
  { candidate: "full-content-events", durabilities: ["process", "power"], turns: [4, 1] },
  { candidate: "node-event-storage", durabilities: ["process", "power"], turns: [4, 1] },
  { candidate: "langgraph-per-step", durabilities: ["process", "power"], turns: [10, 5] },
  { candidate: "langgraph-per-delta", durabilities: ["process"], turns: [1], rounds: 1 },
  { candidate: "emmett", durabilities: ["power"], turns: [1, 1], rounds: 1 },
  { candidate: "durable-streams", durabilities: ["power"], turns: [1, 1], rounds: 1 },
  { candidate: "driver-alone", durabilities: ["–"], turns: [30, 10], warmUpTurns: 8 },
];

function cases(sizes) {
  return sizes.flatMap((size, index) =>
    CANDIDATES.filter(({ turns }) => turns[index] !== undefined).flatMap(
      ({ candidate, durabilities, turns, rounds }) =>
        durabilities.map((durability) => ({
          parameters: { candidate, durability, size, turns: size === "tiny" ? 1 : turns[index] },
          ...(rounds === undefined ? {} : { rounds }),
        })),
    ),
  );
}

async function run({ candidate, durability, size, turns }, folder) {
  const store = await import(`../candidates/${candidate}.js`);
  const { warmUpTurns = 1 } = CANDIDATES.find((known) => known.candidate === candidate);
  await warmUp(store, durability, folder, {
    turns: warmUpTurns,
    size: size === "tiny" ? SIZES.tiny : WARM_UP,
  });
  const inputs = Array.from({ length: turns }, (_, index) => ({
    session: `session-${index}`,
    model: modelTurn(100 * index, SIZES[size]),
  }));
  const path = storeFolder(folder);
  const opened = await store.open(path, { durability });
  const clock = pacing(undefined, 1, BURST);
  const figures = await measure(async (lap) => {
    for (const { session, model } of inputs) {
      const turn = await opened.beginTurn(session, model.user);
      await streamTurn(turn, model, 0, clock);
      await turn.finish();
    }
    lap();
    await opened.close();
  });
  return {
    ...figures,
    turns,
    deltas: turns * SIZES[size].deltas,
    lostAtKill: store.lostAtKill,
    ...(await checkAnswers(store, path, inputs)),
  };
}

export default {
  name: "one-turn",
  rounds: 5,
  cases: cases(["16 KB", "64 KB"]),
  quickCases: cases(["tiny"]),
  isAvailable: ({ candidate }) => isInstalled(candidate),
  run,
  report,
};
