import Sequencer from "@jest/test-sequencer";

/** A CommonJS module's default export, as whoever loads this file sees it. */
const Base = Sequencer.default ?? Sequencer;

/** Those that take longest: begun last, one of them would run alone while the other core has nothing to do. */
const SLOWEST = [
  "contract.test",
  "docs-samples",
  "store-model",
  "turn-crash",
  "agent-runtime",
  "killed-rebuild",
  "corruption",
];

const rankOf = ({ path }) => {
  const rank = SLOWEST.findIndex((name) => path.includes(name));
  return rank === -1 ? SLOWEST.length : rank;
};

/** Without times of an earlier run jest begins with the largest files, and a contract's file is a few lines. */
export default class SlowestFirst extends Base {
  sort(tests) {
    return [...tests].toSorted((a, b) => rankOf(a) - rankOf(b));
  }
}
