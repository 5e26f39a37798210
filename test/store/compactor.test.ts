import { describe, expect, it } from "@jest/globals";
import type { StoredPart } from "../../src/events/stored-part.ts";
import { Compactor } from "../../src/store/compactor.ts";
import type { ConversationStore } from "../../src/store/conversation-store.ts";
import { withStore } from "../support/memory-store.ts";

async function fill(store: ConversationStore, count: number): Promise<number[]> {
  const ids: number[] = [];
  for (let index = 0; index < count; index++) {
    ids.push(await store.saveMessage("s", index % 2 === 0 ? "user" : "assistant", `message ${index}`));
  }
  return ids;
}

const contents = async (store: ConversationStore): Promise<string[]> =>
  (await store.listMessages("s", { limit: Infinity })).map((message) => message.content);

const summarize = async (messages: { content: string }[]): Promise<string> =>
  `${messages.length} from ${messages[0]?.content}`;

describe("the compactor", () => {
  it("leaves a short conversation alone", () =>
    withStore(async (store) => {
      await fill(store, 6);
      const compactor = new Compactor({ maxMessages: 6, summarize });
      expect(await compactor.compact(store, "s")).toMatchObject({ strategy: "none", replaced: 0, kept: 6 });
    }));

  it("puts one summary before the newest half, and keeps ids, dates and branches", () =>
    withStore(async (store) => {
      const ids = await fill(store, 7);
      await store.updateBranches(ids[5]!, "[]", '[["old"]]', 0);
      const before = await store.listMessages("s", { limit: Infinity });
      const result = await new Compactor({ maxMessages: 6, summarize }).compact(store, "s");
      expect(result).toMatchObject({ strategy: "summarize", replaced: 4, kept: 3 });
      const after = await store.listMessages("s", { limit: Infinity });
      expect(after[0]).toMatchObject({
        id: result.summaryId,
        role: "system",
        content: "[Conversation summary]: 4 from message 0",
      });
      expect(after.slice(1)).toEqual(before.slice(4));
    }));

  it("shows everything still, marked, where replaced messages are asked for", () =>
    withStore(async (store) => {
      await fill(store, 5);
      await new Compactor({ maxMessages: 4, strategy: "sliding" }).compact(store, "s");
      const all = await store.listMessages("s", { includeReplaced: true });
      expect(all.map(({ content, replaced }) => [content, replaced ?? false])).toEqual([
        ["message 0", true],
        ["message 1", false],
        ["message 2", false],
        ["message 3", false],
        ["message 4", false],
      ]);
    }));

  it("writes one event, which names what stays", () =>
    withStore(async (store) => {
      const ids = await fill(store, 5);
      await new Compactor({ maxMessages: 4, strategy: "sliding" }).compact(store, "s");
      const newest = [];
      for await (const { data } of store.log.readStream("conversation-s", { from: 5 })) newest.push(data);
      expect(newest).toEqual([{ through: 4, messages: [{ keep: ids[1], count: 4 }], reason: "compaction" }]);
    }));

  it.each([
    ["fails", async () => Promise.reject(new Error("model down")), /failed: model down/],
    ["returns nothing", async () => "  ", /returned nothing/],
    ["takes too long", () => new Promise<string>(() => undefined), /longer than 20 ms/],
  ])("slides when summarize %s, and says so", (_what, broken, reason) =>
    withStore(async (store) => {
      await fill(store, 9);
      const result = await new Compactor({ maxMessages: 6, summarize: broken, timeoutMs: 20 }).compact(
        store,
        "s",
      );
      expect(result).toMatchObject({
        strategy: "sliding",
        kept: 6,
        replaced: 3,
        reason: expect.stringMatching(reason),
      });
      expect(await contents(store)).toHaveLength(6);
    }),
  );

  it("tells summarize when its time is up", () =>
    withStore(async (store) => {
      await fill(store, 9);
      let late: Promise<string> | undefined;
      const compactor = new Compactor({
        maxMessages: 6,
        timeoutMs: 1,
        summarize: (_messages, { signal }) =>
          (late = new Promise((_resolve, reject) => {
            signal.addEventListener("abort", () => reject(new Error("stopped")));
          })),
      });
      expect(await compactor.compact(store, "s")).toMatchObject({ strategy: "sliding" });
      await expect(late).rejects.toThrow("stopped");
    }));

  it("keeps half of the limits where it summarizes, rounded down", () =>
    withStore(async (store) => {
      await fill(store, 8);
      expect(await new Compactor({ maxMessages: 7, summarize }).compact(store, "s")).toMatchObject({
        kept: 3,
      });
      await store.deleteSession("s");
      await fill(store, 10);
      const byTokens = new Compactor({ maxTokens: 12, estimateTokens: () => 2, summarize });
      expect(await byTokens.compact(store, "s")).toMatchObject({ kept: 3, replaced: 7 });
    }));

  it("takes four characters for a token", () =>
    withStore(async (store) => {
      for (let index = 0; index < 4; index++) await store.saveMessage("s", "user", "x".repeat(10));
      const compact = () => new Compactor({ strategy: "sliding", maxTokens: 10 }).compact(store, "s");
      expect(await compact()).toMatchObject({ strategy: "none" });
      await store.saveMessage("s", "user", "x");
      expect(await compact()).toMatchObject({ strategy: "sliding", kept: 4 });
    }));

  it("counts tokens, and keeps at least two messages", () =>
    withStore(async (store) => {
      await fill(store, 10);
      const compactor = new Compactor({ strategy: "sliding", maxTokens: 5, estimateTokens: () => 2 });
      expect(await compactor.compact(store, "s")).toMatchObject({ kept: 2, replaced: 8 });
      const tight = new Compactor({ strategy: "sliding", maxTokens: 1 });
      expect(await tight.compact(store, "s")).toMatchObject({ strategy: "none" });
    }));

  it("does not keep a tool's result without its call", () =>
    withStore(async (store) => {
      await store.saveMessage("s", "user", "q");
      await store.saveMessage("s", "assistant", "calls");
      await store.saveMessage("s", "tool", "result 1");
      await store.saveMessage("s", "tool", "result 2");
      await new Compactor({ strategy: "sliding", maxMessages: 2 }).compact(store, "s");
      expect(await contents(store)).toEqual(["calls", "result 1", "result 2"]);
    }));

  it("does not either where something was said in between, or where one message has results of several", () =>
    withStore(async (store) => {
      const tool = (id: string, more: object = {}) =>
        ({
          kind: "tool",
          tool_id: id,
          name: "t",
          input: "{}",
          state: "input-available",
          ...more,
        }) as StoredPart;
      const result = { state: "output-available", output: 1 };
      await store.saveMessage("s", "user", "dropped");
      await store.saveMessage("s", "assistant", [tool("a")]);
      await store.saveMessage("s", "assistant", [tool("b")]);
      await store.saveMessage("s", "user", "and?");
      await store.saveMessage("s", "tool", [tool("a", result), tool("b", result)]);
      const compact = () => new Compactor({ strategy: "sliding", maxMessages: 2 }).compact(store, "s");
      expect(await compact()).toMatchObject({ replaced: 1, kept: 4 });
      expect(await compact()).toMatchObject({ strategy: "none" });
      // A result whose call is not there holds on to nothing.
      await store.saveMessage("s", "user", "next");
      await store.saveMessage("s", "tool", [tool("unknown", result)]);
      expect(await compact()).toMatchObject({ replaced: 4, kept: 2 });
    }));

  it("leaves an open turn in its place, with all that was said since", () =>
    withStore(async (store) => {
      await fill(store, 3);
      const turn = await store.beginTurn("s");
      for (const text of ["later 1", "later 2", "later 3"]) await store.saveMessage("s", "user", text);
      const result = await new Compactor({ strategy: "sliding", maxMessages: 2 }).compact(store, "s");
      expect(result).toMatchObject({ replaced: 3, kept: 4 });
      expect((await store.listMessages("s")).map(({ id, content }) => [id, content])).toEqual([
        [turn.messageId, "[]"],
        [expect.any(Number), "later 1"],
        [expect.any(Number), "later 2"],
        [expect.any(Number), "later 3"],
      ]);
      await turn.finish();
    }));

  it("keeps what comes while it summarizes, and the turn that is open", () =>
    withStore(async (store) => {
      await fill(store, 5);
      const turn = await store.beginTurn("s");
      void turn.textDelta("so far");
      await turn.flush();
      const compactor = new Compactor({
        maxMessages: 2,
        summarize: async () => {
          await store.saveMessage("s", "user", "came later");
          return "sum";
        },
      });
      await compactor.compact(store, "s");
      await turn.finish();
      expect(await contents(store)).toEqual([
        "[Conversation summary]: sum",
        "message 4",
        '[{"kind":"text","text":"so far"}]',
        "came later",
      ]);
    }));

  it("does nothing when the conversation was replaced meanwhile", () =>
    withStore(async (store) => {
      await fill(store, 5);
      const compactor = new Compactor({
        maxMessages: 2,
        summarize: async () => {
          await store.replaceMessages("s", [{ role: "user", content: "fresh start" }]);
          return "sum";
        },
      });
      expect(await compactor.compact(store, "s")).toMatchObject({
        strategy: "none",
        reason: expect.stringMatching(/meanwhile/),
      });
      expect(await contents(store)).toEqual(["fresh start"]);
    }));

  it("refuses settings that cannot work", () => {
    expect(() => new Compactor({ strategy: "sliding" })).toThrow(
      expect.objectContaining({ code: "invalid-compactor" }),
    );
    expect(() => new Compactor({ maxMessages: 3 })).toThrow(
      expect.objectContaining({ code: "invalid-compactor" }),
    );
    expect(() => new Compactor({ strategy: "sliding", maxMessages: 0 })).toThrow(
      expect.objectContaining({ code: "invalid-compactor" }),
    );
  });
});
