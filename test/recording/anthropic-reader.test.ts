import { describe, expect, it } from "@jest/globals";
import { AnthropicReader } from "../../src/recording/anthropic-reader.ts";
import { verbsOf } from "./recording-support.ts";

const start = (id = "m1", more: object = {}) => ({
  type: "message_start",
  message: { id, model: "m", ...more },
});
const block = (content_block: object, index = 0) => ({ type: "content_block_start", index, content_block });
const delta = (fields: object, index = 0) => ({ type: "content_block_delta", index, delta: fields });
const stop = (index = 0) => ({ type: "content_block_stop", index });
const ended = (stop_reason = "end_turn") => ({ type: "message_delta", delta: { stop_reason } });
const over = { type: "message_stop" };

const read = (...chunks: readonly unknown[]) => verbsOf(new AnthropicReader(), ...chunks);
/** The verbs between a message's beginning and its end. */
const inside = (...chunks: readonly unknown[]) => read(start(), ...chunks, ended(), over).slice(0, -2);

describe("tools", () => {
  it("of an MCP server name the server, and their errors are texts", () => {
    const use = { type: "mcp_tool_use", id: "t1", name: "f", server_name: "s", input: {} };
    const result = {
      type: "mcp_tool_result",
      tool_use_id: "t1",
      is_error: true,
      content: [{ type: "text", text: "No." }],
    };
    expect(inside(block(use), stop(), block(result, 1), stop(1))).toEqual([
      {
        verb: "tool-input-start",
        toolId: "t1",
        name: "f",
        providerExecuted: true,
        providerMetadata: { anthropic: { serverName: "s" } },
      },
      { verb: "tool-call", toolId: "t1", name: "f", input: "{}", providerExecuted: true },
      { verb: "tool-started", toolId: "t1" },
      { verb: "tool-error", toolId: "t1", errorText: "No." },
    ]);
  });

  it.each([
    "web_search",
    "web_fetch",
    "code_execution",
    "bash_code_execution",
    "text_editor_code_execution",
    "tool_search",
    "advisor",
  ])("%s results are outputs of their calls, or errors", (name) => {
    const use = block({ type: "server_tool_use", id: "t1", name, input: {} });
    const result = (content: object) => block({ type: `${name}_tool_result`, tool_use_id: "t1", content }, 1);
    const content = { type: `${name}_result`, stdout: "hi" };
    expect(inside(use, stop(), result(content), stop(1)).at(-1)).toEqual({
      verb: "tool-result",
      toolId: "t1",
      output: content,
    });
    const error = { type: `${name}_tool_result_error`, error_code: "unavailable", error_message: "later" };
    expect(inside(use, stop(), result(error), stop(1)).at(-1)).toEqual({
      verb: "tool-error",
      toolId: "t1",
      errorText: "unavailable: later",
    });
  });

  it("keep a result whose call was made in another turn", () => {
    const result = { type: "code_execution_tool_result", tool_use_id: "old", content: { stdout: "hi" } };
    expect(inside(block(result), stop())).toEqual([
      { verb: "tool-call", toolId: "old", name: "code_execution", input: "", providerExecuted: true },
      { verb: "tool-result", toolId: "old", output: { stdout: "hi" } },
    ]);
  });

  it("that are in the message's start already are calls as well", () => {
    const content = [{ type: "tool_use", id: "t1", name: "roll", input: { sides: 6 } }];
    expect(read(start("m1", { content }), ended("tool_use"), over).slice(0, 2)).toEqual([
      { verb: "tool-input-start", toolId: "t1", name: "roll" },
      { verb: "tool-call", toolId: "t1", name: "roll", input: '{"sides":6}' },
    ]);
  });

  it("stay incomplete where the input ends in their arguments", () => {
    const use = block({ type: "tool_use", id: "t1", name: "f", input: {} });
    const verbs = read(start(), use, delta({ type: "input_json_delta", partial_json: '{"a' }));
    expect(verbs.map(({ verb }) => verb)).toEqual(["tool-input-start", "tool-input-delta", "fail"]);
  });
});

describe("the end of a message", () => {
  it.each([
    ["end_turn", "stop"],
    ["stop_sequence", "stop"],
    ["max_tokens", "length"],
    ["model_context_window_exceeded", "length"],
    ["tool_use", "tool-calls"],
    ["refusal", "content-filter"],
    ["pause_turn", "other"],
  ])("%s is %s", (raw, normalised) => {
    expect(read(start(), ended(raw), over)).toEqual([
      {
        verb: "step-finish",
        finishReason: normalised,
        providerMetadata: { anthropic: { stopReason: raw, messageId: "m1", model: "m" } },
      },
      { verb: "finish", finishReason: normalised },
    ]);
  });

  it("has the counts of the message's start, as far as later ones do not correct them", () => {
    const usage = { input_tokens: 10, cache_read_input_tokens: 4, output_tokens: 1 };
    const verbs = read(
      start("m1", { usage }),
      { ...ended(), usage: { output_tokens: 9, input_tokens: null } },
      { ...ended(), usage: { output_tokens: 12, cache_read_input_tokens: 5 } },
      over,
    );
    expect(verbs.at(-1)).toMatchObject({
      usage: { inputTokens: 15, cachedInputTokens: 5, outputTokens: 12 },
    });
  });

  it("has those counts where a gateway says 0 of what it does not count again", () => {
    const usage = { input_tokens: 10, output_tokens: 1 };
    const verbs = read(
      start("m1", { usage }),
      { ...ended(), usage: { output_tokens: 9, input_tokens: 0 } },
      over,
    );
    expect(verbs.at(-1)).toMatchObject({ usage: { inputTokens: 10, outputTokens: 9 } });
  });

  it("fails early where message_stop did not come", () => {
    expect(read(start(), ended())).toMatchObject([{ verb: "fail", error: { code: "stream-ended-early" } }]);
  });

  it("fails with an error event and the usage so far", () => {
    const error = { type: "error", error: { type: "overloaded_error", message: "Overloaded" } };
    expect(read(start("m1", { usage: { input_tokens: 3 } }), error, over)).toEqual([
      {
        verb: "fail",
        error: { code: "overloaded_error", message: "Overloaded" },
        finishReason: "error",
        usage: { inputTokens: 3, raw: { input_tokens: 3 } },
      },
    ]);
  });

  it("is not a start that is told twice; another message's start is", () => {
    expect(read(start(), start(), ended(), over).map(({ verb }) => verb)).toEqual(["step-finish", "finish"]);
    const cut = read(start("m1"), start("m2"), ended(), over);
    expect(cut).toMatchObject([
      { verb: "step-finish", finishReason: "other" },
      { verb: "step-finish" },
      { verb: "finish" },
    ]);
  });
});

describe("signatures", () => {
  it("are joined, and belong to the thinking before them", () => {
    const verbs = inside(
      block({ type: "thinking", thinking: "" }),
      delta({ type: "thinking_delta", thinking: "Hm." }),
      delta({ type: "signature_delta", signature: "ab" }),
      delta({ type: "signature_delta", signature: "cd" }),
      stop(),
    );
    expect(verbs).toEqual([
      { verb: "reasoning", text: "Hm.", block: "0.0" },
      { verb: "reasoning", text: "", block: "0.0", providerMetadata: { anthropic: { signature: "ab" } } },
      { verb: "reasoning", text: "", block: "0.0", providerMetadata: { anthropic: { signature: "abcd" } } },
    ]);
  });
});

describe("what is unknown", () => {
  it("is counted: events, blocks and deltas", () => {
    const reader = new AnthropicReader();
    expect(reader.read({ type: "message_sing" })).toBe("unknown");
    expect(reader.read(block({ type: "compaction" }))).toBe("unknown");
    expect(reader.read(delta({ type: "compaction_delta" }))).toBe("unknown");
    expect(Object.fromEntries(reader.unknownKinds)).toEqual({
      message_sing: 1,
      "block compaction": 1,
      "delta compaction_delta": 1,
    });
  });

  it("is not: pings, and blocks that end", () => {
    const reader = new AnthropicReader();
    for (const chunk of [{ type: "ping" }, start(), stop(3), ended(), over]) reader.read(chunk);
    expect(reader.unknownKinds.size).toBe(0);
    expect(reader.read(over)).toBe("unknown");
  });
});
