import { describe, expect, it } from "@jest/globals";
import { naiveConcatenation } from "./naive-concatenation.ts";
import { joined, readDemo, readSample, record, withoutTimes } from "./recording-support.ts";
import type { ToolPart } from "../../src/events/stored-part.ts";

describe("the sample of the chat completions protocol", () => {
  it("reads back as reasoning, text, citation, two calls and the step's end", async () => {
    const sample = readSample("openai-chat.jsonl");
    const { text, reasoning, inputs } = naiveConcatenation(sample);
    const { summary, parts, message } = await record(sample);
    expect(message.status).toBe("finished");
    expect(withoutTimes(parts)).toEqual([
      { kind: "reasoning", text: reasoning },
      { kind: "text", text },
      {
        kind: "source",
        sourceType: "url",
        url: "https://bread.example",
        title: "Bread",
        startIndex: 0,
        endIndex: 5,
        providerMetadata: { openai: { type: "url_citation" } },
      },
      { kind: "tool", tool_id: "call_boat", name: "book_boat", input: inputs[0], state: "input-available" },
      { kind: "tool", tool_id: "call_bread", name: "buy_bread", input: inputs[1], state: "input-available" },
      {
        kind: "step",
        finishReason: "tool-calls",
        usage: {
          inputTokens: 50,
          outputTokens: 31,
          reasoningTokens: 7,
          cachedInputTokens: 16,
          raw: expect.anything(),
        },
        providerMetadata: {
          openai: { finishReason: "tool_calls", responseId: "chatcmpl-sample", model: "chat-sample" },
        },
      },
    ]);
    expect(text).toBe("Right away 🚀 — both at once.");
    expect(JSON.parse(String(inputs[0]))).toEqual({ name: "Seagull", note: "🚀" });
    expect(summary).toMatchObject({
      protocol: "openai-chat",
      outcome: "finished",
      finishReason: "tool-calls",
      toolCalls: 2,
      unknownKinds: { "choice 1": 1 },
      usage: { inputTokens: 50, outputTokens: 31 },
    });
  });

  it("fails with the provider's error in the middle", async () => {
    const { summary, parts, message } = await record(readSample("openai-chat-error.jsonl"));
    expect(parts).toEqual([{ kind: "text", text: "The answer to everything is" }]);
    expect(message.status).toBe("failed");
    expect(summary).toMatchObject({
      outcome: "failed",
      error: { code: "502", message: "Upstream went away", line: 3 },
    });
  });
});

describe("the sample of the responses protocol", () => {
  it("reads back as reasoning with its signature, server tools, text, citation and call", async () => {
    const sample = readSample("openai-responses.jsonl");
    const { text, inputs } = naiveConcatenation(sample);
    const { summary, parts, message } = await record(sample);
    expect(message.status).toBe("finished");
    expect(withoutTimes(parts)).toEqual([
      {
        kind: "reasoning",
        text: "**Plan**\n\nAsk the  library.",
        providerMetadata: { openai: { itemId: "rs_1" } },
      },
      {
        kind: "reasoning",
        text: "**Check**\n\nTwice.",
        providerMetadata: { openai: { itemId: "rs_1", reasoningEncryptedContent: "Z0FBQQ==" } },
      },
      {
        kind: "tool",
        tool_id: "mcp_1",
        name: "find_book",
        input: inputs[0],
        output: '{"shelf":"W-7"}',
        state: "output-available",
        provider_executed: true,
        providerMetadata: { openai: { itemId: "mcp_1", serverLabel: "library" } },
        ran: true,
      },
      {
        kind: "tool",
        tool_id: "mcp_2",
        name: "reserve",
        input: inputs[1],
        output: "the library is closed",
        state: "output-error",
        provider_executed: true,
        providerMetadata: { openai: { itemId: "mcp_2", serverLabel: "library" } },
        ran: true,
      },
      { kind: "text", text, providerMetadata: { openai: { itemId: "msg_1" } } },
      {
        kind: "source",
        sourceType: "document",
        fileId: "file-1",
        filename: "catalogue.pdf",
        providerMetadata: { openai: { type: "file_citation", index: 13 } },
      },
      {
        kind: "tool",
        tool_id: "call_light",
        name: "switch_light",
        input: inputs[2],
        state: "input-available",
        providerMetadata: { openai: { itemId: "fc_1" } },
      },
      {
        kind: "step",
        finishReason: "tool-calls",
        usage: {
          inputTokens: 120,
          outputTokens: 48,
          reasoningTokens: 12,
          cachedInputTokens: 64,
          raw: expect.anything(),
        },
        providerMetadata: { openai: { status: "completed", responseId: "resp_sample", model: "gpt-sample" } },
      },
    ]);
    expect(text).toBe("It stands on shelf W-7 🐳.");
    expect(summary).toMatchObject({
      protocol: "openai-responses",
      outcome: "finished",
      toolCalls: 3,
      unknownKinds: { "response.telepathy.delta": 1 },
    });
  });

  it("fails with the provider's error in the middle", async () => {
    const { summary, parts } = await record(readSample("openai-responses-error.jsonl"));
    expect(joined(parts, "text")).toBe("Hold the l");
    expect(summary).toMatchObject({
      outcome: "failed",
      error: { code: "server_error", message: "The server had an error", line: 4 },
    });
  });
});

describe("the sample of the Anthropic protocol", () => {
  it("reads back as signed thinking, server tools, cited text and calls", async () => {
    const sample = readSample("anthropic.jsonl");
    const { reasoning, inputs } = naiveConcatenation(sample);
    const { summary, parts, message } = await record(sample);
    expect(message.status).toBe("finished");
    expect(withoutTimes(parts)).toEqual([
      {
        kind: "reasoning",
        text: reasoning,
        providerMetadata: { anthropic: { signature: "c2lnbmF0dXJl" } },
      },
      { kind: "reasoning", text: "", providerMetadata: { anthropic: { redactedData: "cmVkYWN0ZWQ=" } } },
      { kind: "text", text: "Looking up the tides." },
      {
        kind: "tool",
        tool_id: "srvtoolu_1",
        name: "web_search",
        input: inputs[0],
        output: [
          {
            type: "web_search_result",
            title: "Tides",
            url: "https://tides.example/cuxhaven",
            encrypted_content: "ZW5j",
            page_age: null,
          },
        ],
        state: "output-available",
        provider_executed: true,
        ran: true,
      },
      {
        kind: "tool",
        tool_id: "srvtoolu_2",
        name: "web_fetch",
        input: inputs[1],
        output: "url_not_accessible",
        state: "output-error",
        provider_executed: true,
        ran: true,
      },
      { kind: "text", text: "High tide is at 04:17 local time 🌊." },
      {
        kind: "source",
        sourceType: "url",
        url: "https://tides.example/cuxhaven",
        title: "Tides",
        citedText: "HW 04:17",
        providerMetadata: { anthropic: { type: "web_search_result_location", encrypted_index: "aWR4" } },
      },
      { kind: "tool", tool_id: "toolu_1", name: "ask_harbour", input: inputs[2], state: "input-available" },
      { kind: "tool", tool_id: "toolu_2", name: "ring_bell", input: "{}", state: "input-available" },
      {
        kind: "step",
        finishReason: "tool-calls",
        // This protocol counts cached input apart; 40 + 300 + 20 were read.
        usage: { inputTokens: 360, outputTokens: 77, cachedInputTokens: 300, raw: expect.anything() },
        providerMetadata: {
          anthropic: { stopReason: "tool_use", messageId: "msg_sample", model: "claude-sample" },
        },
      },
    ]);
    expect(JSON.parse(String(inputs[2]))).toEqual({ berth: "A3", text: '"ready" 🚢?' });
    expect(summary).toMatchObject({
      protocol: "anthropic",
      outcome: "finished",
      toolCalls: 4,
      unknownKinds: { "block hologram": 1 },
    });
  });

  it("records several messages of one input as the steps of one turn", async () => {
    const { summary, parts } = await record(readSample("anthropic-two-steps.jsonl"));
    expect(parts.map(({ kind }) => kind)).toEqual(["text", "tool", "step", "text", "tool", "step"]);
    expect(joined(parts, "text")).toBe("First I count.Three.");
    const [first, second] = parts.filter((part): part is ToolPart => part.kind === "tool");
    // The provider used one id twice; in a turn it must name one call.
    expect([first?.tool_id, second?.tool_id]).toEqual(["toolu_same", "toolu_same-2"]);
    expect([first?.input, second?.input]).toEqual(['{"to":3}', '{"to":4}']);
    expect(summary.usage).toEqual({ inputTokens: 35, outputTokens: 17 });
    expect(summary).toMatchObject({ outcome: "finished", finishReason: "stop" });
  });

  it("reads server-sent events with CRLF and comments, up to the error in them", async () => {
    const { summary, parts, message } = await record(readSample("anthropic-error.sse.txt"));
    expect(parts).toEqual([{ kind: "text", text: "I will now explain everyth" }]);
    expect(message.status).toBe("failed");
    expect(summary).toMatchObject({
      outcome: "failed",
      error: { code: "overloaded_error", message: "Overloaded" },
    });
  });
});

describe("the recordings of the demo", () => {
  it.each([
    ["incident-review.jsonl", 200],
    ["after-the-crash.jsonl", 50],
  ])("%s is complete, and reads back as its concatenation", async (name, leastDeltas) => {
    const stream = readDemo(name);
    const { text, reasoning, inputs } = naiveConcatenation(stream);
    const { summary, parts } = await record(stream);
    expect(joined(parts, "text")).toBe(text);
    expect(joined(parts, "reasoning")).toBe(reasoning);
    expect(parts.flatMap((part) => (part.kind === "tool" ? [part["input" as never]] : []))).toEqual(inputs);
    expect(summary).toMatchObject({ outcome: "finished", finishReason: "stop", unknownKinds: {} });
    expect(summary.deltas).toBeGreaterThan(leastDeltas);
  });
});
