import { describe, expect, it } from "@jest/globals";
import type { ConversationStore } from "../../src/store/conversation-store.ts";
import { withStore } from "../support/memory-store.ts";

const OLD = [{ kind: "text", text: "old answer" }];

async function answered(store: ConversationStore): Promise<number> {
  const turn = await store.beginTurn("s", { user: "question" });
  void turn.textDelta("old answer");
  await turn.finish({ usage: { outputTokens: 2 } });
  return turn.messageId;
}

describe("regenerate", () => {
  it("moves the old answer to the branches in the append that begins the turn", () =>
    withStore(async (store) => {
      const id = await answered(store);
      const head = (await store.readSession("s")).revision;
      const turn = await store.regenerate("s", { model: "m2" });
      const begun = [];
      for await (const { type, data, metadata } of store.log.readStream("conversation-s", {
        from: head + 1,
      })) {
        begun.push([type, data, metadata["cause"]]);
      }
      expect(begun).toEqual([
        [
          "TurnStarted",
          { turnId: turn.turnId, messageId: id, kind: "regenerate", model: "m2" },
          "regenerate",
        ],
        ["BranchesUpdated", { messageId: id, pushContent: true }, "regenerate"],
      ]);
      expect(await store.lastAssistantMessage("s")).toMatchObject({
        id,
        status: "open",
        content: "[]",
        branchesJson: JSON.stringify([OLD]),
        activeBranch: 1,
      });
      expect(await store.lastAssistantMessage("s")).not.toHaveProperty("usage");
    }));

  it("ends as the newest variant, and older ones can be selected", () =>
    withStore(async (store) => {
      const id = await answered(store);
      const turn = await store.regenerate("s");
      await expect(store.selectBranch(id, 0)).rejects.toMatchObject({ code: "turn-open" });
      void turn.textDelta("new answer");
      await turn.finish();
      expect(await store.getMessages("s")).toMatchObject([{}, { content: [{ text: "new answer" }] }]);
      await store.selectBranch(id, 0);
      expect(await store.getMessages("s")).toMatchObject([{}, { content: [{ text: "old answer" }] }]);
      await expect(store.selectBranch(id, 2)).rejects.toMatchObject({ code: "branch-not-found" });
    }));

  it("writes nothing where the variant is selected already", () =>
    withStore(async (store) => {
      const id = await answered(store);
      const { revision } = await store.readSession("s");
      await store.selectBranch(id, 0);
      expect((await store.readSession("s")).revision).toBe(revision);
    }));

  it("leaves no branch of an answer that says nothing", () =>
    withStore(async (store) => {
      await store.saveMessage("s", "user", "question");
      await store.appendAssistantStub("s");
      await store.regenerate("s");
      expect(await store.lastAssistantMessage("s")).toMatchObject({ branchesJson: "", activeBranch: 0 });
    }));

  it("begins a new turn where there is no answer yet, or a user has said something since", () =>
    withStore(async (store) => {
      const first = await store.regenerate("empty");
      expect(await store.listMessages("empty")).toMatchObject([{ id: first.messageId, status: "open" }]);
      const id = await answered(store);
      await store.saveMessage("s", "user", "and?");
      const next = await store.regenerate("s");
      expect(next.messageId).not.toBe(id);
      expect((await store.listMessages("s")).map(({ status }) => status)).toEqual([
        "saved",
        "finished",
        "saved",
        "open",
      ]);
    }));
});

describe("turn.prompt()", () => {
  it("is the prompt with what the turn has written, and without the answer that it writes anew", () =>
    withStore(async (store) => {
      await answered(store);
      const turn = await store.regenerate("s");
      expect(await turn.prompt()).toEqual([{ role: "user", content: "question" }]);
      void turn.textDelta("Let me look.");
      void turn.toolCall({ toolId: "t", name: "look", input: "{}" });
      void turn.toolResult("t", "42");
      void turn.stepFinish();
      const prompt = await turn.prompt();
      expect(prompt).toMatchObject([
        { role: "user" },
        { role: "assistant", content: [{ text: "Let me look." }, { type: "tool-call" }] },
        { role: "tool", content: [{ output: { type: "text", value: "42" } }] },
      ]);
      expect(prompt).toEqual(await store.getMessages("s"));
      expect(await turn.prompt({ limit: 1 })).toEqual(await store.getMessages("s", { limit: 1 }));
      await turn.finish();
    }));
});
