// Streams several turns at once on the store that it is given, as fast as the store takes them, and says:
//   begun           the turns are open; it waits for a line on stdin
//   waiting UNITS   nothing has been taken for a while; UNITS were taken by the turn that had most
//   going-on        something has been taken since
//   done UNITS…     after another line on stdin: all turns are finished; what each took
import { once } from "node:events";
import { setImmediate as nextTick } from "node:timers/promises";
import { openConversationStore } from "../../../../dist/index.js";

const TURNS = 4;
const PIECE = "x".repeat(1_000);
const QUIET_MS = 500;

const say = (...words) => process.stdout.write(`${words.join(" ")}\n`);
const store = await openConversationStore(process.argv[2]);
const turns = await Promise.all(
  Array.from({ length: TURNS }, (_, index) => store.beginTurn(`s${index}`, { user: "go on" })),
);
say("begun");
await once(process.stdin, "data");

const taken = turns.map(() => 0);
let lastTakenAt = performance.now();
let isWaiting = false;
const end = new AbortController();
process.stdin.once("data", () => end.abort());
const watch = setInterval(() => {
  if (!isWaiting && performance.now() - lastTakenAt > QUIET_MS) {
    isWaiting = true;
    say("waiting", Math.max(...taken));
  }
}, 50);

async function stream(turn, index) {
  while (!end.signal.aborted) {
    await turn.textDelta(PIECE);
    taken[index] += PIECE.length;
    lastTakenAt = performance.now();
    if (isWaiting) say("going-on");
    isWaiting = false;
    await nextTick();
  }
  await turn.finish();
}

await Promise.all(turns.map(stream));
clearInterval(watch);
await store.close();
say("done", ...taken);
process.stdin.destroy();
