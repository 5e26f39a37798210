/**
 * Making the views of a log anew: a log of a million events as agents make it. And what the views are for: the cost of
 * reading the newest 50 messages, and of listing sessions, beside sessions and logs of very different sizes.
 */
import { execFileSync } from "node:child_process";
import { join } from "node:path";
import { fileURLToPath } from "node:url";
import { openConversationStore, rebuildViews } from "../../dist/index.js";
import { measure } from "../harness/measure.js";
import { spread } from "../harness/rounds.js";
import { atLeast, below, number, table, withSpread } from "../harness/table.js";

const MAKE_LOG = fileURLToPath(new URL("rebuild-log.js", import.meta.url));
const READS = 300;

/** In a process of its own: what making a log takes of memory is not what rebuilding it takes. */
function makeLog(path, parameters) {
  const made = execFileSync(process.execPath, [MAKE_LOG, path, JSON.stringify(parameters)], {
    encoding: "utf8",
    stdio: ["ignore", "pipe", "inherit"],
  });
  return JSON.parse(made);
}

async function runRebuild(path, { events }) {
  const { deltas } = makeLog(path, { events });
  let report;
  const measured = await measure(async (lap) => {
    report = await rebuildViews(path);
    lap();
  });
  // A second one beside the first's views: compared, and with JSON.parse under the clock.
  const parse = JSON.parse;
  let parseMs = 0;
  JSON.parse = (text, reviver) => {
    const start = performance.now();
    const value = parse(text, reviver);
    parseMs += performance.now() - start;
    return value;
  };
  const cpu = process.cpuUsage();
  const again = await rebuildViews(path, { verify: false });
  const { user, system } = process.cpuUsage(cpu);
  JSON.parse = parse;
  const verified = await rebuildViews(path, { dryRun: true });
  if (verified.verification.differingSessions !== 0) throw new Error("wrong result: the views differ");
  return {
    ...measured,
    events: report.events,
    deltas,
    eventsPerSecond: report.events / (report.buildMs / 1000),
    deltasPerSecond: deltas / (report.buildMs / 1000),
    deltasPerCpuSecond: deltas / (measured.cpuMs / 1000),
    parseShare: parseMs / ((user + system) / 1000),
    verifyMs: verified.elapsedMs - verified.buildMs,
    againMs: again.elapsedMs,
  };
}

async function runReads(path, parameters) {
  makeLog(path, parameters);
  await rebuildViews(path);
  // One session in the cache: each read below begins at the views.
  const store = await openConversationStore(path, { readOnly: true, cachedSessions: 1 });
  await store.listMessages("long");
  const page = [];
  const list = [];
  for (let read = 0; read < READS; read++) {
    await store.countMessages("nobody");
    let start = performance.now();
    const messages = await store.listMessages("long", { limit: 50 });
    page.push(performance.now() - start);
    if (messages.length === 0) throw new Error("wrong result: no messages");
    start = performance.now();
    const sessions = await store.listSessions({ limit: 50 });
    list.push(performance.now() - start);
    if (sessions[0]?.id !== "long") throw new Error("wrong result: the newest session is another");
  }
  await store.close();
  const median = (values) => values.toSorted((a, b) => a - b)[values.length >> 1];
  return { pageMs: median(page), listMs: median(list) };
}

function run({ what, ...parameters }, folder) {
  const path = join(folder, "log.db");
  return what === "rebuild" ? runRebuild(path, parameters) : runReads(path, parameters);
}

function report(results) {
  const measured = results.filter(({ rounds }) => rounds.length > 0);
  const rebuilds = measured.filter(({ parameters }) => parameters.what === "rebuild");
  const reads = measured.filter(({ parameters }) => parameters.what === "read");
  const of = (rounds, figure) => withSpread(spread(rounds, figure));
  const rebuildRows = rebuilds.map(({ parameters, rounds }) => [
    number(parameters.events),
    of(rounds, (figures) => figures.eventsPerSecond / 1000),
    of(rounds, (figures) => figures.deltasPerSecond / 1000),
    of(rounds, (figures) => figures.deltasPerCpuSecond / 1000),
    of(rounds, (figures) => figures.parseShare * 100),
    of(rounds, (figures) => figures.verifyMs / 1000),
    of(rounds, (figures) => figures.peakRssBytes / 1e6),
  ]);
  const readRows = reads.map(({ parameters, rounds }) => [
    `${number(parameters.sessionEvents)} events, ${number(parameters.sessions)} sessions`,
    of(rounds, (figures) => figures.pageMs),
    of(rounds, (figures) => figures.listMs),
  ]);
  const rebuildHead = [
    "events",
    "thousand events/s",
    "thousand deltas/s",
    "the same per CPU second",
    "JSON.parse, % of CPU",
    "verifying, s",
    "peak RSS, MB",
  ];
  return {
    text: [
      "### Rebuilding the views",
      "",
      ...(rebuildRows.length > 0 ? [table(rebuildHead, rebuildRows), ""] : []),
      ...(readRows.length > 0
        ? [table(["session, log", "newest 50 messages, ms", "newest 50 sessions, ms"], readRows), ""]
        : []),
    ].join("\n"),
    targets: [...rebuilds.flatMap(rebuildTargets), ...readTargets(reads)],
  };
}

function rebuildTargets({ rounds }) {
  const median = (figure) => spread(rounds, figure).median;
  return [
    atLeast(
      "rebuild: deltas/s",
      median(({ deltasPerSecond }) => deltasPerSecond),
      500_000,
    ),
    below(
      "rebuild: peak RSS, MB",
      median(({ peakRssBytes }) => peakRssBytes / 1e6),
      200,
    ),
  ];
}

function readTargets(reads) {
  const find = (sessionEvents, sessions) =>
    reads.find(
      ({ parameters }) => parameters.sessionEvents === sessionEvents && parameters.sessions === sessions,
    );
  const ratio = (large, small, figure) =>
    large && small && spread(large.rounds, figure).median / spread(small.rounds, figure).median;
  const page = ({ pageMs }) => pageMs;
  const list = ({ listMs }) => listMs;
  // A session of 100 events has fewer than 50 messages: one of 10,000 is what a longer one compares with.
  return [
    below(
      "newest 50 of 1,000,000 events: times 10,000 events",
      ratio(find(1_000_000, 1), find(10_000, 1), page),
      2,
    ),
    below(
      "the same beside 100,000 sessions: times 1 session",
      ratio(find(10_000, 100_000), find(10_000, 1), page),
      2,
    ),
    below(
      "list 50 of 100,000 sessions: times of 1,000",
      ratio(find(10_000, 100_000), find(10_000, 1000), list),
      2,
    ),
  ];
}

const cases = [
  { parameters: { what: "rebuild", events: 1_000_000 } },
  { parameters: { what: "read", sessionEvents: 100, sessions: 1 } },
  { parameters: { what: "read", sessionEvents: 10_000, sessions: 1 } },
  { parameters: { what: "read", sessionEvents: 1_000_000, sessions: 1 } },
  { parameters: { what: "read", sessionEvents: 10_000, sessions: 1000 } },
  { parameters: { what: "read", sessionEvents: 10_000, sessions: 100_000 } },
];

export default { name: "rebuild", rounds: 1, cases, quickCases: [], run, report };
