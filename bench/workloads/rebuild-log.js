/**
 * Makes a log as agents make it, through the public API: sessions that stream at once, a window of deltas an event,
 * with reasoning, tool calls, an answer regenerated now and then, an aborted turn, a title.
 */
import { setImmediate as nextTick } from "node:timers/promises";
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
export async function makeLog(path, { events }) {
  const store = await openConversationStore(path, {
    durability: "process",
    flushIntervalMs: 0,
    views: false,
  });
  const made = { deltas: 0, sessions: 0, turns: 0 };
  let isEnough = false;
  const agents = Array.from({ length: AT_ONCE }, async (_, agent) => {
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
  for (const delta of modelDeltas(seed + 1, REASONING_DELTAS, REASONING_DELTAS * 8)) {
    await turn.reasoningDelta(delta);
    await nextTick(); // The window of this store: what comes in one tick is one event.
  }
  if (seed % 2 === 0) {
    const call = { toolId: `call-${seed}`, name: "search", input: `{"query":"${seed}","limit":10}` };
    await turn.toolCall(call);
    await turn.toolStarted(call.toolId);
    await turn.toolResult(call.toolId, { hits: [modelDeltas(seed, 1, 600)[0]] });
  }
  for (const delta of modelDeltas(seed + 2, TEXT_DELTAS, TEXT_DELTAS * 8)) {
    await turn.textDelta(delta);
    await nextTick();
  }
  await turn.stepFinish({ finishReason: "stop", usage: { inputTokens: 900, outputTokens: 180 } });
  if (seed % 50 === 49) await turn.abort();
  else await turn.finish({ finishReason: "stop", usage: { inputTokens: 900, outputTokens: 180 } });
  return REASONING_DELTAS + TEXT_DELTAS;
}
