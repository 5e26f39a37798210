// Uses a store in a place that refuses to be written. Prints what came of it as JSON, one line a step.
import { once } from "node:events";
import { openConversationStore } from "../../dist/index.js";

const [what, path] = process.argv.slice(2);
const report = (facts) => process.stdout.write(`${JSON.stringify(facts)}\n`);

/** What a call came to: its value, or the code of its error. */
async function outcome(call) {
  try {
    return await call();
  } catch (error) {
    return error.code ?? String(error);
  }
}

const contents = async (store) =>
  (await store.listMessages("s", { limit: Infinity })).map(({ content }) => content.slice(0, 10));

/** Everything that refuses root is still there for nobody. */
async function withoutRights() {
  // What is loaded on demand must be loaded while its files may be read.
  const warm = await openConversationStore(`${path}.warm`);
  await warm.close();
  if (process.getuid() === 0) {
    process.setgid(65_534);
    process.setuid(65_534);
  }
  report({ writable: await outcome(() => openConversationStore(path)) });
  const store = await openConversationStore(path, { readOnly: true });
  report({ contents: await contents(store), sessions: (await store.listSessions()).length });
  report({ saving: await outcome(() => store.saveMessage("s", "user", "no")) });
  report({ turn: await outcome(() => store.beginTurn("s")) });
  report({ recovering: await outcome(() => store.recoverInterruptedTurns()) });
  report({ contents: await contents(store) });
  await store.close();
}

/** Writes until there is no room, then again when there is. */
async function untilFull() {
  const store = await openConversationStore(path, { flushIntervalMs: 0 });
  const turn = await store.beginTurn("t");
  await turn.textDelta("kept");
  await turn.flush();
  let saved = 0;
  let failure;
  while (failure === undefined && saved < 10_000) {
    const id = await outcome(() => store.saveMessage("s", "user", `${saved} `.padEnd(8000, "x")));
    if (typeof id === "number") saved++;
    else failure = id;
  }
  report({ saved, failure, contents: await contents(store) });
  void turn.textDelta("x".repeat(200_000));
  report({ turn: await outcome(() => turn.flush()), finish: await outcome(() => turn.finish()) });
  process.stdin.resume();
  await once(process.stdin, "data");
  process.stdin.pause();
  report({ id: typeof (await outcome(() => store.saveMessage("s", "user", `${saved} again`))) });
  report({ contents: await contents(store), answer: (await store.lastAssistantMessage("t")).parts });
  await store.endTurn(turn.messageId, "failed");
  await store.close();
}

await { withoutRights, untilFull }[what]();
