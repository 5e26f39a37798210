import { describe, expect, it } from "@jest/globals";
import { streamText, tool } from "ai";
import { z } from "zod";
import { recordStream } from "../../src/recording/record-ai-stream.ts";
import { recordedTools } from "../../src/recording/recorded-tools.ts";
import { call, finish, scriptedModel, text } from "../support/scripted-model.ts";
import { withStore } from "../support/memory-store.ts";

describe("a turn that is recorded from one stream per step", () => {
  it("keeps the texts of the steps apart, though every stream gives its blocks the same ids", async () => {
    await withStore(async (store) => {
      const turn = await store.beginTurn("s", { user: "What is in it?" });
      const tools = recordedTools(turn, {
        read: tool({ inputSchema: z.object({}), execute: () => Promise.resolve("nothing") }),
      });
      const model = scriptedModel(
        [...text("I ", "look."), ...call("c1", "read", "{}"), finish("tool-calls")],
        [...text("It is ", "empty."), finish()],
      );
      for (const endTurn of [false, true]) {
        const { fullStream } = streamText({ model, messages: await turn.prompt(), tools });
        await recordStream(turn, fullStream, { endTurn });
      }
      const { parts } = await store.lastAssistantMessage("s");
      expect(parts).toMatchObject([
        { kind: "text", text: "I look." },
        { kind: "tool", tool_id: "c1", output: "nothing" },
        { kind: "step" },
        { kind: "text", text: "It is empty." },
        { kind: "step" },
      ]);
    });
  });
});
