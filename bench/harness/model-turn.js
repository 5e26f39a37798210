/** A model's answer as it streams in: text in deltas, and tool calls between them. */
import { modelDeltas } from "./model-output.js";

/**
 * @typedef {{ toolId: string, name: string, input: string, output: unknown }} Tool
 * @typedef {{ user: string, deltas: string[], tools: Map<number, Tool> }} ModelTurn `tools` by the number of deltas
 * that come before each.
 */

/** @returns {ModelTurn} `count` deltas of `characters` altogether, with `toolCalls` calls evenly among them. */
export function modelTurn(seed, { deltas: count, characters, toolCalls }) {
  return withTools(seed, modelDeltas(seed, count, characters), toolCalls);
}

/**
 * The middle of such a turn: `keep` deltas, behind all that came before them in one piece.
 * @returns {ModelTurn}
 */
export function middleOfTurn(seed, { deltas: count, characters, toolCalls }, keep) {
  const all = modelDeltas(seed, count, characters);
  const start = Math.floor((count - keep) / 2);
  return withTools(seed, [all.slice(0, start).join(""), ...all.slice(start, start + keep)], toolCalls);
}

function withTools(seed, deltas, toolCalls) {
  const tools = new Map();
  for (let call = 1; call <= toolCalls; call++) {
    const [line] = modelDeltas(seed + call, 1, 120);
    tools.set(Math.floor((call * deltas.length) / (toolCalls + 1)), {
      toolId: `call-${seed}-${call}`,
      name: "search",
      input: JSON.stringify({ query: line.slice(0, 20), limit: 10 }),
      output: { hits: [line, call] },
    });
  }
  return { user: modelDeltas(seed + 7, 1, 60)[0], deltas, tools };
}

/** What a store must give back at the end, in a form that does not depend on the store. */
export function expectedParts({ deltas, tools }) {
  const parts = [];
  let text = "";
  for (const [index, delta] of deltas.entries()) {
    const tool = tools.get(index);
    if (tool !== undefined) {
      parts.push({ text }, { ...tool });
      text = "";
    }
    text += delta;
  }
  return [...parts, { text }];
}

/** The same form, of parts as turnlog and the original store keep them. */
export function comparableParts(parts) {
  return parts.map((part) =>
    part.kind === "text"
      ? { text: part.text }
      : { toolId: part.tool_id, name: part.name, input: part.input, output: part.output },
  );
}

/**
 * Streams a turn into a store: each step is handed over in a turn of the event loop of its own, when `clock` says.
 *
 * @param turn what `beginTurn` of a candidate gave
 * @param clock of `pacing`
 * @param onStructural told how long each tool call and result took to be acknowledged, ms
 */
export function streamTurn(turn, { deltas, tools }, sessionIndex, clock, onStructural) {
  return new Promise((resolve, reject) => {
    let index = 0;
    const goOn = () => {
      if (index < deltas.length) clock.schedule(handOver, sessionIndex, index);
      else resolve();
    };
    const handDelta = () => {
      const taken = turn.delta(deltas[index]);
      index += 1;
      if (taken === undefined) goOn();
      else taken.then(goOn, reject);
    };
    const handOver = () => {
      const tool = tools.get(index);
      if (tool === undefined) handDelta();
      else callTool(turn, tool, onStructural).then(handDelta, reject);
    };
    goOn();
  });
}

async function callTool(turn, { toolId, name, input, output }, onStructural) {
  await timed(() => turn.toolCall({ toolId, name, input }), onStructural);
  await timed(() => turn.toolResult(toolId, output), onStructural);
}

/** @param onDone told the time until the promise is resolved, ms */
export async function timed(call, onDone) {
  const start = performance.now();
  const result = await call();
  onDone?.(performance.now() - start);
  return result;
}
