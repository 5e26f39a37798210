import { describe, expect, it } from "@jest/globals";
import type { ConversationStore } from "../../src/store/conversation-store.ts";
import { ISO_TIME, fillChat, run, withStoreFile } from "./cli-support.ts";

describe("turnlog show", () => {
  it("prints the conversation: roles, times, tool calls, usage; reasoning folded", async () => {
    await withStoreFile(fillChat, async (store) => {
      const { code, stdout } = await run(["show", "chat", "--store", store]);
      expect(code).toBe(0);
      expect(stdout.replaceAll(/ \d{4}-\S+Z( · took .*)?/g, " TIME").replaceAll(/ · \d+ ms/g, "")).toBe(
        [
          "chat: An order  2 messages · revision 8",
          "",
          "user  #1 · TIME",
          "  Where is my order?",
          "",
          "assistant finished  #2 · TIME",
          "  ┊ reasoning, 25 characters (--reasoning shows it)",
          "  Let me look.",
          "  ▸ find_order output-available",
          '    in  {"id":7}',
          "    out shipped",
          "  It has been shipped.",
          "  1,200 tokens in · 34 out · stop",
          "",
        ].join("\n"),
      );
    });
  });

  it("shows reasoning when asked", async () => {
    await withStoreFile(fillChat, async (store) => {
      const { stdout } = await run(["show", "chat", "--store", store, "--reasoning"]);
      expect(stdout).toContain("  ┊ The user wants the order.\n");
    });
  });

  it("prints one JSON document: session, revision, messages as the library returns them", async () => {
    await withStoreFile(fillChat, async (store) => {
      const { stdout } = await run(["show", "chat", "--store", store, "--json"]);
      expect(JSON.parse(stdout)).toEqual({
        sessionId: "chat",
        revision: 8,
        messages: [
          expect.objectContaining({ id: 1, role: "user", content: "Where is my order?", status: "saved" }),
          expect.objectContaining({
            id: 2,
            role: "assistant",
            status: "finished",
            createdAt: expect.stringMatching(ISO_TIME),
            parts: [
              { kind: "reasoning", text: "The user wants the order." },
              { kind: "text", text: "Let me look." },
              expect.objectContaining({ kind: "tool", name: "find_order", input: '{"id":7}' }),
              { kind: "text", text: "It has been shipped." },
            ],
          }),
        ],
      });
    });
  });

  it("shows the newest 50 messages, or as many as asked for; JSON has all", async () => {
    const many = async (store: ConversationStore): Promise<void> => {
      for (let n = 1; n <= 53; n++) void store.saveMessage("s", "user", `message ${n}.`);
    };
    await withStoreFile(many, async (store) => {
      const shown = async (...args: string[]): Promise<string[]> =>
        (await run(["show", "s", "--store", store, ...args])).stdout.match(/message \d+\./g) ?? [];
      expect(await shown()).toHaveLength(50);
      expect((await shown())[0]).toBe("message 4.");
      expect(await shown("--limit", "2")).toEqual(["message 52.", "message 53."]);
      expect(await shown("--limit", "0")).toEqual([]);
      expect(await shown("--all")).toHaveLength(53);
      const { stdout } = await run(["show", "s", "--store", store, "--json"]);
      expect((JSON.parse(stdout) as { messages: unknown[] }).messages).toHaveLength(53);
      expect((await run(["show", "s", "--store", store])).stdout).toContain("… 3 earlier messages; --all");
    });
  });

  it("hints at branches and shows the active one", async () => {
    const regenerate = async (store: ConversationStore): Promise<void> => {
      const first = await store.beginTurn("s", { user: "hi" });
      void first.textDelta("first answer");
      await first.finish();
      const second = await store.regenerate("s");
      void second.textDelta("second answer");
      await second.finish();
      await store.selectBranch(second.messageId, 0);
    };
    await withStoreFile(regenerate, async (store) => {
      const { stdout } = await run(["show", "s", "--store", store]);
      expect(stdout).toContain("variant 1 of 2");
      expect(stdout).toContain("first answer");
      expect(stdout).not.toContain("second answer");
    });
  });

  it("takes a session back to a point", async () => {
    await withStoreFile(fillChat, async (store) => {
      const at = async (point: string): Promise<{ revision: number; parts: number; status?: string }> => {
        const { stdout } = await run(["show", "chat", "--store", store, "--at", point, "--json"]);
        const { revision, messages } = JSON.parse(stdout) as {
          revision: number;
          messages: { parts: unknown[]; status: string }[];
        };
        const answer = messages[1];
        return { revision, parts: answer?.parts.length ?? 0, ...(answer && { status: answer.status }) };
      };
      expect(await at("0")).toEqual({ revision: 0, parts: 0 });
      expect(await at("2")).toEqual({ revision: 2, parts: 0, status: "open" });
      // Reasoning and text came in one window: one event with two marks.
      expect(await at("3+1")).toEqual({ revision: 3, parts: 1, status: "open" });
      expect(await at("3")).toEqual({ revision: 3, parts: 2, status: "open" });
      expect(await at("0s-ago")).toEqual({ revision: 8, parts: 4, status: "finished" });
      expect(await at("1d-ago")).toEqual({ revision: -1, parts: 0 });
      const beyond = await run(["show", "chat", "--store", store, "--at", "99"]);
      expect(beyond).toMatchObject({ code: 3, stdout: "", stderr: expect.stringContaining("newest is 8") });
    });
  });

  it("takes last for the session of the newest event, not of a deleted one", async () => {
    const three = async (store: ConversationStore): Promise<void> => {
      await store.saveMessage("first", "user", "a");
      await store.saveMessage("second", "user", "b");
      await store.saveMessage("third", "user", "c");
      await store.saveMessage("second", "user", "d");
      await store.deleteSession("third");
    };
    await withStoreFile(three, async (store) => {
      const { stdout } = await run(["show", "last", "--store", store, "--json"]);
      expect(JSON.parse(stdout)).toMatchObject({ sessionId: "second" });
      expect((await run(["show", "third", "--store", store])).code).toBe(3);
    });
    await withStoreFile(
      (store) => store.deleteSession("never"),
      async (store) => {
        const { code, stderr } = await run(["show", "last", "--store", store]);
        expect({ code, stderr }).toEqual({ code: 3, stderr: expect.stringMatching(/no sessions|no store/) });
      },
    );
  });

  it("finds last also far behind other sessions' deletions", async () => {
    const deletions = async (store: ConversationStore): Promise<void> => {
      await store.saveMessage("kept", "user", "a");
      for (let n = 0; n < 150; n++) {
        void store.saveMessage(`gone-${n}`, "user", "b");
        void store.deleteSession(`gone-${n}`);
      }
    };
    await withStoreFile(deletions, async (store) => {
      const { stdout } = await run(["show", "last", "--store", store, "--json"]);
      expect(JSON.parse(stdout)).toMatchObject({ sessionId: "kept" });
    });
  });
});
