/** The table of the workload `reads`, and whether the project's targets hold in this run. */
import { medianOf } from "../harness/figures.js";
import { spread } from "../harness/rounds.js";
import { below, number, table, withSpread } from "../harness/table.js";

const READS = { page: "newest 50 messages", last: "last assistant message", list: "newest 50 sessions" };

export function report(results) {
  const measured = results.filter(({ rounds }) => rounds.length > 0);
  if (measured.length === 0) return { text: "", targets: [] };
  const rows = measured.flatMap(({ parameters, rounds }) =>
    Object.entries(READS).map(([what, name]) => {
      const of = (which) => spread(rounds, (figures) => figures[what][which]);
      return {
        read: name,
        "events of the session": parameters.sessionEvents.toLocaleString("en"),
        sessions: parameters.sessions.toLocaleString("en"),
        "plain table, ms": withSpread(of("tableMs")),
        "turnlog, ms": withSpread(of("coldMs")),
        "times the table": `${number(of("coldMs").median / of("tableMs").median)} ×`,
        "turnlog, session in memory, ms": withSpread(of("warmMs")),
      };
    }),
  );
  return {
    text: ["### Reads", "", table(Object.keys(rows[0]), rows.map(Object.values)), ""].join("\n"),
    targets: targets(measured),
  };
}

function targets(results) {
  const ms = (what, wanted, which = "coldMs") => medianOf(results, wanted, (figures) => figures[what][which]);
  const million = { sessionEvents: 1_000_000, sessions: 1 };
  const small = { sessionEvents: 10_000, sessions: 1 };
  const thousand = { sessionEvents: 10_000, sessions: 1000 };
  const crowd = { sessionEvents: 10_000, sessions: 100_000 };
  return [
    below(
      "newest 50 of 1,000,000 events: times the plain table",
      ms("page", million) / ms("page", million, "tableMs"),
      1.5,
    ),
    below("the same: times that of 10,000 events", ms("page", million) / ms("page", small), 2),
    below("newest 50 beside 100,000 sessions: times beside none", ms("page", crowd) / ms("page", small), 2),
    below("newest 50 of 100,000 sessions: times of 1,000", ms("list", crowd) / ms("list", thousand), 2),
  ];
}
