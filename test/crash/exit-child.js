// Buffers deltas in an open turn and lets the process end in the way that it is told. It closes no store.
import { setImmediate as nextTick } from "node:timers/promises";
import { openConversationStore } from "../../dist/index.js";

const [way, ...paths] = process.argv.slice(2);
// A window that never ends by itself: what gets into the log gets there at exit.
const flushIntervalMs = ["end", "idle", "window"].includes(way) ? 100 : 2_000_000_000;

const stores = [];
const turns = [];
for (const path of paths) {
  const store = await openConversationStore(path, { flushIntervalMs });
  stores.push(store);
  turns.push(await store.beginTurn("s", { user: "q" }));
}
const [store] = stores;
const [turn] = turns;
const buffer = () => {
  for (const each of turns) {
    void each.textDelta("buf");
    void each.textDelta("fered");
  }
};

/** Exits so many microtasks after the log has answered the next append. */
function exitAfterAnswer(microtasks) {
  const append = store.log.append.bind(store.log);
  store.log.append = (...call) => {
    const answered = append(...call);
    void answered.then(async () => {
      for (let left = microtasks; left > 0; left--) await undefined;
      process.exit(0);
    });
    return answered;
  };
}

const [name, count = "0"] = way.split("-");
switch (name) {
  case "exit":
    buffer();
    process.exit(0);
    break;
  case "throw":
    buffer();
    setImmediate(() => {
      throw new Error("nobody catches this");
    });
    break;
  case "rejection":
    buffer();
    void Promise.reject(new Error("nobody handles this"));
    break;
  case "end": // The open window holds the process; when it is over nothing does.
    buffer();
    break;
  case "window":
    buffer();
    // Comes when nothing holds the process any more: the window must be over by then.
    process.once("beforeExit", async () => {
      const { parts } = await store.lastAssistantMessage("s");
      process.stdout.write(JSON.stringify(parts));
    });
    break;
  case "idle":
    break;
  case "closed": // Its window of weeks was open.
    buffer();
    await store.close();
    break;
  case "flushing": // So far on its way: handed to the session, not to the log.
    buffer();
    void turn.flush();
    process.exit(0);
    break;
  case "behind": // Waits behind another command of the session.
    void store.saveMessage("s", "user", "un-awaited");
    await undefined;
    buffer();
    void turn.flush();
    void turn.textDelta(" more");
    process.exit(0);
    break;
  case "structural":
    void turn.textDelta("before");
    void turn.toolCall({ toolId: "t", name: "n", input: "{}" });
    void turn.textDelta("after");
    process.exit(0);
    break;
  case "finishing":
    buffer();
    void turn.finish({ finishReason: "stop" });
    process.exit(0);
    break;
  case "ticks": // Somewhere on the way of an append.
    buffer();
    void turn.flush();
    for (let left = Number(count); left > 0; left--) await nextTick();
    process.exit(0);
    break;
  case "answered": // The log has answered, and the writer is about to hear of it.
    exitAfterAnswer(Number(count));
    buffer();
    void turn.flush();
    void turn.textDelta("");
    break;
}
