// Does one thing to a store and kills itself with SIGKILL, so many turns of the event loop after it began.
//   node kill-child.js WHAT PATH TURNS [ARGUMENT]
// Prints "done" when it was done before the kill came.
import { writeSync } from "node:fs";
import { Compactor, openConversationStore } from "../../dist/index.js";

const [what, path, turns, argument] = process.argv.slice(2);
const store = await openConversationStore(path, { flushIntervalMs: 0 });

const die = () => process.kill(process.pid, "SIGKILL");
let left = Number(turns);
const count = () => (left-- <= 0 ? die() : setImmediate(count));

const deeds = {
  // Begins turns in many sessions; they are interrupted when it dies.
  async begin() {
    for (let session = 0; session < Number(argument); session++) {
      const turn = await store.beginTurn(`s${session}`, { user: "q" });
      void turn.textDelta(`begun ${session}`);
      await turn.flush();
    }
  },
  async regenerate() {
    const turn = await store.regenerate("s");
    for (const piece of ["new ", "answer ", argument]) {
      void turn.textDelta(piece);
      await turn.flush();
    }
    await turn.finish();
  },
  async compact() {
    const summarize = async (messages) => `of ${messages.length} up to ${argument}`;
    await new Compactor({ maxMessages: 6, summarize }).compact(store, "s");
  },
  async recover() {
    await store.recoverInterruptedTurns();
  },
};

if (what !== "begin") setImmediate(count);
await deeds[what]();
writeSync(1, "done");
die();
