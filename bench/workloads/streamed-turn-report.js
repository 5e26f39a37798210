/** The tables of the workload `streamed-turn`, and whether the project's targets hold in this run. */
import { spread } from "../harness/rounds.js";
import { atLeast, below, number, table, withSpread } from "../harness/table.js";

const BASELINE = "update-per-delta";

const TITLES = {
  closed: "Closed loop: 2,000 deltas, 16 KB a turn",
  paced: "Paced at 50 deltas/s a session: the middle 300 deltas of such a turn",
};

const figures = {
  wall: ({ wallMs }) => wallMs,
  deltasPerSecond: ({ deltas, wallMs }) => (deltas / wallMs) * 1000,
  behindSeconds: ({ behindMs }) => behindMs / 1000,
  coreShare: ({ cpuMs, wallMs }) => (cpuMs / wallMs) * 100,
  cpuPerDelta: ({ cpuMs, deltas }) => (cpuMs * 1000) / deltas,
  writtenPerTurn: ({ handedBytes, turns }) => handedBytes / 1e6 / turns,
  dirtiedPerTurn: ({ dirtiedBytes, turns }) => dirtiedBytes / 1e6 / turns,
  keptPerTurn: ({ keptBytes, turns }) => keptBytes / 1000 / turns,
  inUsePerTurn: ({ usedBytes, turns }) => usedBytes / 1000 / turns,
  loopDelay: ({ loopDelayMs }) => loopDelayMs,
  peakRss: ({ peakRssBytes }) => peakRssBytes / 1e6,
};

export function report(results) {
  const measured = results.filter(({ rounds }) => rounds.length > 0);
  const text = Object.entries(TITLES).flatMap(([pace, title]) => {
    const rows = rowsOf(measured, pace);
    if (rows.length === 0) return [];
    return [`### ${title}`, "", table(Object.keys(rows[0]), rows.map(Object.values)), ""];
  });
  return { text: text.join("\n"), targets: targets(measured) };
}

function rowsOf(results, pace) {
  return results
    .filter(({ parameters }) => parameters.pace === pace)
    .map(({ parameters, rounds }) => row(results, parameters, rounds));
}

function row(results, parameters, rounds) {
  const of = (figure) => withSpread(spread(rounds, figure));
  const lessThanBaseline = (figure) => {
    const ratio = isMeasuredAgainst(parameters) ? timesLess(results, parameters, figure) : undefined;
    return ratio === undefined ? "–" : `${number(ratio)} ×`;
  };
  const time =
    parameters.pace === "paced"
      ? { "behind at the end, s": of(figures.behindSeconds), "of one core, %": of(figures.coreShare) }
      : { "deltas/s": of(figures.deltasPerSecond), faster: lessThanBaseline(figures.wall) };
  return {
    "candidate, durability": `${parameters.candidate}, ${parameters.durability}`,
    sessions: parameters.sessions.toLocaleString("en"),
    rounds: String(rounds.length),
    ...time,
    "CPU µs/delta": of(figures.cpuPerDelta),
    "less CPU": lessThanBaseline(figures.cpuPerDelta),
    "written MB/turn": of(figures.writtenPerTurn),
    "fewer bytes": lessThanBaseline(figures.writtenPerTurn),
    "dirtied MB/turn": of(figures.dirtiedPerTurn),
    "kept KB/turn": of(figures.keptPerTurn),
    "in use KB/turn": of(figures.inUsePerTurn),
    "worst loop delay, ms": of(figures.loopDelay),
    "peak RSS, MB": of(figures.peakRss),
  };
}

function isMeasuredAgainst({ candidate }) {
  return candidate !== BASELINE && candidate !== "driver-alone";
}

/** How many times less than the baseline under the same load in this run: the ratio of the medians. */
function timesLess(results, { candidate, durability, pace, sessions }, figure) {
  const median = (wanted) => {
    const found = results.find(({ parameters }) =>
      Object.entries({ pace, sessions, ...wanted }).every(([name, value]) => parameters[name] === value),
    );
    return found && spread(found.rounds, figure)?.median;
  };
  const baseline = median({ candidate: BASELINE });
  const own = median({ candidate, durability });
  return baseline === undefined || own === undefined ? undefined : baseline / own;
}

function targets(results) {
  const load = { pace: "closed", sessions: 100, durability: "process" };
  const less = (candidate, figure) => timesLess(results, { ...load, candidate }, figure);
  const most = (figure, sessions) =>
    Math.max(
      ...results
        .filter(({ parameters }) => isMeasuredAgainst(parameters) && parameters.pace === "closed")
        .filter(({ parameters }) => parameters.sessions >= sessions)
        .map(({ rounds }) => spread(rounds, figure)?.median ?? -Infinity),
    );
  return [
    atLeast(
      "turn writer, closed loop, 100 sessions: times less CPU",
      less("turn-writer", figures.cpuPerDelta),
      20,
    ),
    atLeast("the same: times fewer bytes written", less("turn-writer", figures.writtenPerTurn), 30),
    atLeast(
      "awaited updates, closed loop, 100 sessions: times less CPU",
      less("awaited-updates", figures.cpuPerDelta),
      1,
    ),
    atLeast("the same: times fewer bytes written", less("awaited-updates", figures.writtenPerTurn), 3),
    below(
      "KB a turn in the log after packing, the most of all closed-loop rows",
      most(figures.inUsePerTurn, 1),
      60,
    ),
    below(
      "KB a turn in all files after close, the most with 100 sessions or more",
      most(figures.keptPerTurn, 100),
      60,
    ),
  ];
}
