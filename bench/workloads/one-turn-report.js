/** The tables of the workload `one-turn`, and whether the project's targets hold in this run. */
import { figures, medianOf, ratio } from "../harness/figures.js";
import { spread } from "../harness/rounds.js";
import { atLeast, below, number, table, withSpread } from "../harness/table.js";

const BASELINE = "update-per-delta";
const SIZES = ["16 KB", "64 KB", "tiny"];

export function report(results) {
  const measured = results.filter(({ rounds }) => rounds.length > 0);
  const text = SIZES.flatMap((size) => {
    const rows = measured
      .filter(({ parameters }) => parameters.size === size)
      .map((result) => row(measured, result));
    if (rows.length === 0) return [];
    const [{ parameters, rounds }] = measured.filter((result) => result.parameters.size === size);
    const deltas = number(rounds[0].deltas / parameters.turns);
    const title = `### One streamed turn: ${deltas} deltas, ${size}, four tool calls; closed loop`;
    return [title, "", table(Object.keys(rows[0]), rows.map(Object.values)), ""];
  });
  return { text: text.join("\n"), targets: targets(measured) };
}

function row(results, { parameters, rounds }) {
  const { candidate, durability, size } = parameters;
  const of = (figure) => withSpread(spread(rounds, figure));
  // The baseline has no weaker sibling: what is safe from a loss of power is held against it as it is then.
  const baseline = { candidate: BASELINE, durability, size };
  const times = (figure) => {
    if (candidate === BASELINE || candidate === "driver-alone") return "–";
    const value = ratio(results, { of: baseline, to: { candidate, durability, size } }, figure);
    return value === undefined ? "–" : `${number(value)} ×`;
  };
  return {
    "candidate, durability": `${candidate}, ${durability}`,
    "lost at kill -9": rounds[0].lostAtKill,
    rounds: String(rounds.length),
    "ms/turn": of(figures.msPerTurn),
    faster: times(figures.msPerTurn),
    "CPU µs/delta": of(figures.cpuPerDelta),
    "less CPU": times(figures.cpuPerDelta),
    "written KB/turn": of(figures.writtenPerTurn),
    "fewer bytes": times(figures.writtenPerTurn),
    "kept KB/turn": of(figures.keptPerTurn),
    "worst loop delay, ms": of(figures.loopDelay),
    "peak RSS, MB": of(figures.peakRss),
  };
}

function targets(results) {
  const size = "16 KB";
  const less = (candidate, durability, figure, at = size) =>
    ratio(
      results,
      { of: { candidate: BASELINE, durability, size: at }, to: { candidate, durability, size: at } },
      figure,
    );
  const { msPerTurn, writtenPerTurn } = figures;
  const growth =
    less("turn-writer", "process", msPerTurn, "64 KB") / less("turn-writer", "process", msPerTurn);
  return [
    atLeast(
      "turn writer, 16 KB, process: times faster than the original design",
      less("turn-writer", "process", msPerTurn),
      20,
      40,
    ),
    atLeast("the same: times fewer bytes written", less("turn-writer", "process", writtenPerTurn), 30, 50),
    atLeast("the same at power: times faster", less("turn-writer", "power", msPerTurn), 40),
    atLeast("at 64 KB the ratio grows: times that at 16 KB", growth, 1),
    below(
      "turn writer, 16 KB, process: times the time of a bare JSONL append",
      overJsonl(results, "process"),
      3,
      1.5,
    ),
    below("the same at power", overJsonl(results, "power"), 3, 1.5),
    ...["process", "power"].map((durability) =>
      below(
        `turn writer, 16 KB, ${durability}: times the time of the fastest peer`,
        overFastestPeer(results, durability),
        1,
      ),
    ),
    atLeast(
      "awaited updates, 16 KB: times faster than the original design",
      less("awaited-updates", "process", msPerTurn),
      1.2,
      2,
    ),
    atLeast("the same: times fewer bytes written", less("awaited-updates", "process", writtenPerTurn), 3),
  ];
}

function overJsonl(results, durability) {
  const [of, to] = ["turn-writer", "jsonl-append"].map((candidate) => ({
    candidate,
    durability,
    size: "16 KB",
  }));
  return ratio(results, { of, to }, figures.msPerTurn);
}

/** Peers that keep as much at a kill, or more; the bare append, which is no store, has a target of its own. */
const PEERS = [
  "full-content-events",
  "node-event-storage",
  "langgraph-per-delta",
  "emmett",
  "durable-streams",
];

function overFastestPeer(results, durability) {
  const time = (candidate) => medianOf(results, { candidate, durability, size: "16 KB" }, figures.msPerTurn);
  const peers = PEERS.map(time).filter((ms) => ms !== undefined);
  return peers.length === 0 ? undefined : time("turn-writer") / Math.min(...peers);
}
