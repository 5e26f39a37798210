/** The tables of the workload `many-turns`, and whether the project's targets hold in this run. */
import { figures, medianOf, ratio } from "../harness/figures.js";
import { spread } from "../harness/rounds.js";
import { atLeast, below, number, table, withSpread } from "../harness/table.js";

const BASELINE = "update-per-delta";
const MANY = 1000;

const TITLES = {
  closed: "Many sessions at once: closed loop",
  paced: "Many sessions at once: paced at 50 deltas/s a session",
};

const behindSeconds = ({ behindMs }) => behindMs / 1000;
const bytesPerDelta = ({ handedBytes, deltas }) => handedBytes / deltas;

export function report(results) {
  const measured = results.filter(({ rounds }) => rounds.length > 0);
  const text = Object.entries(TITLES).flatMap(([pace, title]) => {
    const rows = measured
      .filter(({ parameters }) => parameters.pace === pace)
      .map((result) => row(measured, result));
    if (rows.length === 0) return [];
    return [`### ${title}`, "", table(Object.keys(rows[0]), rows.map(Object.values)), ""];
  });
  return { text: text.join("\n"), targets: targets(measured) };
}

function row(results, { parameters, rounds }) {
  const { candidate, durability, pace, sessions, deltas } = parameters;
  const of = (figure) => withSpread(spread(rounds, figure));
  const times = (figure) => {
    if (candidate === BASELINE || candidate === "driver-alone") return "–";
    const value = ratio(
      results,
      { of: { candidate: BASELINE, pace, sessions }, to: { candidate, pace, sessions } },
      figure,
    );
    return value === undefined ? "–" : `${number(value)} ×`;
  };
  const latency = (which) => (candidate === "driver-alone" ? "–" : of(({ latencyMs }) => latencyMs[which]));
  const time =
    pace === "paced"
      ? { "behind at the end, s": of(behindSeconds), "of one core, %": of(figures.coreShare) }
      : { "deltas/s": of(figures.deltasPerSecond) };
  return {
    "candidate, durability": `${candidate}, ${durability}`,
    sessions: sessions.toLocaleString("en"),
    "deltas a turn": deltas.toLocaleString("en"),
    rounds: String(rounds.length),
    ...time,
    "CPU µs/delta": of(figures.cpuPerDelta),
    "less CPU": times(figures.cpuPerDelta),
    "written bytes/delta": of(bytesPerDelta),
    "fewer bytes": times(bytesPerDelta),
    "structural p50, ms": latency("p50"),
    "p99, ms": latency("p99"),
    "max, ms": latency("max"),
    "worst loop delay, ms": of(figures.loopDelay),
    "peak RSS, MB": of(figures.peakRss),
  };
}

function targets(results) {
  const writer = (pace) => ({ candidate: "turn-writer", pace, sessions: MANY });
  const worst = (pace) => medianOf(results, writer(pace), figures.loopDelay);
  return [
    below(
      "turn writer, paced, 1,000 sessions: % of one core",
      medianOf(results, writer("paced"), figures.coreShare),
      15,
    ),
    atLeast(
      "turn writer, closed loop, 1,000 sessions: deltas/s",
      medianOf(results, writer("closed"), figures.deltasPerSecond),
      250_000,
      500_000,
    ),
    below("the same: worst event-loop delay, ms", worst("closed"), 25),
    below("paced, 1,000 sessions: worst event-loop delay, ms", worst("paced"), 25),
  ];
}
