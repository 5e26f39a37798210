import { afterEach, beforeEach, describe, expect, it } from "@jest/globals";
import { type ModelMessage, stepCountIs, streamText, tool } from "ai";
import { z } from "zod";
import type { ToolPart } from "../../src/events/stored-part.ts";
import { recordStream } from "../../src/recording/record-ai-stream.ts";
import { recordedTools } from "../../src/recording/recorded-tools.ts";
import type { ConversationStore } from "../../src/store/conversation-store.ts";
import { openConversationStore } from "../../src/store/open-conversation-store.ts";
import { call, finish, scriptedModel, text } from "../support/scripted-model.ts";

/** Against the real SDK; only the model is scripted. */

let store: ConversationStore;
beforeEach(async () => {
  store = await openConversationStore("memory:", { flushIntervalMs: 0 });
});
afterEach(() => store.close());

const newest = () => store.lastAssistantMessage("s");
const prompt = async (): Promise<ModelMessage[]> => store.getMessages("s");
const quiet = { onError: () => undefined };

/** The causes of the session's events, in order: what happened. */
async function causes(): Promise<(string | undefined)[]> {
  const list: (string | undefined)[] = [];
  for await (const event of store.log.readStream("conversation-s", { from: 0 }))
    list.push((event.metadata as { cause?: string }).cause);
  return list.filter((cause) => cause !== undefined && cause !== "delta");
}

const read = (execute: (input: { path: string }) => unknown) =>
  tool({
    description: "reads",
    inputSchema: z.object({ path: z.string() }),
    execute: async (input) => execute(input),
  });

describe("recordStream", () => {
  it("records text and reasoning with what the provider says of them, and finishes the turn", async () => {
    const turn = await store.beginTurn("s", { user: "Why?" });
    const model = scriptedModel([
      { type: "reasoning-start", id: "0" },
      { type: "reasoning-delta", id: "0", delta: "Let me " },
      { type: "reasoning-delta", id: "0", delta: "think." },
      { type: "reasoning-end", id: "0", providerMetadata: { anthropic: { signature: "sig" } } },
      ...text("Be", "cause."),
      { type: "source", sourceType: "url", id: "s1", url: "https://example.org", title: "A" },
      { type: "file", mediaType: "image/png", data: "aGk=" },
      finish(),
    ]);
    const result = streamText({ model, messages: await prompt() });
    expect(await recordStream(turn, result.fullStream)).toMatchObject({
      outcome: "finished",
      finishReason: "stop",
      usage: { inputTokens: 10, outputTokens: 5, reasoningTokens: 2, cachedInputTokens: 4 },
      steps: 1,
      unknownKinds: {},
    });
    expect(await newest()).toMatchObject({
      status: "finished",
      finishReason: "stop",
      usage: { inputTokens: 10, outputTokens: 5 },
      parts: [
        {
          kind: "reasoning",
          text: "Let me think.",
          providerMetadata: { anthropic: { signature: "sig" } },
        },
        { kind: "text", text: "Because." },
        { kind: "source", sourceType: "url", id: "s1", url: "https://example.org", title: "A" },
        { kind: "file", mediaType: "image/png", data: "aGk=" },
        { kind: "step", finishReason: "stop" },
      ],
    });
  });

  it("records the steps of a tool loop, and makes of them the messages that the SDK made", async () => {
    const turn = await store.beginTurn("s", { user: "Read a.txt" });
    const model = scriptedModel(
      [...text("I look."), ...call("c1", "read", '{"path":', ' "a.txt"}'), finish("tool-calls")],
      [...text("It says 42."), finish()],
    );
    const result = streamText({
      model,
      messages: await prompt(),
      tools: { read: read(({ path }) => ({ path, text: "42" })) },
      stopWhen: stepCountIs(5),
    });
    const recorded = await recordStream(turn, result.fullStream);
    expect(recorded).toMatchObject({ outcome: "finished", steps: 2, toolCalls: 1 });
    expect((await newest()).parts).toMatchObject([
      { kind: "text", text: "I look." },
      {
        kind: "tool",
        tool_id: "c1",
        input: '{"path": "a.txt"}',
        state: "output-available",
        output: { path: "a.txt", text: "42" },
        started_at: expect.any(Number),
      },
      { kind: "step" },
      { kind: "text", text: "It says 42." },
      { kind: "step" },
    ]);
    const made = JSON.parse(JSON.stringify((await result.response).messages)) as unknown;
    expect((await prompt()).slice(1)).toEqual(made);
    expect(model.doStreamCalls).toHaveLength(2);
  });

  it("keeps a tool's error, and takes no preliminary result for the outcome", async () => {
    const turn = await store.beginTurn("s");
    const model = scriptedModel(
      [...call("c1", "fails", "{}"), ...call("c2", "slow", "{}"), finish("tool-calls")],
      [...text("Hm."), finish()],
    );
    const outputs: unknown[] = [];
    const tools = {
      fails: tool({
        inputSchema: z.object({}),
        execute: async (): Promise<string> => {
          throw new Error("no such file");
        },
      }),
      slow: tool({
        inputSchema: z.object({}),
        async *execute() {
          yield "10 %";
          outputs.push(((await newest()).parts[1] as ToolPart).output);
          yield "done";
        },
      }),
    };
    const result = streamText({ model, prompt: "?", tools, stopWhen: stepCountIs(3) });
    await recordStream(turn, result.fullStream);
    expect((await newest()).parts.slice(0, 2)).toMatchObject([
      { tool_id: "c1", state: "output-error", output: "no such file" },
      { tool_id: "c2", state: "output-available", output: "done" },
    ]);
    expect(outputs).toEqual([undefined]);
  });

  it("marks calls that the SDK refuses as never started", async () => {
    const turn = await store.beginTurn("s");
    const model = scriptedModel([...call("c1", "read", "{broken"), finish("tool-calls")]);
    const result = streamText({ model, prompt: "?", tools: { read: read(() => "never") } });
    await recordStream(turn, result.fullStream);
    const [refused] = (await newest()).parts as ToolPart[];
    expect(refused).toMatchObject({ input: "{broken", state: "output-error" });
    expect(refused?.started_at).toBeUndefined();
  });

  it("keeps what a provider ran by itself inside the answer", async () => {
    const turn = await store.beginTurn("s");
    const model = scriptedModel([
      { type: "tool-call", toolCallId: "p1", toolName: "search", input: '{"q":1}', providerExecuted: true },
      { type: "tool-result", toolCallId: "p1", toolName: "search", result: { hits: 2 } },
      ...text("Two hits."),
      finish(),
    ]);
    const search = tool({
      type: "provider",
      id: "mock.search",
      args: {},
      inputSchema: z.any(),
      outputSchema: z.any(),
    });
    const result = streamText({ model, prompt: "?", tools: { search } });
    await recordStream(turn, result.fullStream);
    expect(await store.getMessages("s")).toEqual([
      {
        role: "assistant",
        content: [
          {
            type: "tool-call",
            toolCallId: "p1",
            toolName: "search",
            input: { q: 1 },
            providerExecuted: true,
          },
          {
            type: "tool-result",
            toolCallId: "p1",
            toolName: "search",
            output: { type: "json", value: { hits: 2 } },
          },
          { type: "text", text: "Two hits." },
        ],
      },
    ]);
  });

  it("counts the parts that it does not know, and ids that come again in a later step are told apart", async () => {
    const turn = await store.beginTurn("s");
    async function* stream() {
      for (const output of ["one", "two"]) {
        yield { type: "from-the-future" };
        yield { type: "tool-call", toolCallId: "call_0", toolName: "read", input: {} };
        yield { type: "tool-result", toolCallId: "call_0", toolName: "read", output };
        yield { type: "finish-step", finishReason: "tool-calls" };
      }
      yield { type: "finish", finishReason: "stop" };
    }
    const recorded = await recordStream(turn, stream());
    expect(recorded).toMatchObject({ outcome: "finished", unknownKinds: { "from-the-future": 2 } });
    expect((await newest()).parts.filter(({ kind }) => kind === "tool")).toMatchObject([
      { tool_id: "call_0", output: "one" },
      { tool_id: "call_0-2", output: "two" },
    ]);
  });
});

describe("blocks", () => {
  it("are parts of their own, though the stream uses an id again", async () => {
    const turn = await store.beginTurn("s");
    async function* stream() {
      for (const delta of ["a", "b"]) {
        yield { type: "text-start", id: "0" };
        yield { type: "text-delta", id: "0", text: delta };
        yield { type: "text-end", id: "0" };
      }
      yield { type: "finish", finishReason: "stop" };
    }
    await recordStream(turn, stream());
    expect((await newest()).parts).toMatchObject([{ text: "a" }, { text: "b" }]);
  });
});

describe("tool approval", () => {
  const writes: string[] = [];
  const tools = {
    write: tool({
      inputSchema: z.object({ path: z.string() }),
      needsApproval: true,
      execute: async ({ path }) => {
        writes.push(path);
        return "written";
      },
    }),
  };
  beforeEach(() => void writes.splice(0));

  async function ask(endTurn: boolean) {
    const turn = await store.beginTurn("s", { user: "Write a.txt" });
    const model = scriptedModel([...call("c1", "write", '{"path":"a.txt"}'), finish("tool-calls")]);
    const result = streamText({ model, messages: await prompt(), tools });
    const recorded = await recordStream(turn, result.fullStream, { endTurn });
    const [approval] = recorded.pendingApprovals;
    expect(approval).toMatchObject({ toolId: "c1", name: "write", input: { path: "a.txt" } });
    return { turn, recorded, approval: approval! };
  }

  const answer = scriptedModel.bind(undefined, [...text("Done."), finish()]);

  it("leaves the turn open for the human's word, and the SDK goes on from the prompt", async () => {
    const { turn, recorded, approval } = await ask(false);
    expect(recorded.outcome).toBe("open");
    expect((await newest()).parts[0]).toMatchObject({ state: "approval-requested" });
    expect((await newest()).parts[0]).not.toHaveProperty("started_at");

    await turn.toolApproval("c1", "approved", { approvalId: approval.approvalId });
    const result = streamText({ model: answer(), messages: await prompt(), tools });
    expect(await recordStream(turn, result.fullStream)).toMatchObject({ outcome: "finished" });
    expect(writes).toEqual(["a.txt"]);
    expect((await newest()).parts).toMatchObject([
      { kind: "tool", state: "output-available", output: "written", approval: { approved: true } },
      { kind: "step" },
      { kind: "text", text: "Done." },
      { kind: "step" },
    ]);
    // Both streams count.
    expect((await newest()).usage).toMatchObject({ inputTokens: 20, outputTokens: 10 });
  });

  it("records a refusal, which runs nothing", async () => {
    const { turn, approval } = await ask(false);
    await turn.toolApproval("c1", "denied", { approvalId: approval.approvalId, reason: "Not there." });
    const model = answer();
    const result = streamText({ model, messages: await prompt(), tools });
    await recordStream(turn, result.fullStream);
    expect(writes).toEqual([]);
    expect(JSON.stringify(model.doStreamCalls[0]?.prompt)).toContain("Not there.");
    expect((await newest()).parts[0]).toMatchObject({ state: "output-denied" });
  });

  it("puts the result of a call that was approved after its turn ended behind that call", async () => {
    const { approval } = await ask(true);
    const asked = await newest();
    const [part] = asked.parts as ToolPart[];
    const approved = {
      ...part,
      state: "approval-responded",
      approval: { id: approval.approvalId, approved: true },
    };
    await store.updateBranches(asked.id, JSON.stringify([approved]));

    const turn = await store.beginTurn("s");
    const messages = await prompt();
    const result = streamText({ model: answer(), messages, tools: recordedTools(turn, tools) });
    expect(await recordStream(turn, result.fullStream)).toMatchObject({ outcome: "finished" });
    expect(writes).toEqual(["a.txt"]);
    expect((await prompt()).slice(1)).toMatchObject([
      { role: "assistant", content: [{ type: "tool-call" }, { type: "tool-approval-request" }] },
      {
        role: "tool",
        content: [
          { type: "tool-approval-response", approved: true },
          { type: "tool-result", output: { type: "text", value: "written" } },
        ],
      },
      { role: "assistant", content: [{ type: "text", text: "Done." }] },
    ]);
  });
});

describe("recordedTools", () => {
  it("has the start on disk before the tool runs, and at the call's place among the text", async () => {
    const turn = await store.beginTurn("s");
    const model = scriptedModel(
      [...text("I", " look", "."), ...call("c1", "read", '{"path":"a"}'), finish("tool-calls")],
      [...text("Ok."), finish()],
    );
    const seen: unknown[] = [];
    const tools = recordedTools(turn, {
      read: read(async () => {
        seen.push(...(await newest()).parts);
        return "text";
      }),
    });
    const result = streamText({ model, prompt: "?", tools, stopWhen: stepCountIs(3) });
    await recordStream(turn, result.fullStream);
    expect(seen).toMatchObject([
      { kind: "text", text: "I look." },
      { kind: "tool", state: "input-available", started_at: expect.any(Number) },
    ]);
    expect(await causes()).toEqual(["tool-call", "tool-call", "tool-started", "tool-result", "step", "step"]);
  });

  const execute = (tools: { read: { execute?: unknown } }) =>
    (tools.read.execute as (input: unknown, options: unknown) => Promise<unknown>)(
      { path: "a" },
      { toolCallId: "c1", messages: [] },
    );

  it("waits for the call's place among the text where the stream is behind the SDK", async () => {
    const turn = await store.beginTurn("s");
    const tools = recordedTools(turn, { read: read(() => "text") });
    async function* stream() {
      const output = execute(tools);
      yield { type: "text-delta", id: "0", text: "I look." };
      yield { type: "tool-call", toolCallId: "c1", toolName: "read", input: { path: "a" } };
      yield { type: "tool-result", toolCallId: "c1", toolName: "read", output: await output };
      yield { type: "finish", finishReason: "stop" };
    }
    await recordStream(turn, stream());
    expect((await newest()).parts).toMatchObject([
      { kind: "text", text: "I look." },
      { kind: "tool", output: "text", started_at: expect.any(Number) },
    ]);
  });

  it("records the call itself where no stream brings it", async () => {
    const turn = await store.beginTurn("s");
    const tools = recordedTools(turn, { read: read(() => "text") });
    const outputs: Promise<unknown>[] = [];
    async function* stream() {
      outputs.push(execute(tools));
      yield { type: "finish", finishReason: "stop" };
    }
    await recordStream(turn, stream(), { endTurn: false });
    expect(await Promise.all(outputs)).toEqual(["text"]);
    expect((await newest()).parts).toMatchObject([
      { tool_id: "c1", input: '{"path":"a"}', started_at: expect.any(Number) },
    ]);
  });

  it("does not take a call that waits for the client for started", async () => {
    const turn = await store.beginTurn("s");
    const model = scriptedModel([...call("c1", "ask", "{}"), finish("tool-calls")]);
    const tools = recordedTools(turn, {
      read: read(() => "never"),
      ask: tool({ inputSchema: z.object({}), outputSchema: z.string() }),
    });
    const result = streamText({ model, prompt: "?", tools });
    await recordStream(turn, result.fullStream);
    const [waiting] = (await newest()).parts as ToolPart[];
    expect(waiting).toMatchObject({ tool_id: "c1", state: "input-available" });
    expect(waiting?.started_at).toBeUndefined();
  });

  it("keeps a tool from running when its start cannot be recorded", async () => {
    const turn = await store.beginTurn("s");
    let ran = false;
    const tools = recordedTools(turn, { read: read(() => (ran = true)) });
    await turn.abort();
    await expect(execute(tools)).rejects.toMatchObject({ code: "turn-ended" });
    expect(ran).toBe(false);
  });

  it("lets preliminary results through", async () => {
    const turn = await store.beginTurn("s");
    const tools = recordedTools(turn, {
      slow: tool({
        inputSchema: z.object({}),
        async *execute() {
          yield "10 %";
          yield "done";
        },
      }),
    });
    const model = scriptedModel([...call("c1", "slow", "{}"), finish("tool-calls")]);
    const result = streamText({ model, prompt: "?", tools });
    const kinds: unknown[] = [];
    async function* watched() {
      for await (const part of result.fullStream) {
        if (part.type === "tool-result") kinds.push([part.output, part.preliminary]);
        yield part;
      }
    }
    await recordStream(turn, watched());
    expect(kinds).toEqual([
      ["10 %", true],
      ["done", true],
      ["done", undefined],
    ]);
  });
});

describe("a stream that does not end well", () => {
  it("fails the turn with the provider's error, and keeps what came before", async () => {
    const turn = await store.beginTurn("s");
    const error = Object.assign(new Error("Overloaded"), { code: "overloaded" });
    const model = scriptedModel([...text("Half an ans"), { type: "error", error }, finish("error")]);
    const result = streamText({ model, prompt: "?", ...quiet });
    expect(await recordStream(turn, result.fullStream)).toMatchObject({
      outcome: "failed",
      error: { message: "Overloaded", code: "overloaded" },
    });
    expect(await newest()).toMatchObject({
      status: "failed",
      error: { message: "Overloaded", code: "overloaded" },
      parts: [{ kind: "text", text: "Half an ans" }, { kind: "step" }],
    });
  });

  it("fails the turn when the model cannot be called", async () => {
    const turn = await store.beginTurn("s");
    const result = streamText({ model: scriptedModel(), prompt: "?", maxRetries: 0, ...quiet });
    expect(await recordStream(turn, result.fullStream)).toMatchObject({ outcome: "failed" });
    expect(await newest()).toMatchObject({ status: "failed", content: "[]" });
  });

  it("fails the turn when the iterator throws, and does not throw itself", async () => {
    const turn = await store.beginTurn("s");
    async function* stream() {
      yield { type: "text-delta", id: "0", text: "Half" };
      throw new Error("socket hang up");
    }
    expect(await recordStream(turn, stream())).toMatchObject({
      outcome: "failed",
      error: { message: "socket hang up" },
    });
    expect(await newest()).toMatchObject({ status: "failed", parts: [{ text: "Half" }] });
  });

  it("fails the turn when the stream ends before the model did", async () => {
    const turn = await store.beginTurn("s");
    async function* stream() {
      yield { type: "text-delta", id: "0", text: "Half" };
    }
    expect(await recordStream(turn, stream())).toMatchObject({ error: { code: "stream-ended-early" } });
    expect(await newest()).toMatchObject({ status: "failed", error: { code: "stream-ended-early" } });
  });

  it("aborts the turn when the SDK's call is aborted", async () => {
    const turn = await store.beginTurn("s");
    const aborting = new AbortController();
    const stream = new ReadableStream({
      start(controller) {
        for (const chunk of text("Half").slice(0, 2)) controller.enqueue(chunk);
        aborting.signal.addEventListener("abort", () => controller.error(aborting.signal.reason));
      },
    });
    const result = streamText({ model: scriptedModel(stream), prompt: "?", abortSignal: aborting.signal });
    async function* untilText() {
      for await (const part of result.fullStream) {
        yield part;
        if (part.type === "text-delta") aborting.abort();
      }
    }
    expect(await recordStream(turn, untilText())).toMatchObject({ outcome: "aborted" });
    expect(await newest()).toMatchObject({ status: "aborted", parts: [{ kind: "text", text: "Half" }] });
  });

  it("stops the stream when the turn was ended by its own signal", async () => {
    const aborting = new AbortController();
    const turn = await store.beginTurn("s", { signal: aborting.signal });
    let wasReadOn = false;
    async function* stream() {
      yield { type: "text-delta", id: "0", text: "Half" };
      aborting.abort();
      yield { type: "text-delta", id: "0", text: " an answer" };
      wasReadOn = true;
    }
    expect(await recordStream(turn, stream())).toMatchObject({ outcome: "aborted" });
    expect(wasReadOn).toBe(false);
    expect(await newest()).toMatchObject({ status: "aborted", parts: [{ text: "Half" }] });
  });

  it("throws what cannot be recorded, fails the turn and cancels the stream", async () => {
    const turn = await store.beginTurn("s");
    let wasReadOn = false;
    async function* stream() {
      yield { type: "tool-call", toolCallId: "c1", toolName: "read", input: {} };
      yield { type: "tool-result", toolCallId: "c1", toolName: "read", output: 1n };
      wasReadOn = true;
    }
    await expect(recordStream(turn, stream())).rejects.toThrow("BigInt");
    expect(wasReadOn).toBe(false);
    expect(await newest()).toMatchObject({ status: "failed" });
  });
});
