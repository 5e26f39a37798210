// Writes turns until it is killed, and reports on stdout, synchronously, what it has been promised:
//   sent K            delta K has been handed to the turn writer
//   flushed K         flush() resolved after delta K
//   shown K           a query showed delta K, which nobody had flushed
//   acknowledged NAME a structural call resolved
import { writeSync } from "node:fs";
import { setImmediate as nextTick, setTimeout as delay } from "node:timers/promises";
import { openConversationStore } from "../../dist/index.js";

// From report number QUIET_FROM on it calls no tools, so that a kill there hits it in mid-text.
const [path, session, seed, quietFrom] = process.argv.slice(2);
let reports = 0;
const report = (line) => {
  reports++;
  writeSync(1, `${line}\n`);
};

// A small generator, so that a failure can be repeated (mulberry32).
let state = Number(seed);
const random = () => {
  state = (state + 0x6d2b79f5) | 0;
  let t = Math.imul(state ^ (state >>> 15), 1 | state);
  t = (t + Math.imul(t ^ (t >>> 7), 61 | t)) ^ t;
  return ((t ^ (t >>> 14)) >>> 0) / 4_294_967_296;
};

const store = await openConversationStore(path);
const turn = await store.beginTurn(session, { user: "go on" });
report(`acknowledged turn`);
for (let delta = 0, tools = 0; ; delta++) {
  report(`sent ${delta}`);
  void turn.textDelta(`${delta};`);
  const choice = random();
  if (choice < 0.1) {
    await turn.flush();
    report(`flushed ${delta}`);
  } else if (choice < 0.12) {
    while (!(await store.lastAssistantMessage(session)).content.includes(`${delta};`)) await delay(5);
    report(`shown ${delta}`);
  } else if (choice < 0.14 && reports + 3 < Number(quietFrom)) {
    const toolId = `t${tools++}`;
    await turn.toolCall({ toolId, name: "work", input: "{}" });
    report(`acknowledged call-${toolId}`);
    await turn.toolStarted(toolId);
    report(`acknowledged start-${toolId}`);
    await turn.toolResult(toolId, delta);
    report(`acknowledged result-${toolId}`);
  } else if (choice < 0.6) {
    await delay(1 + random() * 10);
  } else {
    await nextTick();
  }
}
