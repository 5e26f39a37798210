/**
 * The file store of the Durable Streams reference server, called in this process: what HTTP would cost is not in it.
 * Every append is synced to disk; it has no weaker setting.
 */
import { FileBackedStreamStore } from "@durable-streams/server";
import { appendingTurn, foldAnswers, turnStarted } from "../harness/turn-events.js";

export const lostAtKill = "nothing";

const pathOf = (session) => `/${session}`;

export async function open(folder) {
  const store = new FileBackedStreamStore({ dataDir: folder });
  return {
    async beginTurn(session, user) {
      const path = pathOf(session);
      await store.create(path, { contentType: "application/json" });
      const append = (event) => store.append(path, Buffer.from(JSON.stringify(event)));
      await append(turnStarted(user));
      return appendingTurn(append);
    },
    close: () => store.close(),
  };
}

export async function answersIn(folder) {
  const store = new FileBackedStreamStore({ dataDir: folder });
  return {
    async answers(session) {
      const { messages } = store.read(pathOf(session));
      const json = `[${messages.map(({ data }) => Buffer.from(data).toString().replace(/,$/, "")).join(",")}]`;
      return foldAnswers(JSON.parse(json));
    },
    close: () => store.close(),
  };
}
