/** What the workloads that stream turns into a store have in common: warm-up, the check of what was stored, its size. */
import { mkdirSync } from "node:fs";
import { join } from "node:path";
import { folderBytes } from "./folder-size.js";
import { expectedParts, modelTurn, streamTurn } from "./model-turn.js";
import { pacing } from "./pacing.js";

/** Compiles what will run, in another store. */
export async function warmUp({ open }, durability, folder, { turns, size }) {
  const warm = join(folder, "warm-up");
  mkdirSync(warm);
  const store = await open(warm, { durability });
  const clock = pacing(undefined, turns);
  await Promise.all(
    Array.from({ length: turns }, async (_, index) => {
      const model = modelTurn(index, size);
      const turn = await store.beginTurn(`warm-${index}`, model.user);
      await streamTurn(turn, model, index, clock);
      await turn.finish();
    }),
  );
  await store.close();
}

/** @returns an empty folder for the store that is measured. */
export function storeFolder(folder) {
  const path = join(folder, "store");
  mkdirSync(path);
  return path;
}

/**
 * A store that is fast and wrong is not fast: every answer must read back, from the closed store, as it was streamed.
 * @param inputs `{session, model}` of each turn, one a session
 * @returns bytes that the closed store keeps
 */
export async function checkAnswers({ answersIn }, folder, inputs) {
  if (answersIn === undefined) return {};
  const keptBytes = folderBytes(folder);
  const reader = await answersIn(folder);
  for (const { session, model } of inputs) {
    const answers = await reader.answers(session);
    if (JSON.stringify(answers) !== JSON.stringify([expectedParts(model)]))
      throw new Error(`wrong result: the answer of ${session} did not read back as it was streamed`);
  }
  await reader.close();
  return { keptBytes, checked: inputs.length };
}
