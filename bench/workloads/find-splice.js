/**
 * Finding the splice between two contents that differ by a delta before the closing brackets, beside other ways
 * of comparing the same strings. It should cost what comparing memory costs.
 */
import { findSplice } from "../../build/events/text-splice.js";
import { GrowingContent, modelDeltas } from "../harness/model-output.js";
import { spread } from "../harness/rounds.js";
import { atLeast, below, table, withSpread } from "../harness/table.js";

const KILOBYTES = [1, 4, 16, 64, 256, 1024];
const TAIL = '"}]';
const MEASURE_MS = 60;

/** Each answers how far the strings agree, in its own way; `n` is where they differ. */
const WAYS = {
  findSplice: (previous, next) => findSplice(previous, next)[0],
  "slice(0, n) ===": (previous, next, n) => (next.slice(0, n) === previous.slice(0, n) ? n : -1),
  startsWith: (previous, next, n) => (next.startsWith(previous.slice(0, n)) ? n : -1),
  "character loop": (previous, next) => {
    let index = 0;
    while (index < previous.length && previous.charCodeAt(index) === next.charCodeAt(index)) index++;
    return index;
  },
};

/** Strings as a store meets them: flat, and not the same object. @param wide with a character beyond Latin-1 */
function contents(characters, wide) {
  const growing = new GrowingContent();
  let previous = growing.text((wide ? "→" : "") + modelDeltas(1, 1, characters)[0]);
  let next = growing.text("one more");
  previous = JSON.parse(JSON.stringify(previous));
  next = JSON.parse(JSON.stringify(next));
  return { previous, next, n: previous.length - TAIL.length };
}

/** Nanoseconds a call, over at least MEASURE_MS. */
function nanoseconds(way, { previous, next, n }) {
  let calls = 0;
  let wrong = 0;
  const start = performance.now();
  let elapsed = 0;
  for (let batch = 1; elapsed < MEASURE_MS; batch = Math.min(batch * 2, 1024)) {
    for (let call = 0; call < batch; call++) if (way(previous, next, n) !== n) wrong++;
    calls += batch;
    elapsed = performance.now() - start;
  }
  if (wrong > 0) throw new Error("wrong result: the strings were found to agree up to another place");
  return (elapsed * 1e6) / calls;
}

/** Comparing memory and nothing else: the engine-free yardstick. */
function memcmpNanoseconds({ previous, n }) {
  const first = Buffer.from(previous.slice(0, n), /[^\u0000-\u00ff]/.test(previous) ? "utf16le" : "latin1");
  const second = Buffer.from(first);
  return nanoseconds(() => Buffer.compare(first, second), { n: 0 });
}

async function run({ kilobytes, characters }) {
  const input = contents(kilobytes * 1024, characters === "two-byte");
  for (const way of Object.values(WAYS)) nanoseconds(way, contents(64, characters === "two-byte")); // Warm.
  const figures = { memcmp: memcmpNanoseconds(input) };
  for (const [name, way] of Object.entries(WAYS)) figures[name] = nanoseconds(way, input);
  return figures;
}

function report(results) {
  const measured = results.filter(({ rounds }) => rounds.length > 0);
  const columns = ["memcmp", ...Object.keys(WAYS)];
  const rows = measured.map(({ parameters, rounds }) => [
    `${parameters.kilobytes} KB, ${parameters.characters}`,
    ...columns.map((name) => withSpread(spread(rounds, (figures) => figures[name] / 1000))),
  ]);
  const head = ["content", ...columns.map((name) => `${name}, µs`)];
  return {
    text: ["### Finding a splice", "", table(head, rows), ""].join("\n"),
    targets: measured
      .filter(({ parameters }) => parameters.kilobytes >= 16 && parameters.characters === "one-byte")
      .flatMap(({ parameters, rounds }) => targets(parameters, rounds)),
  };
}

function targets({ kilobytes }, rounds) {
  const median = (name) => spread(rounds, (figures) => figures[name]).median;
  const compare = median("slice(0, n) ===");
  const others = Math.min(median("startsWith"), median("character loop"));
  return [
    below(`findSplice at ${kilobytes} KB: times one comparison by slices`, median("findSplice") / compare, 3),
    atLeast(`the same: times faster than startsWith and character loops`, others / median("findSplice"), 1),
  ];
}

const cases = ["one-byte", "two-byte"].flatMap((characters) =>
  KILOBYTES.map((kilobytes) => ({ parameters: { kilobytes, characters } })),
);

const quickCases = cases.filter(({ parameters }) => parameters.kilobytes === 1);

export default { name: "find-splice", rounds: 3, cases, quickCases, run, report };
