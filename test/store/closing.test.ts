import { describe, expect, it } from "@jest/globals";
import type { ConversationStore } from "../../src/store/conversation-store.ts";
import { openConversationStore } from "../../src/store/open-conversation-store.ts";

let logs = 0;
/** The URL of a log in memory that nobody else uses. */
const ownUrl = (): string => `memory:closing-${process.pid}-${logs++}`;

async function eventTypes(store: ConversationStore, streamPrefix = ""): Promise<string[]> {
  const types: string[] = [];
  for await (const { type } of store.log.readAll({ streamPrefix })) types.push(type);
  return types;
}

/** A second store on the log of the first, for a look after the first has been closed. */
async function closedAndReopened(
  prepare: (store: ConversationStore) => Promise<unknown>,
  look: (store: ConversationStore) => Promise<void>,
): Promise<void> {
  const url = ownUrl();
  const reader = await openConversationStore(url);
  try {
    const store = await openConversationStore(url, { flushIntervalMs: 60_000 });
    try {
      await prepare(store);
    } finally {
      await store.close();
    }
    await look(reader);
  } finally {
    await reader.close();
  }
}

describe("close", () => {
  it("writes what open turns have buffered and leaves them open", () =>
    closedAndReopened(
      async (store) => {
        for (const session of ["a", "b"]) {
          const turn = await store.beginTurn(session);
          void turn.textDelta("buf");
          void turn.textDelta("fered");
        }
      },
      async (store) => {
        for (const session of ["a", "b"]) {
          expect(await store.lastAssistantMessage(session)).toMatchObject({
            parts: [{ text: "buffered" }],
            status: "open",
          });
        }
        expect(await eventTypes(store, "conversation-")).not.toContain("TurnEnded");
        expect(await store.recoverInterruptedTurns()).toHaveLength(2);
      },
    ));

  it("waits for every call that was made before it", () =>
    closedAndReopened(
      async (store) => {
        for (let number = 0; number < 20; number++) void store.saveMessage("s", "user", `${number}`);
        void store.updateSession("s", { title: "t" });
      },
      async (store) => {
        expect((await store.listMessages("s")).map(({ content }) => Number(content))).toEqual(
          Array.from({ length: 20 }, (_, index) => index),
        );
        expect(await store.listSessions()).toMatchObject([{ title: "t" }]);
      },
    ));

  it("waits for a call that must first look up the session of its message", async () => {
    const url = ownUrl();
    const [one, two] = [await openConversationStore(url), await openConversationStore(url)];
    const id = await one.appendAssistantStub("s");
    const updated = two.updateBranches(id, "[1]", "", 0);
    await two.close();
    await updated;
    expect(await one.lastAssistantMessage("s")).toMatchObject({ content: "[1]" });
    await one.close();
  });

  it("says in the log that the writer has stopped, last of all its events", () =>
    closedAndReopened(
      (store) => store.saveMessage("s", "user", "q"),
      async (store) => expect((await eventTypes(store)).at(-1)).toBe("WriterStopped"),
    ));

  it("of a store that only read writes nothing", () =>
    closedAndReopened(
      async (store) => {
        await store.listMessages("s");
        await store.listSessions();
        await store.recoverInterruptedTurns();
        await store.deleteSession("s");
      },
      async (store) => expect(await eventTypes(store)).toEqual([]),
    ));

  it("may be called twice and at once", async () => {
    const store = await openConversationStore(ownUrl());
    await store.saveMessage("s", "user", "q");
    await Promise.all([store.close(), store.close()]);
    await store.close();
  });

  it("ends every later call with store-closed", async () => {
    const store = await openConversationStore(ownUrl());
    const id = await store.appendAssistantStub("s");
    await store.close();
    const calls: (() => unknown)[] = [
      () => store.saveMessage("s", "user", "q"),
      () => store.appendAssistantStub("s"),
      () => store.updateBranches(id, "x", "", 0),
      () => store.endTurn(id, "finished"),
      () => store.selectBranch(id, 0),
      () => store.beginTurn("s"),
      () => store.regenerate("s"),
      () => store.listMessages("s"),
      () => store.getMessages("s"),
      () => store.toUIMessages("s"),
      () => store.lastAssistantMessage("s"),
      () => store.findLastAssistantMessage("s"),
      () => store.replaceMessages("s", []),
      () => store.readSession("s"),
      () => store.countMessages("s"),
      () => store.listSessions(),
      () => store.listSessionSizes(),
      () => store.updateSession("s", {}),
      () => store.deleteSession("s"),
      () => store.unendedTurns(),
      () => store.recoverInterruptedTurns(),
      () => store.watchMessages("s"),
      () => store.watch("s"),
    ];
    for (const call of calls) {
      await expect((async () => call())()).rejects.toMatchObject({ code: "store-closed" });
    }
  });

  it("lets go of the turns: their later calls say that the store was closed", async () => {
    const store = await openConversationStore(ownUrl());
    const turn = await store.beginTurn("s");
    await store.close();
    await expect(turn.textDelta("late")).rejects.toMatchObject({ code: "store-closed" });
    await expect(turn.finish()).rejects.toMatchObject({ code: "store-closed" });
    await expect(turn.flush()).rejects.toMatchObject({ code: "store-closed" });
  });

  it("leaves another store on the same log alone", async () => {
    const url = ownUrl();
    const [one, two] = [await openConversationStore(url), await openConversationStore(url)];
    await one.saveMessage("s", "user", "one");
    await one.close();
    await two.saveMessage("s", "user", "two");
    expect(await two.countMessages("s")).toBe(2);
    await two.close();
  });
});

describe("calls that are not awaited", () => {
  it("of one session take effect in the order in which they are made, whatever their kind", () =>
    closedAndReopened(
      async (store) => {
        const id = await store.appendAssistantStub("s");
        void store.updateBranches(id, "[1]", "", 0);
        void store.saveMessage("s", "user", "a");
        void store.endTurn(id, "finished");
        void store.updateSession("s", { title: "t" });
        void store.updateBranches(id, "[2]", "", 0);
        void store.replaceMessages("s", [{ role: "system", content: "sum" }]);
        void store.saveMessage("s", "user", "b");
        await store.deleteSession("s");
      },
      async (store) =>
        expect(await eventTypes(store, "conversation-")).toEqual([
          "AssistantStubAppended",
          "BranchesUpdated",
          "MessageSaved",
          "TurnEnded",
          "SessionUpdated",
          "BranchesUpdated",
          "MessagesReplaced",
          "MessageSaved",
          "SessionDeleted",
        ]),
    ));

  it("keep that order for a message that another store made", async () => {
    const url = ownUrl();
    const [one, two] = [await openConversationStore(url), await openConversationStore(url)];
    try {
      const id = await one.appendAssistantStub("s");
      void two.updateBranches(id, "[1]", "", 0);
      void two.saveMessage("s", "user", "a");
      await two.replaceMessages("s", []);
      expect(await eventTypes(one, "conversation-")).toEqual([
        "AssistantStubAppended",
        "BranchesUpdated",
        "MessageSaved",
        "MessagesReplaced",
      ]);
    } finally {
      await one.close();
      await two.close();
    }
  });
});
