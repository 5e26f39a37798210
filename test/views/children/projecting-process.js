// Appends to the log at argv[2] and projects it, writing the views as often as it can, until it is killed. Reports
// each write of the views on stdout.
import { writeSync } from "node:fs";
import { setImmediate as nextTick } from "node:timers/promises";
import { openConversationStore, openEventLog } from "../../../build/index.js";
import { openViews } from "../../../build/projections/open-views.js";
import { Projector } from "../../../build/projections/projector.js";

const [path, session] = process.argv.slice(2);
const log = await openEventLog(path);
const views = await openViews(log, { path: `${path}.views` });
new Projector(log, views, { batchMs: 0, intervalMs: 2 }).start();

const store = await openConversationStore(path, { views: false, durability: "process", flushIntervalMs: 0 });
let reported = -1;
for (let turns = 0; ; turns++) {
  const turn = await store.beginTurn(`${session}-${turns % 3}`, { user: "go on" });
  for (let delta = 0; delta < 40; delta++) {
    void turn.textDelta(`${delta};`);
    await nextTick();
    const position = views.current()?.checkpoint.position ?? -1;
    if (position > reported) writeSync(1, `${(reported = position)}\n`);
  }
  if (turns % 4 !== 3) await turn.finish();
  if (turns % 5 === 4) await store.replaceMessages(`${session}-0`, [{ role: "user", content: "anew" }]);
}
