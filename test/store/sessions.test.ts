import { describe, expect, it } from "@jest/globals";
import type { ConversationStore } from "../../src/store/conversation-store.ts";
import { openConversationStore } from "../../src/store/open-conversation-store.ts";
import { withStore, withStores } from "../support/memory-store.ts";

/** Session ids of a list. */
const idsOf = (sessions: { id: string }[]): string[] => sessions.map(({ id }) => id);

async function countEvents(store: ConversationStore, session = "s"): Promise<number> {
  let count = 0;
  for await (const _event of store.log.readStream(`conversation-${session}`)) count++;
  return count;
}

describe("a session", () => {
  it("has a title and metadata, which change by themselves and are cleared by null", () =>
    withStore(async (store) => {
      await store.saveMessage("s", "user", "q");
      expect((await store.listSessions())[0]).toEqual({
        id: "s",
        messageCount: 1,
        lastActive: expect.any(Date),
      });
      await store.updateSession("s", { title: "First", metadata: { a: 1 } });
      await store.updateSession("s", { title: "Second" });
      expect(await store.listSessions()).toMatchObject([{ title: "Second" }]);
      await store.updateSession("s", { title: null });
      expect((await store.listSessions())[0]).not.toHaveProperty("title");
      expect(await countEvents(store)).toBe(4);
    }));

  it("that does not change writes nothing", () =>
    withStore(async (store) => {
      await store.updateSession("s", {});
      await store.updateSession("s", { title: null, metadata: null });
      expect(await countEvents(store)).toBe(0);
      await store.updateSession("s", { title: "", metadata: { a: 1 } });
      await store.updateSession("s", { title: "", metadata: { a: 1 } });
      await store.updateSession("s", { metadata: { a: 1 } });
      expect(await countEvents(store)).toBe(1);
    }));

  it.each([
    ["a title that is no text", { title: 5 as never }, "invalid-event"],
    ["metadata that is a list", { metadata: [1] as never }, "invalid-metadata"],
    ["metadata that JSON cannot hold", { metadata: { big: 1n } }, "invalid-metadata"],
  ])("refuses %s, and can still be read", (_what, changes, code) =>
    withStore(async (store) => {
      await expect(store.updateSession("s", changes)).rejects.toMatchObject({ code });
      await store.updateSession("s", { title: "good" });
      expect(await store.listSessions()).toMatchObject([{ title: "good" }]);
    }),
  );

  it("that is deleted is gone from every query; used again it starts empty", () =>
    withStore(async (store) => {
      const id = await store.saveMessage("s", "assistant", "a");
      await store.updateSession("s", { title: "t" });
      await store.deleteSession("s");
      expect(await store.listSessions()).toEqual([]);
      expect(await store.listMessages("s", { includeReplaced: true })).toEqual([]);
      expect(await store.countMessages("s")).toBe(0);
      await expect(store.updateBranches(id, "x", "", 0)).rejects.toMatchObject({ code: "message-not-found" });
      await store.saveMessage("s", "user", "again");
      expect(await store.listMessages("s")).toMatchObject([{ content: "again" }]);
      expect((await store.listSessions())[0]).not.toHaveProperty("title");
    }));

  it("that does not exist is deleted without an error and without an event", () =>
    withStore(async (store) => {
      await store.deleteSession("s");
      await store.saveMessage("s", "user", "q");
      await store.deleteSession("s");
      await store.deleteSession("s");
      expect(await countEvents(store)).toBe(2);
    }));

  it("is deleted though another store wrote to it last", () =>
    withStores(2, async (one, two) => {
      await one.saveMessage("s", "user", "q");
      await two.saveMessage("s", "user", "q");
      await one.deleteSession("s");
      expect(await two.countMessages("s")).toBe(0);
      await two.saveMessage("s", "user", "again");
      expect(await one.listMessages("s")).toMatchObject([{ content: "again" }]);
    }));
});

describe("the list of sessions", () => {
  /** Sessions whose newest events are a millisecond apart at least. */
  async function spaced(store: ConversationStore, ...ids: string[]): Promise<void> {
    for (const id of ids) {
      const before = Date.now();
      while (Date.now() === before) await new Promise((resolve) => setImmediate(resolve));
      await store.saveMessage(id, "user", "q");
    }
  }

  it("is by the newest event, newest first", () =>
    withStore(async (store) => {
      await spaced(store, "a", "b", "c", "a");
      expect(idsOf(await store.listSessions())).toEqual(["a", "c", "b"]);
      const [a] = await store.listSessions();
      expect(a).toMatchObject({ messageCount: 2 });
      expect(Math.abs(a!.lastActive.getTime() - Date.now())).toBeLessThan(60_000);
    }));

  it("is by default of 50, and leads on by its last session, ties included", () =>
    withStore(async (store) => {
      const all = Array.from({ length: 60 }, (_, index) => `s${index}`);
      await Promise.all(all.map((id) => store.saveMessage(id, "user", "q")));
      const first = await store.listSessions();
      expect(first).toHaveLength(50);
      const rest = await store.listSessions({ cursor: first.at(-1) });
      expect(idsOf([...first, ...rest]).toSorted()).toEqual(all.toSorted());
      const paged: string[] = [];
      for (let cursor; ;) {
        const page = await store.listSessions({ limit: 7, cursor });
        if (page.length === 0) break;
        paged.push(...idsOf(page));
        cursor = page.at(-1);
      }
      expect(paged).toEqual(idsOf([...first, ...rest]));
      expect(idsOf(await store.listSessions({ limit: Infinity }))).toEqual(paged);
    }));

  it("may be of the ids with a prefix, compared as they are", () =>
    withStore(async (store) => {
      for (const id of ["user-1/a", "user-1/b", "user-10/a", "User-1/a", "%"])
        await store.saveMessage(id, "user", "q");
      expect(idsOf(await store.listSessions({ prefix: "user-1/" })).toSorted()).toEqual([
        "user-1/a",
        "user-1/b",
      ]);
      expect(idsOf(await store.listSessions({ prefix: "%" }))).toEqual(["%"]);
      expect(await store.listSessions({ prefix: "nobody" })).toEqual([]);
      expect(await store.listSessions({ prefix: "user-1", limit: 2 })).toHaveLength(2);
    }));

  it.each([-1, 1.5, NaN, "3"])("refuses the limit %p", (limit) =>
    withStore(async (store) => {
      await store.saveMessage("s", "user", "q");
      await expect(store.listSessions({ limit: limit as number })).rejects.toMatchObject({
        code: "invalid-limit",
      });
    }),
  );

  it("of the sizes counts all events and their bytes, deleted ones too", () =>
    withStore(async (store) => {
      await store.saveMessage("s", "user", "gone");
      await store.deleteSession("s");
      await store.saveMessage("s", "user", "é");
      let bytes = 0;
      for await (const { data, metadata } of store.log.readStream("conversation-s"))
        bytes += Buffer.byteLength(JSON.stringify(data)) + Buffer.byteLength(JSON.stringify(metadata));
      expect(await store.listSessionSizes()).toMatchObject([{ id: "s", messageCount: 1, events: 3, bytes }]);
    }));
});

describe("session ids", () => {
  it.each(["a", "ü 😀 / % _ ' \" \\", " ", "__proto__", "..", "x".repeat(512), "é", "e\u0301"])(
    "may be %p",
    (id) =>
      withStore(async (store) => {
        const message = await store.saveMessage(id, "user", "q");
        await store.updateBranches(message, "r", "", 0);
        expect(await store.listMessages(id)).toMatchObject([{ content: "r" }]);
        expect(idsOf(await store.listSessions())).toEqual([id]);
      }),
  );

  it("are not normalised: é and e with an accent are two", () =>
    withStore(async (store) => {
      await store.saveMessage("é", "user", "one");
      expect(await store.listMessages("e\u0301")).toEqual([]);
    }));

  it.each([
    "",
    "x".repeat(513),
    "a\nb",
    "\0",
    "\u007f",
    "\u0085",
    "\ud83d",
    "a\udc00",
    5,
    null,
    undefined,
    {},
  ])("cannot be %p, in any method", (bad) =>
    withStore(async (store) => {
      const id = bad as string;
      const calls: (() => unknown)[] = [
        () => store.saveMessage(id, "user", "q"),
        () => store.appendAssistantStub(id),
        () => store.beginTurn(id),
        () => store.regenerate(id),
        () => store.listMessages(id),
        () => store.getMessages(id),
        () => store.toUIMessages(id),
        () => store.lastAssistantMessage(id),
        () => store.findLastAssistantMessage(id),
        () => store.replaceMessages(id, []),
        () => store.countMessages(id),
        () => store.updateSession(id, { title: "t" }),
        () => store.deleteSession(id),
        () => store.readSession(id),
        () => store.watchMessages(id),
      ];
      for (const call of calls) {
        await expect((async () => call())()).rejects.toMatchObject({ code: "invalid-session-id" });
      }
      expect(await store.log.head()).toBe(-1);
    }),
  );
});

describe("a cache of one session", () => {
  it("changes no answer", async () => {
    const store = await openConversationStore("memory:", { cachedSessions: 1, flushIntervalMs: 0 });
    try {
      const turns = [];
      for (const session of ["a", "b", "c"]) {
        await store.saveMessage(session, "user", session, { externalId: "x" });
        turns.push(await store.beginTurn(session));
      }
      for (const text of ["1", "2", "3"]) for (const turn of turns) void turn.textDelta(text);
      const known = await Promise.all(
        ["a", "b", "c"].map((session) => store.saveMessage(session, "user", "", { externalId: "x" })),
      );
      await Promise.all(turns.map((turn) => turn.finish()));
      for (const [index, session] of ["a", "b", "c"].entries()) {
        expect(await store.listMessages(session)).toMatchObject([
          { id: known[index], content: session },
          { status: "finished", parts: [{ text: "123" }] },
        ]);
      }
    } finally {
      await store.close();
    }
  });
});
