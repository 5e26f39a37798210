// One way to die: node zoo-child.js STORE SCENARIO. What it has done until then it says on stdout, one JSON line,
// synchronously; then it dies by itself, or waits to be killed.
import { writeSync } from "node:fs";
import { Compactor, openConversationStore } from "../../../dist/index.js";

const [path, scenario] = process.argv.slice(2);
const SESSION = "zoo";
const store = await openConversationStore(path, { label: "zoo", heartbeatMs: 60_000 });

const say = (facts) => writeSync(1, `${JSON.stringify({ session: SESSION, ...facts })}\n`);
const wait = () => setInterval(() => undefined, 60_000);
const of = ({ turnId, messageId }) => ({ turnId, messageId });

/** A turn with some text that is in the log. */
async function turnWithText(text = "It is half past ") {
  const turn = await store.beginTurn(SESSION, { user: "What time is it?", model: "zoo-1" });
  for (const word of text.match(/\S+\s*/g)) void turn.textDelta(word);
  await turn.flush();
  return turn;
}

const scenarios = {
  async "mid-text"() {
    const turn = await turnWithText();
    say(of(turn));
    wait();
  },

  async "mid-reasoning"() {
    const turn = await store.beginTurn(SESSION, { user: "Think." });
    void turn.reasoningDelta("Well, ");
    await turn.flush();
    say(of(turn));
    wait();
  },

  async "tool-running"() {
    const turn = await turnWithText("Let me look. ");
    await turn.toolCall({ toolId: "c1", name: "clock", input: '{"zone":"UTC"}' });
    await turn.toolStarted("c1");
    await turn.toolResult("c1", "10:30");
    await turn.toolCall({ toolId: "c2", name: "run_command", input: '{"cmd":"date"}' });
    await turn.toolStarted("c2");
    say(of(turn));
    wait();
  },

  async "tool-pending"() {
    const turn = await turnWithText("Let me look. ");
    await turn.toolCall({ toolId: "c1", name: "clock", input: "{}" });
    say(of(turn));
    wait();
  },

  async "tool-input"() {
    const turn = await turnWithText("Let me write. ");
    await turn.toolInputStart({ toolId: "c1", name: "write_file" });
    await turn.toolInputDelta("c1", '{"path":"/tmp/a","te');
    await turn.flush();
    say(of(turn));
    wait();
  },

  async approval() {
    const turn = await turnWithText("May I? ");
    await turn.toolCall({ toolId: "c1", name: "rm", input: "{}" });
    await turn.toolApproval("c1", "requested");
    say(of(turn));
    wait();
  },

  async regenerate() {
    const first = await turnWithText("The old answer.");
    await first.finish();
    const again = await store.regenerate(SESSION, { model: "zoo-2" });
    say(of(again));
    wait();
  },

  async compaction() {
    for (let n = 0; n < 6; n++) await store.saveMessage(SESSION, "user", `message ${n}`);
    const turn = await turnWithText("Working on it");
    const compactor = new Compactor({
      maxMessages: 4,
      summarize: () => {
        say(of(turn));
        return new Promise(wait);
      },
    });
    await compactor.compact(store, SESSION);
  },

  async "save-message"() {
    const saved = [];
    for (let n = 0; n < 20; n++) saved.push(await store.saveMessage(SESSION, "user", `saved ${n}`));
    say({ saved: saved.length });
    for (let n = 20; ; n++) await store.saveMessage(SESSION, "user", `saved ${n}`);
  },

  async "out-of-memory"() {
    const turn = await turnWithText("Let me count. ");
    await turn.toolCall({ toolId: "c1", name: "count", input: "{}" });
    await turn.toolStarted("c1");
    say(of(turn));
    const hoard = [];
    for (;;) hoard.push(Array.from({ length: 100_000 }, () => hoard.length));
  },

  async "process-exit"() {
    const turn = await turnWithText("Before the callback, ");
    say(of(turn));
    void turn.textDelta("inside of it");
    setImmediate(() => process.exit(7));
  },

  async "uncaught-exception"() {
    const turn = await turnWithText("Before the callback, ");
    say(of(turn));
    void turn.textDelta("inside of it");
    setImmediate(() => {
      throw new Error("a bug of the runtime");
    });
  },

  async superseded() {
    const lost = await turnWithText("The first att");
    // The runtime forgot it; the user typed on.
    const next = await store.beginTurn(SESSION, { user: "Hello?" });
    void next.textDelta("Yes?");
    await next.finish();
    say(of(lost));
    wait();
  },

  async "regenerate-twice"() {
    const first = await turnWithText("The whole answer.");
    await first.finish();
    const second = await store.regenerate(SESSION);
    void second.textDelta("Half an ans");
    await second.flush();
    const third = await store.regenerate(SESSION);
    void third.textDelta("A third");
    await third.flush();
    say({ turns: [of(second), of(third)] });
    wait();
  },
};

await scenarios[scenario]();
