import { describe, expect, it } from "@jest/globals";
import type { StoredMessage } from "../../src/projections/stored-message.ts";
import { KILLS, firstSeed, look, runUntilKilled, turnsOf, withStorePath } from "./kill-child.ts";

const SAVED = 8;
const KEPT = 3;

const texts = (messages: StoredMessage[]): string[] => messages.map(({ content }) => content);

describe("a process that is killed while it compacts a conversation", () => {
  it(
    `leaves it as it was before or as it is after, never between, in ${KILLS} kills`,
    () =>
      withStorePath(async (path) => {
        let conversation: string[] = [];
        const everSaved: string[] = [];
        let compacted = 0;
        let untouched = 0;
        for (let kill = 0; kill < KILLS; kill++) {
          const seed = firstSeed + kill;
          const before = await look(path, async (store) => {
            while ((await store.countMessages("s")) < SAVED) {
              const content = `message ${everSaved.length}`;
              everSaved.push(content);
              conversation.push(content);
              await store.saveMessage("s", "user", content);
            }
            return store.listMessages("s");
          });
          expect(texts(before)).toEqual(conversation);
          const isDone = await runUntilKilled("compact", path, turnsOf(seed), String(kill));
          await look(path, async (store) => {
            const after = await store.listMessages("s");
            if (texts(after)[0] === conversation[0]) {
              untouched++;
              expect({ seed, after }).toEqual({ seed, after: before });
              expect(isDone).toBe(false);
            } else {
              compacted++;
              const summary = `[Conversation summary]: of ${before.length - KEPT} up to ${kill}`;
              conversation = [summary, ...conversation.slice(-KEPT)];
              expect({ seed, after: texts(after) }).toEqual({ seed, after: conversation });
              expect(after.slice(1)).toEqual(before.slice(-KEPT));
            }
            const all = await store.listMessages("s", { limit: Infinity, includeReplaced: true });
            expect(texts(all).filter((content) => content.startsWith("message "))).toEqual(everSaved);
          });
        }
        if (KILLS > 100) expect(Math.min(compacted, untouched)).toBeGreaterThan(10);
      }),
    KILLS * 30_000,
  );
});
