import { afterEach, beforeEach, describe, expect, it } from "@jest/globals";
import { convertToModelMessages, safeValidateUIMessages } from "ai";
import { safeValidateUIMessages as newestSafeValidateUIMessages } from "ai-newest";
import type { StoredPart } from "../../src/events/stored-part.ts";
import type { ConversationStore } from "../../src/store/conversation-store.ts";
import { openConversationStore } from "../../src/store/open-conversation-store.ts";
import { MISSING_RESULT_TEXT } from "../../src/store/tool-model-parts.ts";
import type { UIMessage, UIMessagePart } from "../../src/store/ui-message-types.ts";

let store: ConversationStore;
beforeEach(async () => {
  store = await openConversationStore("memory:", { flushIntervalMs: 0 });
});
afterEach(() => store.close());

async function shown(options?: { dynamicTools: boolean }): Promise<UIMessage[]> {
  const messages = await store.toUIMessages("s", options);
  expect(await safeValidateUIMessages({ messages })).toMatchObject({ success: true });
  expect(await newestSafeValidateUIMessages({ messages })).toMatchObject({ success: true });
  return messages;
}

async function partsOf(stored: readonly object[]): Promise<UIMessagePart[]> {
  await store.saveMessage("s", "assistant", stored as StoredPart[]);
  return (await shown()).at(-1)?.parts ?? [];
}

const call = { kind: "tool", tool_id: "t1", name: "read", input: '{"path":"a"}', state: "input-available" };
const shownCall = { type: "tool-read", toolCallId: "t1", input: { path: "a" } };

describe("toUIMessages", () => {
  it("shows a conversation with its metadata, steps and parts", async () => {
    const user = await store.saveMessage("s", "user", "Hi", { externalId: "x", metadata: { from: "web" } });
    const turn = await store.beginTurn("s");
    void turn.reasoningDelta("Hm.", { providerMetadata: { anthropic: { signature: "sig" } } });
    void turn.toolCall({ toolId: "t1", name: "read", input: '{"path":"a"}' });
    void turn.toolResult("t1", { text: "42" });
    void turn.stepFinish();
    void turn.textDelta("42.");
    void turn.source({ url: "https://example.org", title: "A" });
    void turn.source({ sourceType: "document", mediaType: "application/pdf", title: "B" });
    void turn.file({ mediaType: "image/png", data: "aGk=" });
    await turn.finish({ finishReason: "stop", usage: { outputTokens: 3 } });

    const time = expect.stringMatching(/^\d{4}-.*Z$/);
    expect(await shown()).toEqual([
      {
        id: `${user}`,
        role: "user",
        metadata: {
          from: "web",
          turnlog: {
            status: "saved",
            createdAt: time,
            updatedAt: time,
            variants: 1,
            activeBranch: 0,
            externalId: "x",
          },
        },
        parts: [{ type: "text", text: "Hi", state: "done" }],
      },
      {
        id: `${turn.messageId}`,
        role: "assistant",
        metadata: {
          turnlog: {
            status: "finished",
            createdAt: time,
            updatedAt: time,
            variants: 1,
            activeBranch: 0,
            finishReason: "stop",
            usage: { outputTokens: 3 },
          },
        },
        parts: [
          { type: "step-start" },
          {
            type: "reasoning",
            text: "Hm.",
            state: "done",
            providerMetadata: { anthropic: { signature: "sig" } },
          },
          { ...shownCall, state: "output-available", output: { text: "42" } },
          { type: "step-start" },
          { type: "text", text: "42.", state: "done" },
          {
            type: "source-url",
            sourceId: `source-${turn.messageId}-1`,
            url: "https://example.org",
            title: "A",
          },
          {
            type: "source-document",
            sourceId: `source-${turn.messageId}-2`,
            mediaType: "application/pdf",
            title: "B",
          },
          { type: "file", mediaType: "image/png", url: "data:image/png;base64,aGk=" },
        ],
      },
    ]);
  });

  it("makes of a finished conversation the prompt that getMessages makes", async () => {
    await store.saveMessage("s", "user", [{ kind: "text", text: "Hi" }]);
    const turn = await store.beginTurn("s");
    void turn.textDelta("I look.");
    void turn.toolCall({ toolId: "t1", name: "read", input: '{"path":"a"}' });
    void turn.toolResult("t1", "42");
    void turn.stepFinish();
    void turn.textDelta("42.");
    await turn.finish();
    const prompt = await store.getMessages("s");
    expect(JSON.parse(JSON.stringify(await convertToModelMessages(await shown())))).toEqual(prompt);
  });

  it("shows what is being written as streaming, and an answer that has not begun without parts", async () => {
    const turn = await store.beginTurn("s");
    expect((await shown())[0]?.parts).toEqual([]);
    void turn.textDelta("Hel");
    await turn.flush();
    expect((await shown())[0]?.parts).toEqual([
      { type: "step-start" },
      { type: "text", text: "Hel", state: "streaming" },
    ]);
    void turn.toolInputStart({ toolId: "t1", name: "read" });
    await turn.toolInputDelta("t1", '{"path');
    await turn.flush();
    expect((await shown())[0]?.parts.at(-1)).toMatchObject({ state: "input-streaming", rawInput: '{"path' });
    await turn.finish();
    expect((await shown())[0]?.parts[1]).toMatchObject({ text: "Hel", state: "done" });
  });

  it.each([
    ["input-available", {}, {}],
    ["output-available", { output: 7, approval: { id: "a", approved: true } }, { output: 7 }],
    ["output-error", { output: "gone" }, { errorText: "gone" }],
    ["approval-requested", { approval: { id: "a" } }, { approval: { id: "a" } }],
    [
      "approval-responded",
      { approval: { id: "a", approved: true } },
      { approval: { id: "a", approved: true } },
    ],
    ["output-denied", {}, { approval: { id: "t1", approved: false } }],
  ])("shows a call in the state %s", async (state, part, inTheDisplay) => {
    expect((await partsOf([{ ...call, ...part, state }]))[1]).toMatchObject({
      ...shownCall,
      state,
      ...inTheDisplay,
    });
  });

  it("shows a call that a cut short turn left without a result as an error that says what is known", async () => {
    const turn = await store.beginTurn("s");
    void turn.toolCall({ toolId: "t1", name: "read", input: "{}" });
    void turn.toolCall({ toolId: "t2", name: "run", input: "{}" });
    void turn.toolStarted("t2");
    await turn.abort();
    expect((await shown())[0]?.parts.slice(1)).toMatchObject([
      { state: "output-error", errorText: MISSING_RESULT_TEXT["not-started"] },
      { state: "output-error", errorText: MISSING_RESULT_TEXT["outcome-unknown"] },
    ]);
  });

  it("still asks the human whom a cut short turn had asked", async () => {
    const turn = await store.beginTurn("s");
    await turn.toolCall({ toolId: "t1", name: "read", input: "{}" });
    await turn.toolApproval("t1", "requested", { approvalId: "a1" });
    await turn.abort();
    expect((await shown())[0]?.parts.at(-1)).toMatchObject({
      state: "approval-requested",
      approval: { id: "a1" },
    });
  });

  it("shows a file by its address where it has one", async () => {
    const file = { kind: "file", mediaType: "image/png", url: "https://example.org/a.png" };
    await store.saveMessage("s", "user", [file]);
    expect((await shown())[0]?.parts).toEqual([
      { type: "file", mediaType: "image/png", url: "https://example.org/a.png" },
    ]);
  });

  it("shows a saved tool message as the result of its call", async () => {
    await store.saveMessage("s", "assistant", [call as StoredPart]);
    await store.saveMessage("s", "tool", [
      { ...call, state: "output-available", output: "42" } as StoredPart,
    ]);
    const messages = await shown();
    expect(messages).toHaveLength(1);
    expect(messages[0]?.parts[1]).toMatchObject({ state: "output-available", output: "42" });
  });

  it("shows the variant that is active, and how many there are", async () => {
    const id = await store.appendAssistantStub("s");
    await store.updateBranches(id, '[{"kind":"text","text":"new"}]', '[[{"kind":"text","text":"old"}]]', 0);
    const [message] = await shown();
    expect(message?.parts[1]).toMatchObject({ text: "old" });
    expect(message?.metadata.turnlog).toMatchObject({ variants: 2, activeBranch: 0 });
  });

  it("shows calls as dynamic tools when asked to", async () => {
    await store.saveMessage("s", "assistant", [call as StoredPart]);
    expect((await shown({ dynamicTools: true }))[0]?.parts[1]).toMatchObject({
      type: "dynamic-tool",
      toolName: "read",
    });
  });
});
