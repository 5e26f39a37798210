import { describe, expect, it } from "@jest/globals";
import { BLOCK_SIZE } from "../../src/store/message-ids.ts";
import type { ConversationStore } from "../../src/store/conversation-store.ts";
import { withStore, withStores } from "../support/memory-store.ts";

async function blocksReserved(store: ConversationStore): Promise<unknown[]> {
  const sessions: unknown[] = [];
  for await (const { data } of store.log.readStream("message-ids")) {
    sessions.push((data as { sessionId: string }).sessionId);
  }
  return sessions;
}

describe("message ids", () => {
  it("are safe integers above 0, unique over all sessions", () =>
    withStore(async (store) => {
      const ids: number[] = [];
      for (const session of ["a", "b", "c"]) {
        for (let i = 0; i < 3; i++) ids.push(await store.saveMessage(session, "user", "q"));
        ids.push(await store.appendAssistantStub(session), (await store.beginTurn(session)).messageId);
      }
      expect(new Set(ids).size).toBe(ids.length);
      expect(ids.every((id) => Number.isSafeInteger(id) && id > 0)).toBe(true);
    }));

  it("come from one block after the other, of 256 each, the first without 0", () =>
    withStore(async (store) => {
      const ids: number[] = [];
      for (let i = 0; i < 2 * BLOCK_SIZE; i++) ids.push(await store.saveMessage("s", "user", "q"));
      expect(ids).toEqual(Array.from({ length: 2 * BLOCK_SIZE }, (_, index) => index + 1));
      expect(await blocksReserved(store)).toEqual(["s", "s", "s"]);
      expect(await store.saveMessage("t", "user", "q")).toBe(3 * BLOCK_SIZE);
    }));

  it("cross from one block to the next inside one append", () =>
    withStore(async (store) => {
      for (let i = 1; i < BLOCK_SIZE - 1; i++) await store.saveMessage("s", "user", "q");
      const turn = await store.beginTurn("s", { user: "last of its block" });
      expect(turn.messageId).toBe(BLOCK_SIZE);
      expect((await store.listMessages("s", { limit: 2 })).map(({ id }) => id)).toEqual([
        BLOCK_SIZE - 1,
        BLOCK_SIZE,
      ]);
      await store.updateBranches(BLOCK_SIZE - 1, "found", "", 0);
    }));

  it("for hundreds of new messages of one replacement, from as many blocks as it takes", () =>
    withStore(async (store) => {
      const list = Array.from({ length: 600 }, (_, index) => ({
        role: "user" as const,
        content: `${index}`,
      }));
      await store.replaceMessages("s", list);
      const messages = await store.listMessages("s", { limit: Infinity });
      expect(messages.map(({ content }) => content)).toEqual(list.map(({ content }) => content));
      expect(new Set(messages.map(({ id }) => id)).size).toBe(600);
      for (const { id } of [messages[0]!, messages[299]!, messages[599]!]) {
        await store.updateBranches(id, "found", "", 0);
      }
    }));

  it("are shared by two stores that write one session: both go on in its newest block", () =>
    withStores(2, async (one, two) => {
      const ids: number[] = [];
      for (let i = 0; i < 20; i++) {
        const saved = [one, two].map((store) => store.saveMessage("s", "user", "q"));
        ids.push(...(await Promise.all(saved)));
      }
      expect(new Set(ids).size).toBe(40);
      const inOrder = (await one.listMessages("s")).map(({ id }) => id);
      expect(inOrder.toSorted((a, b) => a - b)).toEqual(ids.toSorted((a, b) => a - b));
      expect((await blocksReserved(one)).length).toBeLessThanOrEqual(2);
    }));

  it("are never given out again after a deletion", () =>
    withStore(async (store) => {
      const before = await store.saveMessage("s", "user", "q");
      await store.deleteSession("s");
      const after = await store.saveMessage("s", "user", "q");
      expect(after).toBeGreaterThan(before);
      await expect(store.updateBranches(before, "x", "", 0)).rejects.toMatchObject({
        code: "message-not-found",
      });
    }));

  it("lead another store to the session, wherever the block is", () =>
    withStores(2, async (one, two) => {
      const ids: [string, number][] = [];
      for (const session of ["a", "b", "c"]) ids.push([session, await one.saveMessage(session, "user", "q")]);
      for (const [session, id] of ids) {
        await two.updateBranches(id, `of ${session}`, "", 0);
        expect(await one.listMessages(session)).toMatchObject([{ id, content: `of ${session}` }]);
      }
    }));

  it.each([
    ["a block that nobody reserved", 10 * BLOCK_SIZE],
    ["the largest id that there can be", Number.MAX_SAFE_INTEGER],
    ["0", 0],
    ["a negative id", -1],
    ["a hole in a block", 7],
  ])("of %s: message-not-found", (_what, id) =>
    withStore(async (store) => {
      await store.saveMessage("s", "user", "q");
      const refused = expect.objectContaining({ code: "message-not-found" });
      await expect(store.updateBranches(id, "x", "", 0)).rejects.toEqual(refused);
      await expect(store.endTurn(id, "finished")).rejects.toEqual(refused);
      await expect(store.selectBranch(id, 0)).rejects.toEqual(refused);
      await expect(store.listMessages("s", { before: id })).rejects.toEqual(refused);
    }),
  );

  it.each([1.5, NaN, Infinity, Number.MAX_SAFE_INTEGER + 1, "1", null, undefined, 1n])(
    "that is no safe integer (%p): invalid-message-id",
    (id) =>
      withStore(async (store) => {
        await store.saveMessage("s", "user", "q");
        const refused = expect.objectContaining({ code: "invalid-message-id" });
        await expect(store.updateBranches(id as number, "x", "", 0)).rejects.toEqual(refused);
        await expect(store.endTurn(id as number, "finished")).rejects.toEqual(refused);
        await expect(store.selectBranch(id as number, 0)).rejects.toEqual(refused);
      }),
  );
});
