/**
 * The least that can be done: one file, one line of JSON and one write(2) per step. At `power` the structural steps
 * are synced, as turnlog's are. It has no index, no checks and no other writers.
 */
import { closeSync, fdatasyncSync, openSync, readFileSync, writeSync } from "node:fs";
import { join } from "node:path";
import {
  foldAnswers,
  textAdded,
  toolCalled,
  toolReturned,
  turnFinished,
  turnStarted,
} from "../harness/turn-events.js";

export const lostAtKill = "nothing";

const fileIn = (folder) => join(folder, "events.jsonl");

export async function open(folder, { durability }) {
  const file = openSync(fileIn(folder), "a");
  const append = (session, { type, data }) =>
    void writeSync(file, `${JSON.stringify({ session, time: Date.now(), type, data })}\n`);
  const appendStructural = (session, event) => {
    append(session, event);
    // Where it is asked for: by a thread it takes a third longer, with one session.
    if (durability === "power") fdatasyncSync(file);
  };
  return {
    async beginTurn(session, user) {
      await appendStructural(session, turnStarted(user));
      return {
        delta: (text) => append(session, textAdded(text)),
        toolCall: (call) => appendStructural(session, toolCalled(call)),
        toolResult: (toolId, output) => appendStructural(session, toolReturned(toolId, output)),
        finish: () => appendStructural(session, turnFinished()),
      };
    },
    async close() {
      closeSync(file);
    },
  };
}

export async function answersIn(folder) {
  const bySession = new Map();
  for (const line of readFileSync(fileIn(folder), "utf8").split("\n").slice(0, -1)) {
    const event = JSON.parse(line);
    const events = bySession.get(event.session);
    if (events === undefined) bySession.set(event.session, [event]);
    else events.push(event);
  }
  return { answers: async (session) => foldAnswers(bySession.get(session) ?? []), close: async () => {} };
}
