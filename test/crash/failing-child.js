// Makes every call of a turn on a log that fails, and awaits none. An unhandled rejection would end the process with 1.
import { ConversationStore, StoreError, openEventLog } from "../../dist/index.js";
import { FaultyEventLog } from "../../dist/testing/index.js";

const log = new FaultyEventLog(await openEventLog("memory:"));
const store = new ConversationStore(log, { flushIntervalMs: 0 });
const abort = new AbortController();
const turn = await store.beginTurn("s", { signal: abort.signal });
log.inject(
  { kind: "append-fails", error: new StoreError("disk-full", "full") },
  { streamPrefix: "conversation-", times: Infinity },
);

const callAll = () => {
  void turn.textDelta("a");
  void turn.reasoningDelta("b", { block: "1" });
  void turn.toolInputStart({ toolId: "t", name: "n" });
  void turn.toolInputDelta("t", "{}");
  void turn.toolCall({ toolId: "t", name: "n" });
  void turn.toolApproval("t", "requested");
  void turn.toolStarted("t");
  void turn.toolResult("t", 1);
  void turn.toolResult("unknown", 1);
  void turn.toolError("t", "e");
  void turn.source({ url: "u" });
  void turn.file({ mediaType: "a/b", url: "u" });
  void turn.stepFinish();
  void turn.flush();
};
callAll();
for (let tick = 0; tick < 20; tick++) await new Promise(setImmediate);
callAll();
void turn.finish();
void turn.fail(new Error("x"));
void turn.abort();
abort.abort();
void turn.finish({ usage: { inputTokens: NaN } });
for (let tick = 0; tick < 20; tick++) await new Promise(setImmediate);

const failure = await turn.finish().catch((error) => error.code);
process.stdout.write(`${failure}, ${log.injected.length} faults`);
