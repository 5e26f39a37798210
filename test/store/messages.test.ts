import { describe, expect, it } from "@jest/globals";
import type { RecordedEvent } from "../../src/log/event-log.ts";
import type { ConversationStore } from "../../src/store/conversation-store.ts";
import type { MessageContent } from "../../src/store/message-input.ts";
import { withStore, withStores } from "../support/memory-store.ts";

async function eventsOf(store: ConversationStore, session = "s"): Promise<RecordedEvent[]> {
  const events: RecordedEvent[] = [];
  for await (const event of store.log.readStream(`conversation-${session}`)) events.push(event);
  return events;
}

describe("saveMessage", () => {
  it.each(["user", "assistant", "system", "tool"] as const)("saves a text of role %s", (role) =>
    withStore(async (store) => {
      const before = Date.now();
      const id = await store.saveMessage("s", role, "hé\0llo \ud83d");
      expect(await store.listMessages("s")).toEqual([
        {
          id,
          role,
          content: "hé\0llo \ud83d",
          parts: [{ kind: "text", text: "hé\0llo \ud83d" }],
          branchesJson: "",
          activeBranch: 0,
          status: "saved",
          createdAt: expect.any(Date),
          updatedAt: expect.any(Date),
        },
      ]);
      const [{ createdAt } = { createdAt: new Date(0) }] = await store.listMessages("s");
      expect(createdAt.getTime()).toBeGreaterThanOrEqual(before);
      expect(createdAt.getTime()).toBeLessThanOrEqual(Date.now());
    }),
  );

  it("saves parts of every kind, with unknown kinds and keys, as their JSON", () =>
    withStore(async (store) => {
      const parts = [
        { kind: "text", text: "look", later: { a: [1] } },
        { kind: "reasoning", text: "hm", providerMetadata: { anthropic: { signature: "x" } } },
        { kind: "file", mediaType: "image/png", url: "https://example.org/a.png" },
        { kind: "file", mediaType: "text/plain", data: "aGk=", filename: "hi.txt" },
        { kind: "source", url: "https://example.org" },
        { kind: "tool", tool_id: "t", name: "n", input: "{", output: null, state: "output-available" },
        { kind: "step", finishReason: "stop", usage: { outputTokens: 1, raw: { any: "thing" } } },
        { kind: "hologram", depth: 3 },
      ];
      await store.saveMessage("s", "assistant", parts);
      expect(await store.listMessages("s")).toMatchObject([{ content: JSON.stringify(parts), parts }]);
    }));

  it("never takes a text for parts, whatever it looks like", () =>
    withStore(async (store) => {
      const text = '[{"kind":"text","text":"not mine"}]';
      await store.saveMessage("s", "user", text);
      expect(await store.listMessages("s")).toMatchObject([{ content: text, parts: [{ text }] }]);
    }));

  it("keeps an empty text and empty parts", () =>
    withStore(async (store) => {
      await store.saveMessage("s", "user", "");
      await store.saveMessage("s", "assistant", []);
      expect(await store.listMessages("s")).toMatchObject([
        { content: "", parts: [{ kind: "text", text: "" }] },
        { content: "[]", parts: [] },
      ]);
    }));

  it("keeps metadata as JSON does, and a copy of its own", () =>
    withStore(async (store) => {
      const metadata: Record<string, unknown> = { at: new Date(0), none: undefined, list: [undefined] };
      await store.saveMessage("s", "user", "q", { metadata });
      metadata["late"] = true;
      const expected = { at: "1970-01-01T00:00:00.000Z", list: [null] };
      const [message] = await store.listMessages("s");
      expect(message?.metadata).toEqual(expected);
      message!.metadata!["late"] = true;
      expect((await store.listMessages("s"))[0]?.metadata).toEqual(expected);
    }));
});

describe("an external id", () => {
  it("is saved once: again gives the first id and writes nothing, whatever the content", () =>
    withStore(async (store) => {
      const id = await store.saveMessage("s", "user", "one", { externalId: "x" });
      expect(await store.saveMessage("s", "system", "other", { externalId: "x" })).toBe(id);
      expect(await eventsOf(store)).toHaveLength(1);
      expect(await store.listMessages("s")).toMatchObject([{ content: "one", externalId: "x" }]);
    }));

  it("belongs to its session", () =>
    withStore(async (store) => {
      const one = await store.saveMessage("s", "user", "q", { externalId: "x" });
      expect(await store.saveMessage("t", "user", "q", { externalId: "x" })).not.toBe(one);
    }));

  it("may be empty", () =>
    withStore(async (store) => {
      const id = await store.saveMessage("s", "user", "q", { externalId: "" });
      expect(await store.saveMessage("s", "user", "q", { externalId: "" })).toBe(id);
      expect(await store.saveMessage("s", "user", "q")).not.toBe(id);
    }));

  it("is known after its message was replaced", () =>
    withStore(async (store) => {
      const id = await store.saveMessage("s", "user", "q", { externalId: "x" });
      await store.replaceMessages("s", []);
      expect(await store.saveMessage("s", "user", "q", { externalId: "x" })).toBe(id);
      expect(await store.countMessages("s")).toBe(0);
    }));

  it("of a message that a replacement brought is known too", () =>
    withStore(async (store) => {
      await store.replaceMessages("s", [{ role: "user", content: "q", externalId: "x" }]);
      const [message] = await store.listMessages("s");
      expect(await store.saveMessage("s", "user", "q", { externalId: "x" })).toBe(message?.id);
    }));

  it("is free again after the session was deleted", () =>
    withStore(async (store) => {
      const id = await store.saveMessage("s", "user", "q", { externalId: "x" });
      await store.deleteSession("s");
      const again = await store.saveMessage("s", "user", "q", { externalId: "x" });
      expect(again).not.toBe(id);
      expect(await store.listMessages("s")).toMatchObject([{ id: again }]);
    }));

  it("keeps beginTurn from saving the user's message twice", () =>
    withStore(async (store) => {
      const user = { content: "q", externalId: "x" };
      const id = await store.saveMessage("s", "user", "q", { externalId: "x" });
      const turn = await store.beginTurn("s", { user });
      expect((await store.listMessages("s")).map((message) => message.id)).toEqual([id, turn.messageId]);
    }));

  it("saved by two stores at once makes one message, 20 times", () =>
    withStores(2, async (one, two) => {
      for (let round = 0; round < 20; round++) {
        const externalId = `x${round}`;
        const ids = await Promise.all(
          [one, two, two, one].map((store) => store.saveMessage("s", "user", "q", { externalId })),
        );
        expect(new Set(ids).size).toBe(1);
        expect(await one.countMessages("s")).toBe(round + 1);
      }
    }));
});

describe("the newest assistant message", () => {
  it("is the last in the order of the conversation, finished or not", () =>
    withStore(async (store) => {
      const first = await store.saveMessage("s", "assistant", "one");
      const stub = await store.appendAssistantStub("s");
      await store.saveMessage("s", "user", "and?");
      expect(await store.lastAssistantMessage("s")).toMatchObject({ id: stub, content: "[]", parts: [] });
      await store.replaceMessages("s", [{ keep: stub }, { keep: first }]);
      expect(await store.lastAssistantMessage("s")).toMatchObject({ id: first });
      await store.replaceMessages("s", [{ keep: stub }]);
      expect(await store.findLastAssistantMessage("s")).toMatchObject({ id: stub });
    }));

  it.each([
    ["an unknown session", async (): Promise<unknown> => undefined],
    ["a session of user messages", (store: ConversationStore) => store.saveMessage("s", "user", "q")],
    [
      "a deleted session",
      async (store: ConversationStore) => {
        await store.saveMessage("s", "assistant", "a");
        await store.deleteSession("s");
      },
    ],
  ])("of %s: an error, and undefined in the form that finds", (_what, prepare) =>
    withStore(async (store) => {
      await prepare(store);
      await expect(store.lastAssistantMessage("s")).rejects.toMatchObject({
        code: "no-assistant-message",
        message: expect.stringContaining('"s"'),
      });
      expect(await store.findLastAssistantMessage("s")).toBeUndefined();
    }),
  );
});

describe("replaceMessages", () => {
  it("is one event, whatever the list", () =>
    withStore(async (store) => {
      const ids = [];
      for (const text of ["a", "b", "c", "d"]) ids.push(await store.saveMessage("s", "user", text));
      const [a = 0, b = 0] = ids;
      await store.replaceMessages("s", [
        { role: "system", content: "new" },
        { keep: b, count: 3 },
        { keep: a },
        { role: "tool", content: [{ kind: "text", text: "parts" }], externalId: "x", metadata: { m: 1 } },
      ]);
      expect((await eventsOf(store)).slice(4)).toMatchObject([
        {
          type: "MessagesReplaced",
          data: {
            through: 3,
            reason: "replace",
            messages: [{ content: "new" }, { keep: b, count: 3 }, { keep: a }, { format: "parts" }],
          },
        },
      ]);
      const list = await store.listMessages("s");
      expect(list.map(({ parts: [part] }) => (part as { text: string }).text)).toEqual([
        "new",
        "b",
        "c",
        "d",
        "a",
        "parts",
      ]);
      expect(list.at(-1)).toMatchObject({ externalId: "x", metadata: { m: 1 } });
    }));

  it("skips new messages of empty text and of no parts", () =>
    withStore(async (store) => {
      const empty: MessageContent[] = ["", []];
      await store.replaceMessages(
        "s",
        empty.map((content) => ({ role: "user" as const, content })),
      );
      expect(await store.listMessages("s")).toEqual([]);
    }));

  it("sees what another store has saved just before", () =>
    withStores(2, async (one, two) => {
      await one.saveMessage("s", "user", "a");
      await one.countMessages("s");
      await two.saveMessage("s", "user", "b");
      await one.replaceMessages("s", []);
      expect(await two.listMessages("s")).toEqual([]);
      expect(await two.listMessages("s", { includeReplaced: true })).toMatchObject([
        { content: "a", replaced: true },
        { content: "b", replaced: true },
      ]);
    }));

  it.each([
    ["an unknown message", (id: number) => [{ keep: id + 100 }], "message-not-found"],
    ["a message twice", (id: number) => [{ keep: id }, { keep: id }], "invalid-replacement"],
    ["a run that is too long", (id: number) => [{ keep: id, count: 2 }], "invalid-replacement"],
    ["a run of none", (id: number) => [{ keep: id, count: 0 }], "invalid-replacement"],
    ["a run of half a message", (id: number) => [{ keep: id, count: 1.5 }], "invalid-replacement"],
    ["a role that is none", () => [{ role: "robot" as "user", content: "a" }], "invalid-role"],
    ["content that is none", () => [{ role: "user" as const, content: 5 as never }], "invalid-content"],
  ])("refuses %s, and nothing changes", (_what, list, code) =>
    withStore(async (store) => {
      const id = await store.saveMessage("s", "user", "a");
      await expect(store.replaceMessages("s", list(id))).rejects.toMatchObject({ code });
      expect(await eventsOf(store)).toHaveLength(1);
      await store.replaceMessages("s", [{ keep: id }]);
    }),
  );
});
