/** The table of the workload `rebuild`, and whether the project's targets hold in this run. */
import { medianOf } from "../harness/figures.js";
import { spread } from "../harness/rounds.js";
import { atLeast, below, number, table, withSpread } from "../harness/table.js";

const REBUILD = "turnlog rebuild";

const perSecond = (count) => (figures) => (figures[count] / figures.wallMs) * 1000;

export function report(results) {
  const measured = results.filter(({ rounds }) => rounds.length > 0);
  if (measured.length === 0) return { text: "", targets: [] };
  const [{ events, deltas, jsonBytes }] = measured[0].rounds;
  const speed = perSecond("events");
  const rebuilt = medianOf(measured, { candidate: REBUILD }, speed);
  const rows = measured.map(({ parameters, rounds }) => {
    const of = (figure) => withSpread(spread(rounds, figure));
    const { median } = spread(rounds, speed);
    return {
      "who, what": parameters.candidate,
      events: rounds[0].events.toLocaleString("en"),
      rounds: String(rounds.length),
      "thousand events/s": of((each) => perSecond("events")(each) / 1000),
      "thousand deltas/s": of((each) => perSecond("deltas")(each) / 1000),
      "MB/s": of((each) => perSecond("jsonBytes")(each) / 1e6),
      "CPU, s": of(({ cpuMs }) => cpuMs / 1000),
      "turnlog's rebuild is": rebuilt === undefined ? "–" : `${number(rebuilt / median)} × as fast`,
      "peak RSS, MB": of(({ peakRssBytes }) => peakRssBytes / 1e6),
    };
  });
  const title = `### Replay and rebuild: ${events.toLocaleString("en")} events with ${deltas.toLocaleString("en")} deltas, ${number(jsonBytes / 1e6)} MB as JSON lines`;
  return {
    text: [title, "", table(Object.keys(rows[0]), rows.map(Object.values)), ""].join("\n"),
    targets: targets(measured),
  };
}

function targets(results) {
  const wallMs = (candidate) => medianOf(results, { candidate }, (figures) => figures.wallMs);
  const shareOf = (limit) => (wallMs(limit) / wallMs(REBUILD)) * 100;
  return [
    atLeast(
      "rebuild: deltas/s",
      medianOf(results, { candidate: REBUILD }, perSecond("deltas")),
      500_000,
      1_000_000,
    ),
    atLeast(
      "rebuild: % of the speed of JSON.parse of the same events as JSON lines",
      shareOf("limit, JSON.parse of the JSON lines"),
      50,
    ),
    atLeast(
      "the same, of JSON.parse of the stored rows",
      shareOf("limit, JSON.parse of the stored rows"),
      50,
    ),
    below(
      "rebuild: peak RSS, MB",
      medianOf(results, { candidate: REBUILD }, ({ peakRssBytes }) => peakRssBytes / 1e6),
      200,
    ),
  ];
}
