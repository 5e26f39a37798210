import { fork } from "node:child_process";
import { once } from "node:events";
import { join } from "node:path";
import { describe, expect, it } from "@jest/globals";
import { openConversationStore } from "../../src/store/open-conversation-store.ts";
import { tempFolders } from "../log/sqlite/temp-folder.ts";

const newFolder = tempFolders();
const ROUNDS = process.env["TURNLOG_TEST_LONG"] === undefined ? 400 : 20_000;

interface Answer {
  content: string;
  count: number;
  total: number;
}

describe("reads of another process", () => {
  it.each(["reader", "writer"])(
    `see each append that was acknowledged before them, in ${ROUNDS} rounds, while the %s projects`,
    async (whoProjects) => {
      const path = join(await newFolder(), "log.db");
      const store = await openConversationStore(path, {
        durability: "process",
        flushIntervalMs: 0,
        projector: whoProjects === "writer",
      });
      const child = fork(
        join(import.meta.dirname, "children/reading-process.js"),
        [path, whoProjects === "reader" ? "projector" : "none"],
        { stdio: ["ignore", "inherit", "inherit", "ipc"] },
      );
      await once(child, "message");
      try {
        await play();
      } finally {
        child.kill();
        await store.close();
      }

      async function play(): Promise<void> {
        const ask = async (session: string, limit: number): Promise<Answer> => {
          child.send({ session, limit });
          const [answer] = (await once(child, "message")) as [Answer];
          return answer;
        };
        const totals = new Map<string, number>();
        for (let round = 0; round < ROUNDS; round++) {
          const session = `session ${round % 7}`;
          const total = (totals.get(session) ?? 0) + 1;
          totals.set(session, total);
          const content = `round ${round}`;
          if (round % 3 === 0) {
            const id = await store.appendAssistantStub(session);
            await store.updateBranches(id, content);
          } else {
            await store.saveMessage(session, "user", content);
          }
          const limit = 1 + (round % 20);
          const expected = { content, count: Math.min(limit, total), total };
          expect(await ask(session, limit)).toEqual(expected);
        }
        child.send({});
        await once(child, "exit");
      }
    },
    ROUNDS * 600,
  );
});
