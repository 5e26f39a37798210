import { spawn } from "node:child_process";
import { text } from "node:stream/consumers";
import { fileURLToPath } from "node:url";
import { describe, expect, it } from "@jest/globals";
import type { StoredMessage } from "../../src/projections/stored-message.ts";
import { openConversationStore } from "../../src/store/open-conversation-store.ts";
import { checkLogIntegrity } from "../../src/testing/index.ts";
import { look, withStorePath } from "../crash/kill-child.ts";

const CHILD = fileURLToPath(new URL("fork-child.js", import.meta.url));
const UPDATES = 2400;

async function forkUntilKilled(path: string, revision: number, appends: number): Promise<boolean> {
  const child = spawn(process.execPath, [CHILD, path, String(revision), String(appends)]);
  const signal = new Promise((resolve) => child.once("exit", (_code, signal) => resolve(signal)));
  const [stdout, stderr] = await Promise.all([text(child.stdout), text(child.stderr)]);
  expect({ stderr, signal: await signal }).toEqual({ stderr: "", signal: "SIGKILL" });
  return stdout === "done";
}

const shown = (messages: StoredMessage[]): unknown =>
  messages.map(({ role, content, createdAt, updatedAt }) => ({ role, content, createdAt, updatedAt }));

describe("a process that is killed while it forks", () => {
  it("leaves a fork that nobody sees, and the next process goes on where it was", () =>
    withStorePath(async (path) => {
      const store = await openConversationStore(path, { durability: "process" });
      await store.saveMessage("s", "user", "q");
      const id = await store.appendAssistantStub("s");
      const updates: Promise<unknown>[] = [];
      for (let update = 1; update <= UPDATES; update++) updates.push(store.updateBranches(id, `"${update}"`));
      await Promise.all(updates);
      const { revision, messages } = await store.readSession("s");
      await store.close();

      const seen: number[] = [];
      for (const appends of [0, 1, 2, 1]) {
        expect(await forkUntilKilled(path, revision, appends)).toBe(false);
        seen.push(
          await look(path, async (store) => {
            expect((await store.listSessions()).map(({ id }) => id)).toEqual(["s"]);
            let events = 0;
            for await (const _event of store.log.readStream("conversation-f")) events++;
            return events;
          }),
        );
      }
      // Each run added to what was there, and none came to the end.
      expect(seen.slice(1).every((count, index) => count > seen[index]!)).toBe(true);
      expect(seen.at(-1)).toBeLessThan(UPDATES);
      expect(await forkUntilKilled(path, revision, Infinity)).toBe(true);
      await look(path, async (store) => {
        expect(shown(await store.listMessages("f"))).toEqual(shown(messages));
        expect((await store.listSessions()).map(({ id }) => id).toSorted()).toEqual(["f", "s"]);
        expect(await store.fork("s", { at: revision, as: "f" })).toMatchObject({ outcome: "found" });
        await checkLogIntegrity(store.log);
      });
    }));
});
