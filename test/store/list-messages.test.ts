import { describe, expect, it } from "@jest/globals";
import type { ConversationStore } from "../../src/store/conversation-store.ts";
import type { ListMessagesOptions } from "../../src/store/message-page.ts";
import { withStore, withStores } from "../support/memory-store.ts";

/** Saves messages "1" to `count`; returns their ids, of which index 0 is no message. */
async function numbered(store: ConversationStore, count: number): Promise<number[]> {
  const ids = [-1];
  for (let number = 1; number <= count; number++) ids.push(await store.saveMessage("s", "user", `${number}`));
  return ids;
}

const numbers = async (store: ConversationStore, options?: ListMessagesOptions): Promise<number[]> =>
  (await store.listMessages("s", options)).map(({ content }) => Number(content));

const range = (first: number, last: number): number[] =>
  Array.from({ length: last - first + 1 }, (_, index) => first + index);

describe("a page of messages", () => {
  it("is by default the newest 50, ascending", () =>
    withStore(async (store) => {
      await numbered(store, 60);
      expect(await numbers(store)).toEqual(range(11, 60));
    }));

  const cases: [what: string, options: (ids: number[]) => ListMessagesOptions, expected: number[]][] = [
    ["a limit gives the newest", () => ({ limit: 3 }), [8, 9, 10]],
    ["a limit above the count gives all", () => ({ limit: 99 }), range(1, 10)],
    ["a limit of 0 gives none", () => ({ limit: 0 }), []],
    ["Infinity gives all", () => ({ limit: Infinity }), range(1, 10)],
    ["before is exclusive", (ids) => ({ before: ids[4]! }), [1, 2, 3]],
    ["before with a limit gives the nearest before it", (ids) => ({ before: ids[8]!, limit: 2 }), [6, 7]],
    ["before the first there is nothing", (ids) => ({ before: ids[1]! }), []],
    ["after is exclusive", (ids) => ({ after: ids[7]! }), [8, 9, 10]],
    ["after alone gives the oldest that follow", (ids) => ({ after: ids[3]!, limit: 2 }), [4, 5]],
    ["after the last there is nothing", (ids) => ({ after: ids[10]! }), []],
    ["after and before give what lies between", (ids) => ({ after: ids[2]!, before: ids[6]! }), [3, 4, 5]],
    [
      "with both, a limit gives the newest between",
      (ids) => ({ after: ids[2]!, before: ids[9]!, limit: 2 }),
      [7, 8],
    ],
    ["between neighbours there is nothing", (ids) => ({ after: ids[4]!, before: ids[5]! }), []],
    ["after behind before there is nothing", (ids) => ({ after: ids[6]!, before: ids[3]! }), []],
  ];

  it.each(cases)("%s", (_what, options, expected) =>
    withStore(async (store) => {
      const ids = await numbered(store, 10);
      expect(await numbers(store, options(ids))).toEqual(expected);
    }),
  );

  it("leads from page to page through all messages, backwards and forwards", () =>
    withStore(async (store) => {
      const ids = await numbered(store, 10);
      const backwards: number[] = [];
      let before: number | undefined;
      for (;;) {
        const page: number[] = await numbers(store, { before, limit: 3 });
        if (page.length === 0) break;
        backwards.unshift(...page);
        before = ids[page[0]!];
      }
      expect(backwards).toEqual(range(1, 10));
      const forwards = [1];
      for (;;) {
        const page = await numbers(store, { after: ids[forwards.at(-1)!], limit: 4 });
        if (page.length === 0) break;
        forwards.push(...page);
      }
      expect(forwards).toEqual(range(1, 10));
    }));

  it("follows the order of the conversation, not that of the ids", () =>
    withStore(async (store) => {
      const ids = await numbered(store, 4);
      await store.replaceMessages("s", [{ keep: ids[3]! }, { keep: ids[1]! }, { keep: ids[4]! }]);
      expect(await numbers(store)).toEqual([3, 1, 4]);
      expect(await numbers(store, { after: ids[3]! })).toEqual([1, 4]);
      expect(await numbers(store, { before: ids[1]! })).toEqual([3]);
    }));

  it("leaves out what is replaced, unless it is asked for: then it is marked and in its place", () =>
    withStore(async (store) => {
      const ids = await numbered(store, 5);
      await store.replaceMessages("s", [{ keep: ids[2]! }, { keep: ids[5]! }]);
      expect(await numbers(store)).toEqual([2, 5]);
      const all = await store.listMessages("s", { includeReplaced: true });
      expect(all.map(({ content, replaced }) => [Number(content), replaced])).toEqual([
        [1, true],
        [2, undefined],
        [3, true],
        [4, true],
        [5, undefined],
      ]);
      expect(await numbers(store, { includeReplaced: true, before: ids[4]!, limit: 2 })).toEqual([2, 3]);
      expect(await numbers(store, { includeReplaced: true, after: ids[3]! })).toEqual([4, 5]);
    }));

  it("cannot begin at a message that is replaced, unknown, deleted or of another session", () =>
    withStore(async (store) => {
      const ids = await numbered(store, 3);
      const other = await store.saveMessage("t", "user", "q");
      await store.replaceMessages("s", [{ keep: ids[2]! }]);
      for (const id of [ids[1]!, other, 999_999]) {
        for (const options of [{ before: id }, { after: id }, { after: ids[2]!, before: id }]) {
          await expect(store.listMessages("s", options)).rejects.toMatchObject({
            code: "message-not-found",
            details: { messageId: id, sessionId: "s" },
          });
        }
      }
      await store.deleteSession("s");
      await expect(store.listMessages("s", { before: ids[2]! })).rejects.toMatchObject({
        code: "message-not-found",
      });
    }));

  it.each([-1, 1.5, NaN, "3", null])("refuses the limit %p", (limit) =>
    withStore(async (store) => {
      await expect(store.listMessages("s", { limit: limit as number })).rejects.toMatchObject({
        code: "invalid-limit",
      });
    }),
  );

  it("of an unknown session is empty, and writes nothing", () =>
    withStore(async (store) => {
      expect(await store.listMessages("s")).toEqual([]);
      expect(await store.countMessages("s")).toBe(0);
      expect(await store.log.head()).toBe(-1);
    }));

  it("is the reader's own: changing it changes nothing in the store", () =>
    withStore(async (store) => {
      await store.saveMessage("s", "assistant", [{ kind: "tool", tool_id: "t" } as never].slice(1));
      const turn = await store.beginTurn("s");
      await turn.finish({ usage: { inputTokens: 1, raw: { a: 1 } } });
      const before = JSON.stringify(await store.listMessages("s"));
      const [, message] = await store.listMessages("s");
      Object.assign(message!, { content: "x", status: "failed" });
      (message!.usage!.raw as { a: number }).a = 2;
      message!.parts.push({ kind: "text", text: "more" });
      message!.createdAt.setTime(0);
      expect(JSON.stringify(await store.listMessages("s"))).toBe(before);
    }));
});

describe("a query is strong", () => {
  it("sees what another store was told is saved", () =>
    withStores(2, async (one, two) => {
      for (let number = 1; number <= 10; number++) {
        await (number % 2 === 0 ? one : two).saveMessage("s", "user", `${number}`);
        expect(await numbers(one)).toEqual(range(1, number));
        expect(await two.countMessages("s")).toBe(number);
        expect(await two.listSessions()).toMatchObject([{ id: "s", messageCount: number }]);
      }
    }));

  it("sees the deltas of another store's turn as soon as its flush resolves", () =>
    withStores(2, async (one, two) => {
      const turn = await one.beginTurn("s");
      let text = "";
      for (const piece of ["a", "b", "c"]) {
        text += piece;
        void turn.textDelta(piece);
        await turn.flush();
        expect(await two.lastAssistantMessage("s")).toMatchObject({ parts: [{ text }], status: "open" });
      }
    }));
});
