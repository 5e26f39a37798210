/**
 * 1, 10, 100 and 1,000 sessions that stream at the same time in one process: in the closed loop each hands over its
 * next delta as soon as the store has taken the one before; paced, 50 times a second.
 */
import { measure } from "../harness/measure.js";
import { middleOfTurn, modelTurn, streamTurn, timed } from "../harness/model-turn.js";
import { pacing } from "../harness/pacing.js";
import { checkAnswers, storeFolder, warmUp } from "../harness/streaming.js";
import { report } from "./many-turns-report.js";

const TURN = { deltas: 2000, characters: 16_000, toolCalls: 4 };
/** Paced, a whole turn takes 40 s: its middle 200 deltas stand for it, with what came before in one piece. */
const PACED_DELTAS = 200;
/**
 * But for the sessions of the target: a short turn has ten times as many structural events for its deltas. The others
 * would fall behind by minutes.
 */
const WHOLE_PACED = { sessions: 1000, candidates: ["turn-writer", "driver-alone"] };
/** So they do where a closed loop would take minutes. */
const SHORT_DELTAS = 100;
const DELTAS_PER_SECOND = 50;

/** As many different answers as keep a store from gaining by repetition; one for each session would fill the heap. */
const DIFFERENT_ANSWERS = 16;

const CANDIDATES = [
  { candidate: "update-per-delta", durability: "process", mostWhole: 100 },
  { candidate: "awaited-updates", durability: "process", mostWhole: 100 },
  { candidate: "turn-writer", durability: "power", mostWhole: Infinity },
  { candidate: "driver-alone", durability: "–", mostWhole: Infinity },
];

/** @param mostWhole sessions up to which whole turns are streamed in the closed loop */
function parametersOf({ candidate, durability, mostWhole }, pace, sessions) {
  const isWhole = sessions === WHOLE_PACED.sessions && WHOLE_PACED.candidates.includes(candidate);
  const paced = isWhole ? TURN.deltas : PACED_DELTAS;
  const closed = sessions <= mostWhole ? TURN.deltas : SHORT_DELTAS;
  return { candidate, durability, pace, sessions, deltas: pace === "paced" ? paced : closed };
}

function cases(sessionCounts) {
  return ["closed", "paced"].flatMap((pace) =>
    sessionCounts.flatMap((sessions) =>
      CANDIDATES.map((candidate) => ({ parameters: parametersOf(candidate, pace, sessions) })),
    ),
  );
}

const quickCases = CANDIDATES.flatMap(({ candidate, durability }) =>
  ["closed", "paced"].map((pace) => ({
    parameters: { candidate, durability, pace, sessions: 3, deltas: 10 },
  })),
);

function answer(seed, deltas) {
  return deltas === TURN.deltas ? modelTurn(seed, TURN) : middleOfTurn(seed, TURN, deltas);
}

async function run({ candidate, durability, pace, sessions, deltas }, folder) {
  const store = await import(`../candidates/${candidate}.js`);
  await warmUp(store, durability, folder, { turns: 4, size: { ...TURN, deltas, characters: deltas * 8 } });
  const answers = Array.from({ length: Math.min(sessions, DIFFERENT_ANSWERS) }, (_, index) =>
    answer(index * 100, deltas),
  );
  const inputs = Array.from({ length: sessions }, (_, index) => ({
    session: `session-${index}`,
    model: answers[index % answers.length],
  }));
  const path = storeFolder(folder);
  const opened = await store.open(path, { durability });
  const isPaced = pace === "paced";
  const clock = pacing(isPaced ? DELTAS_PER_SECOND : undefined, sessions);
  const latencies = [];
  const onStructural = (ms) => void latencies.push(ms);

  const figures = await measure(async (lap) => {
    clock.start();
    await Promise.all(
      inputs.map(async ({ session, model }, index) => {
        const turn = await timed(() => opened.beginTurn(session, model.user), onStructural);
        await streamTurn(turn, model, index, clock, onStructural);
        await timed(() => turn.finish(), onStructural);
      }),
    );
    lap();
    await opened.close();
  });
  const handedOver = inputs[0].model.deltas.length;
  return {
    ...figures,
    turns: sessions,
    deltas: sessions * handedOver,
    behindMs: isPaced ? Math.max(0, figures.wallMs - clock.scheduledMs(handedOver)) : undefined,
    latencyMs: percentiles(latencies),
    ...(await checkAnswers(store, path, inputs)),
  };
}

function percentiles(values) {
  const sorted = Float64Array.from(values).toSorted();
  const at = (share) => sorted[Math.min(sorted.length - 1, Math.floor(sorted.length * share))];
  return { p50: at(0.5), p99: at(0.99), max: sorted.at(-1) };
}

export default { name: "many-turns", rounds: 2, cases: cases([1, 10, 100, 1000]), quickCases, run, report };
