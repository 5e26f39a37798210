import { describe, expect, it } from "@jest/globals";
import fc from "fast-check";
import type { RecordedEvent } from "../../src/log/event-log.ts";
import type { ConversationStore } from "../../src/store/conversation-store.ts";
import { anyText, propertyRuns } from "../support/arbitraries.ts";
import { withStore, withStores } from "../support/memory-store.ts";

const text = (content: string): string => JSON.stringify([{ kind: "text", text: content }]);

async function eventsOf(store: ConversationStore): Promise<RecordedEvent[]> {
  const events: RecordedEvent[] = [];
  for await (const event of store.log.readStream("conversation-s")) events.push(event);
  return events;
}

describe("updateBranches", () => {
  it("takes for unchanged what the log says, and not what this store saw last", () =>
    withStores(2, async (one, other) => {
      const id = await one.appendAssistantStub("s");
      await one.updateBranches(id, "[1]");
      await other.updateBranches(id, "[2]");
      await one.updateBranches(id, "[1]");
      expect((await other.lastAssistantMessage("s")).content).toBe("[1]");
    }));

  it("keeps only what changed: content as one splice, with its length", () =>
    withStore(async (store) => {
      const id = await store.appendAssistantStub("s");
      await store.updateBranches(id, text("Hello"), "", 0);
      await store.updateBranches(id, text("Hello world"), "", 0);
      await store.updateBranches(id, text("Hallo world"), "", 0);
      const updates = (await eventsOf(store)).slice(1);
      expect(updates.map(({ data }) => data)).toEqual([
        { messageId: id, content: [[1, 0, '{"kind":"text","text":"Hello"}']], length: 32 },
        { messageId: id, content: [[29, 0, " world"]], length: 38 },
        { messageId: id, content: [[25, 1, "a"]], length: 38 },
      ]);
      expect(updates.every(({ metadata }) => metadata["cause"] === "update")).toBe(true);
    }));

  it("keeps branches and active branch by themselves, in one event where both change", () =>
    withStore(async (store) => {
      const id = await store.saveMessage("s", "assistant", text("now"));
      await store.updateBranches(id, text("now"), "[[1]]", 0);
      await store.updateBranches(id, text("now"), "[[1]]", 1);
      await store.updateBranches(id, text("now"), "[[1],[2]]", 2);
      const updates = (await eventsOf(store)).slice(1);
      expect(updates.map(({ data }) => data)).toEqual([
        { messageId: id, branches: [[0, 0, "[[1]]"]] },
        { messageId: id, activeBranch: 1 },
        { messageId: id, branches: [[4, 0, ",[2]"]], activeBranch: 2 },
      ]);
    }));

  it("writes nothing where nothing changed", () =>
    withStore(async (store) => {
      const id = await store.appendAssistantStub("s");
      await store.updateBranches(id, "[]", "", 0);
      await store.updateBranches(id, text("a"), "[[1]]", 1);
      await store.updateBranches(id, text("a"), "[[1]]", 1);
      expect(await eventsOf(store)).toHaveLength(2);
    }));

  it("takes no branches and the content as the default", () =>
    withStore(async (store) => {
      const id = await store.appendAssistantStub("s");
      await store.updateBranches(id, text("a"), "[[1]]", 1);
      await store.updateBranches(id, text("a"));
      expect(await store.listMessages("s")).toMatchObject([{ branchesJson: "", activeBranch: 0 }]);
    }));

  it.each([
    ["no JSON", "[{not json"],
    ["JSON that is no array", '{"a":1}'],
    ["an array that is none of parts", "[1,2]"],
    ["plain text", "plain"],
    ["nothing", ""],
    ["lone surrogates and NUL", "\ud83d\0\ude00\udfff"],
    ["JSON with its own white space", '[ {"kind" : "text",\n"text":"a"} ]'],
  ])("keeps a content of %s exactly", (_what, content) =>
    withStore(async (store) => {
      const id = await store.appendAssistantStub("s");
      await store.updateBranches(id, content, "", 0);
      expect((await store.lastAssistantMessage("s")).content).toBe(content);
    }),
  );

  it("keeps any sequence of contents exactly, split surrogates too", () =>
    fc.assert(
      fc.asyncProperty(fc.array(anyText(60), { maxLength: 8 }), (contents) =>
        withStore(async (store) => {
          const id = await store.appendAssistantStub("s");
          for (const content of contents) {
            await store.updateBranches(id, content, "", 0);
            expect((await store.lastAssistantMessage("s")).content).toBe(content);
          }
        }),
      ),
      propertyRuns(50) as object,
    ));

  it.each(["{}", "null", "[", "x", '"[]"', " "])("refuses the branches %p, and nothing changes", (branches) =>
    withStore(async (store) => {
      const id = await store.appendAssistantStub("s");
      await expect(store.updateBranches(id, "new", branches, 0)).rejects.toMatchObject({
        code: "invalid-branches",
      });
      expect(await store.lastAssistantMessage("s")).toMatchObject({ content: "[]", branchesJson: "" });
      await store.updateBranches(id, "new", "[]", 0);
    }),
  );

  it.each([
    ["", 1],
    ["[]", 1],
    ["[[1],[2]]", 3],
    ["[[1]]", -1],
    ["[[1]]", 0.5],
    ["[[1]]", NaN],
    ["[[1]]", "1"],
  ])("of the branches %p there is no variant %p", (branches, active) =>
    withStore(async (store) => {
      const id = await store.appendAssistantStub("s");
      await expect(store.updateBranches(id, "new", branches, active as number)).rejects.toMatchObject({
        code: "branch-not-found",
      });
      expect(await eventsOf(store)).toHaveLength(1);
    }),
  );

  it("refuses what is no string", () =>
    withStore(async (store) => {
      const id = await store.appendAssistantStub("s");
      for (const wrong of [undefined, null, 5, []]) {
        await expect(store.updateBranches(id, wrong as never, "", 0)).rejects.toMatchObject({
          code: "invalid-content",
        });
        if (wrong === undefined) continue; // The default.
        await expect(store.updateBranches(id, "new", wrong as never, 0)).rejects.toMatchObject({
          code: "invalid-branches",
        });
      }
      expect(await eventsOf(store)).toHaveLength(1);
    }));

  it("of a message that was replaced: message-not-found, until it is brought back", () =>
    withStore(async (store) => {
      const id = await store.saveMessage("s", "assistant", "a");
      await store.replaceMessages("s", []);
      const refused = expect.objectContaining({ code: "message-not-found" });
      await expect(store.updateBranches(id, "b", "", 0)).rejects.toEqual(refused);
      await expect(store.endTurn(id, "finished")).rejects.toEqual(refused);
      await expect(store.selectBranch(id, 0)).rejects.toEqual(refused);
      await store.replaceMessages("s", [{ keep: id }]);
      await store.updateBranches(id, "b", "", 0);
      expect(await store.listMessages("s")).toMatchObject([{ content: "b" }]);
    }));
});

describe("endTurn", () => {
  it("ends a stub that updateBranches filled, with its usage", () =>
    withStore(async (store) => {
      const id = await store.appendAssistantStub("s");
      await store.updateBranches(id, text("done"), "", 0);
      await store.endTurn(id, "finished", { usage: { outputTokens: 7 } });
      expect(await store.listMessages("s")).toMatchObject([
        { status: "finished", usage: { outputTokens: 7 }, content: text("done") },
      ]);
    }));

  it("ends once, and what has ended can still be updated", () =>
    withStore(async (store) => {
      const id = await store.appendAssistantStub("s");
      await store.endTurn(id, "aborted");
      await expect(store.endTurn(id, "finished")).rejects.toMatchObject({
        code: "turn-ended",
        message: expect.stringContaining("aborted"),
      });
      await store.updateBranches(id, text("late"), "", 0);
      expect(await store.listMessages("s")).toMatchObject([{ status: "aborted", content: text("late") }]);
    }));

  it.each(["user", "system", "tool"] as const)("refuses a message of role %s", (role) =>
    withStore(async (store) => {
      const id = await store.saveMessage("s", role, "q");
      await expect(store.endTurn(id, "finished")).rejects.toMatchObject({ code: "turn-ended" });
    }),
  );

  it("refuses an outcome or usage that is none, and the session can still be read", () =>
    withStore(async (store) => {
      const id = await store.appendAssistantStub("s");
      await expect(store.endTurn(id, "exploded" as "failed")).rejects.toMatchObject({
        code: "invalid-event",
      });
      const usage = { inputTokens: "many" as never };
      await expect(store.endTurn(id, "failed", { usage })).rejects.toMatchObject({ code: "invalid-event" });
      expect(await store.listMessages("s")).toMatchObject([{ status: "filling" }]);
      await store.endTurn(id, "failed");
    }));
});
