/** node-event-storage (npm `event-storage`): a file per stream; a commit is answered when its buffer was written. */
import EventStore from "event-storage";
import { once } from "node:events";
import { appendingTurn, foldAnswers, turnStarted } from "../harness/turn-events.js";

export const lostAtKill = "nothing";

export async function openStore(folder, durability) {
  const store = new EventStore("store", {
    storageDirectory: folder,
    storageConfig: { syncOnFlush: durability === "power" },
  });
  await once(store, "ready");
  return store;
}

export async function open(folder, { durability }) {
  const store = await openStore(folder, durability);
  return {
    async beginTurn(session, user) {
      const append = (event) => new Promise((resolve) => store.commit(session, [event], resolve));
      await append(turnStarted(user));
      return appendingTurn(append);
    },
    async close() {
      store.close();
    },
  };
}

export async function answersIn(folder) {
  const store = await openStore(folder, "process");
  return {
    answers: async (session) => foldAnswers(store.getEventStream(session)),
    close: async () => store.close(),
  };
}
