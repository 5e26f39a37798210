/**
 * Makes logs as agents make them, through the public API: `node rebuild-log.js PATH '{"events": …}'` for sessions that
 * stream at once, with reasoning, tool calls, an answer regenerated now and then, an aborted turn, a title. A window
 * of 20 ms at 50 to 150 deltas a second holds one to three of them: so many are one event here. Prints what it made.
 */
import { fileURLToPath } from "node:url";
import { openConversationStore } from "../../dist/index.js";
import { modelDeltas } from "../harness/model-output.js";

/** Sessions that stream at the same time. */
const AT_ONCE = 100;
const TEXT_DELTAS = 150;
const REASONING_DELTAS = 30;
const TURNS_A_SESSION = 10;

/**
 * Streams turn after turn until the log holds at least `events` events.
 * @returns {{ events: number, deltas: number, sessions: number }}
 */
export async function makeLog(path, { events, agents: agentCount = AT_ONCE }) {
  const store = await openConversationStore(path, {
    durability: "process",
    flushIntervalMs: 0,
    views: false,
  });
  const made = { deltas: 0, sessions: 0, turns: 0 };
  let isEnough = false;
  const agents = Array.from({ length: agentCount }, async (_, agent) => {
    // Their first sessions are of different lengths, so that turns do not begin and end in step.
    let turnsLeft = 1 + (agent % TURNS_A_SESSION);
    while (!isEnough) {
      const session = `agent-${agent}/session-${made.sessions++}`;
      await store.updateSession(session, { title: `Session ${session}` });
      for (; turnsLeft > 0 && !isEnough; turnsLeft--) {
        const deltas = await streamTurn(store, session, made.turns++);
        made.deltas += deltas;
        if ((await store.log.head()) + 1 >= events) isEnough = true;
      }
      turnsLeft = TURNS_A_SESSION;
    }
  });
  await Promise.all(agents);
  const head = await store.log.head();
  await store.close();
  return { events: head + 1, deltas: made.deltas, sessions: made.sessions };
}

async function streamTurn(store, session, seed) {
  const isAgain = seed % 20 === 19;
  const turn = isAgain
    ? await store.regenerate(session, { model: "model-1" })
    : await store.beginTurn(session, { user: modelDeltas(seed, 1, 200)[0], model: "model-1" });
  await stream(turn, modelDeltas(seed + 1, REASONING_DELTAS, REASONING_DELTAS * 8), (delta) =>
    turn.reasoningDelta(delta),
  );
  if (seed % 2 === 0) {
    const call = { toolId: `call-${seed}`, name: "search", input: `{"query":"${seed}","limit":10}` };
    await turn.toolCall(call);
    await turn.toolStarted(call.toolId);
    await turn.toolResult(call.toolId, { hits: [modelDeltas(seed, 1, 600)[0]] });
  }
  await stream(turn, modelDeltas(seed + 2, TEXT_DELTAS, TEXT_DELTAS * 8), (delta) => turn.textDelta(delta));
  await turn.stepFinish({ finishReason: "stop", usage: { inputTokens: 900, outputTokens: 180 } });
  if (seed % 50 === 49) await turn.abort();
  else await turn.finish({ finishReason: "stop", usage: { inputTokens: 900, outputTokens: 180 } });
  return REASONING_DELTAS + TEXT_DELTAS;
}

/** Deltas of one window after the other. */
const WINDOWS = [1, 2, 3, 2];

/** Ends each window by a flush: what a window holds must not depend on how fast the machine is that makes the log. */
async function stream(turn, deltas, handOver) {
  let inWindow = 0;
  let windows = 0;
  for (const delta of deltas) {
    await handOver(delta);
    if (++inWindow < WINDOWS[windows % WINDOWS.length]) continue;
    inWindow = 0;
    windows++;
    await turn.flush();
  }
}

/** One session of at least so many events, beside others that hold one message each. */
export async function makeSessions(path, { sessionEvents, sessions }) {
  const store = await openConversationStore(path, {
    durability: "process",
    flushIntervalMs: 0,
    views: false,
  });
  for (let first = 1; first < sessions; first += 1000) {
    const names = Array.from(
      { length: Math.min(1000, sessions - first) },
      (_, index) => `other-${first + index}`,
    );
    await Promise.all(names.map((name) => store.saveMessage(name, "user", "A short question?")));
  }
  let deltas = 0;
  const before = await store.log.head();
  for (let turns = 0; (await store.log.head()) - before < sessionEvents; turns++) {
    for (let turn = 0; turn < Math.min(50, sessionEvents / 100); turn++)
      deltas += await streamTurn(store, "long", turns * 50 + turn);
  }
  await store.close();
  return { deltas };
}

if (process.argv[1] === fileURLToPath(import.meta.url)) {
  const [path, what] = process.argv.slice(2);
  const parameters = JSON.parse(what);
  const made = await (parameters.events === undefined ? makeSessions : makeLog)(path, parameters);
  process.stdout.write(JSON.stringify(made));
}
