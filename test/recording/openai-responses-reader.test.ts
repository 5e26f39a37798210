import { describe, expect, it } from "@jest/globals";
import { OpenAiResponsesReader } from "../../src/recording/openai-responses-reader.ts";
import { verbsOf } from "./recording-support.ts";

const created = { type: "response.created", response: { id: "r1", model: "m" } };
const completed = { type: "response.completed", response: { id: "r1", status: "completed" } };
const added = (item: object, index = 0) => ({
  type: "response.output_item.added",
  output_index: index,
  item,
});
const done = (item: object, index = 0) => ({ type: "response.output_item.done", output_index: index, item });
const event = (type: string, fields: object) => ({ type: `response.${type}`, output_index: 0, ...fields });

const read = (...chunks: readonly unknown[]) => verbsOf(new OpenAiResponsesReader(), ...chunks);
/** The verbs between a response's beginning and its end. */
const inside = (...chunks: readonly unknown[]) => read(created, ...chunks, completed).slice(0, -2);

describe("hosted tools", () => {
  const call = { toolId: "i1", providerExecuted: true };

  it("a web search has its action as input and its sources as output", () => {
    const item = { id: "i1", type: "web_search_call", action: { type: "search", query: "q" } };
    expect(
      inside(
        added({ ...item, action: { type: "search" } }),
        event("web_search_call.in_progress", {}),
        event("web_search_call.searching", {}),
        event("web_search_call.completed", {}),
        done({ ...item, status: "completed" }),
      ),
    ).toEqual([
      {
        verb: "tool-input-start",
        ...call,
        name: "web_search",
        providerMetadata: { openai: { itemId: "i1" } },
      },
      { verb: "tool-started", toolId: "i1" },
      { verb: "tool-call", ...call, name: "web_search", input: '{"type":"search","query":"q"}' },
      { verb: "tool-result", toolId: "i1", output: { status: "completed" } },
    ]);
  });

  it("the code interpreter has the code as input and its outputs as output", () => {
    const item = { id: "i1", type: "code_interpreter_call", container_id: "k", code: "" };
    const verbs = inside(
      added(item),
      event("code_interpreter_call_code.delta", { delta: "1" }),
      event("code_interpreter_call_code.delta", { delta: "+1" }),
      event("code_interpreter_call_code.done", { code: "1+1" }),
      event("code_interpreter_call.interpreting", {}),
      done({ ...item, code: "1+1", status: "completed", outputs: [{ type: "logs", logs: "2" }] }),
    );
    expect(verbs.slice(1)).toEqual([
      { verb: "tool-input-delta", toolId: "i1", text: "1" },
      { verb: "tool-input-delta", toolId: "i1", text: "+1" },
      { verb: "tool-call", ...call, name: "code_interpreter" },
      { verb: "tool-started", toolId: "i1" },
      {
        verb: "tool-result",
        toolId: "i1",
        output: { status: "completed", outputs: [{ type: "logs", logs: "2" }] },
      },
    ]);
  });

  it("a file search has its queries as input and its results as output", () => {
    const item = {
      id: "i1",
      type: "file_search_call",
      queries: ["q"],
      results: [{ file_id: "f" }],
      status: "completed",
    };
    expect(inside(done(item)).slice(1)).toEqual([
      { verb: "tool-call", ...call, name: "file_search", input: '{"queries":["q"]}' },
      { verb: "tool-result", toolId: "i1", output: { status: "completed", results: [{ file_id: "f" }] } },
    ]);
  });

  it("an image becomes a file, and is not kept a second time in the output", () => {
    const item = {
      id: "i1",
      type: "image_generation_call",
      status: "completed",
      revised_prompt: "p",
      output_format: "webp",
    };
    expect(inside(done({ ...item, result: "iVBO" })).slice(1)).toEqual([
      { verb: "tool-call", ...call, name: "image_generation", input: "{}" },
      { verb: "tool-result", toolId: "i1", output: { status: "completed", revisedPrompt: "p" } },
      { verb: "file", mediaType: "image/webp", data: "iVBO" },
    ]);
  });

  it("that fails ends in an error", () => {
    const item = { id: "i1", type: "web_search_call", status: "failed", action: {} };
    expect(inside(done(item)).at(-1)).toMatchObject({ verb: "tool-error", toolId: "i1" });
  });

  it("of an MCP server may await approval", () => {
    const item = { id: "p1", type: "mcp_approval_request", name: "f", arguments: "{}", server_label: "s" };
    expect(inside(added(item), done(item))).toEqual([
      {
        verb: "tool-call",
        toolId: "p1",
        name: "f",
        input: "{}",
        providerExecuted: true,
        providerMetadata: { openai: { itemId: "p1", serverLabel: "s" } },
      },
      { verb: "tool-approval", toolId: "p1", approval: "requested", approvalId: "p1" },
    ]);
  });
});

describe("several responses in one input", () => {
  it("have items of their own at the same places, and finish reasons of their own", () => {
    const call = (id: string) => done({ id, call_id: id, type: "function_call", name: "f", arguments: id });
    const verbs = read(created, call("a"), completed, created, call("b"), completed, created, completed);
    expect(verbs.filter(({ verb }) => verb === "tool-call")).toMatchObject([
      { toolId: "a", input: "a" },
      { toolId: "b", input: "b" },
    ]);
    const reasons = verbs.flatMap((verb) => (verb.verb === "step-finish" ? [verb.finishReason] : []));
    expect(reasons).toEqual(["tool-calls", "tool-calls", "stop"]);
  });

  it("approve in a later one what an earlier one asked for", () => {
    const request = { id: "p1", type: "mcp_approval_request", name: "f", arguments: "{}" };
    const run = {
      id: "i1",
      type: "mcp_call",
      approval_request_id: "p1",
      name: "f",
      arguments: "{}",
      output: "ok",
    };
    const verbs = read(created, done(request), completed, created, added(run), done(run), completed);
    expect(verbs).toContainEqual({ verb: "tool-approval", toolId: "p1", approval: "approved" });
    expect(verbs).toContainEqual({ verb: "tool-result", toolId: "i1", output: "ok" });
  });
});

describe("tools of the caller", () => {
  it("a custom tool's input is plain text", () => {
    const item = { id: "i1", call_id: "c1", type: "custom_tool_call", name: "sql", input: "" };
    const verbs = read(
      created,
      added(item),
      event("custom_tool_call_input.delta", { delta: "SELECT 1" }),
      done({ ...item, input: "SELECT 1" }),
      completed,
    );
    expect(verbs.slice(1, 3)).toEqual([
      { verb: "tool-input-delta", toolId: "c1", text: "SELECT 1" },
      { verb: "tool-call", toolId: "c1", name: "sql" },
    ]);
    expect(verbs.at(-1)).toEqual({ verb: "finish", finishReason: "tool-calls" });
  });

  it("shell commands and patches are calls whose input is what they say", () => {
    const shell = {
      id: "i1",
      call_id: "c1",
      type: "local_shell_call",
      action: { command: ["ls"] },
      status: "completed",
    };
    const patch = {
      id: "i2",
      call_id: "c2",
      type: "apply_patch_call",
      operation: { path: "a" },
      status: "completed",
    };
    expect(inside(done(shell, 0), done(patch, 1)).filter(({ verb }) => verb === "tool-call")).toEqual([
      { verb: "tool-call", toolId: "c1", name: "local_shell", input: '{"command":["ls"]}' },
      { verb: "tool-call", toolId: "c2", name: "apply_patch", input: '{"path":"a"}' },
    ]);
  });

  it("a shell in the provider's container brings its output as another item", () => {
    const shell = {
      id: "i1",
      call_id: "c1",
      type: "shell_call",
      action: {},
      environment: { type: "container_reference" },
    };
    const output = { id: "i2", call_id: "c1", type: "shell_call_output", output: [{ stdout: "hi" }] };
    expect(inside(done(shell, 0), added({ ...output, output: [] }, 1), done(output, 1)).at(-1)).toEqual({
      verb: "tool-result",
      toolId: "c1",
      output: [{ stdout: "hi" }],
    });
  });
});

describe("texts and reasoning", () => {
  it("are told apart by their place, whatever ids a gateway puts on the events", () => {
    const text = (item_id: string, delta: string) =>
      event("output_text.delta", { item_id, content_index: 0, delta });
    expect(inside(text("x", "a"), text("y", "b"))).toEqual([
      { verb: "text", text: "a", block: "0.0.text0" },
      { verb: "text", text: "b", block: "0.0.text0" },
    ]);
  });

  it("are taken from the finished item where no delta came", () => {
    const verbs = inside(
      done({ id: "r", type: "reasoning", summary: [{ type: "summary_text", text: "Hm." }] }, 0),
      done(
        {
          id: "m",
          type: "message",
          content: [{ type: "output_text", text: "Yes.", annotations: [{ url: "u" }] }],
        },
        1,
      ),
    );
    expect(verbs).toMatchObject([
      { verb: "reasoning", text: "Hm." },
      { verb: "text", text: "Yes." },
      { verb: "source", source: { url: "u" } },
    ]);
  });

  it("bring their citations as they are made, or in the finished item; once", () => {
    const cited = (url: string) => ({ type: "url_citation", url });
    const text = event("output_text.delta", { content_index: 0, delta: "Yes." });
    const added = event("output_text.annotation.added", { content_index: 0, annotation: cited("a") });
    const item = done({
      id: "m",
      type: "message",
      content: [{ type: "output_text", text: "Yes.", annotations: [cited("a")] }],
    });
    const urls = (...events: readonly object[]) =>
      inside(...events).flatMap((verb) => (verb.verb === "source" ? [verb.source["url"]] : []));
    expect(urls(text, added, item)).toEqual(["a"]);
    expect(urls(text, item)).toEqual(["a"]);
  });

  it("keeps a reasoning item that is empty but for what the next request must send back", () => {
    const verbs = inside(done({ id: "r", type: "reasoning", summary: [], encrypted_content: "ZW5j" }));
    expect(verbs).toEqual([
      {
        verb: "reasoning",
        text: "",
        block: "0.0.summary0",
        providerMetadata: { openai: { itemId: "r", reasoningEncryptedContent: "ZW5j" } },
      },
    ]);
  });

  it("keeps a refusal as text that says so", () => {
    expect(inside(event("refusal.delta", { content_index: 0, delta: "No." }))).toMatchObject([
      { verb: "text", text: "No.", providerMetadata: { openai: { refusal: true } } },
    ]);
  });
});

describe("the end of a response", () => {
  const usage = { input_tokens: 5, output_tokens: 4, output_tokens_details: { reasoning_tokens: 3 } };
  const counted = { inputTokens: 5, outputTokens: 4, reasoningTokens: 3, raw: usage };

  it("finishes the step with its usage, and the turn with the input", () => {
    const verbs = read(created, { type: "response.completed", response: { status: "completed", usage } });
    expect(verbs).toEqual([
      {
        verb: "step-finish",
        finishReason: "stop",
        usage: counted,
        providerMetadata: { openai: { status: "completed", responseId: "r1", model: "m" } },
      },
      { verb: "finish", finishReason: "stop", usage: counted },
    ]);
  });

  it.each([
    ["max_output_tokens", "length"],
    ["content_filter", "content-filter"],
  ])("fails where the response is incomplete for %s", (reason, finishReason) => {
    const response = { status: "incomplete", incomplete_details: { reason }, usage };
    expect(read(created, { type: "response.incomplete", response })).toEqual([
      {
        verb: "fail",
        error: { code: reason, message: `The response is incomplete: ${reason}.` },
        finishReason,
        usage: counted,
      },
    ]);
  });

  it.each([
    ["nested", { type: "error", sequence_number: 1, error: { code: "quota", message: "No" } }],
    ["flat", { type: "error", sequence_number: 1, code: "quota", message: "No" }],
  ])("fails once with an error event, %s, however often it is told", (_form, error) => {
    const failed = { type: "response.failed", response: { error: { code: "quota", message: "No" } } };
    expect(read(created, error, failed)).toEqual([
      { verb: "fail", error: { code: "quota", message: "No" }, finishReason: "error" },
    ]);
  });

  it("fails early where it did not come", () => {
    expect(read(created)).toMatchObject([{ verb: "fail", error: { code: "stream-ended-early" } }]);
    expect(read()).toMatchObject([{ verb: "fail", error: { code: "stream-ended-early" } }]);
  });
});

describe("what is unknown", () => {
  it("is no danger: an index may be an object whose toString is no function", () => {
    const reader = new OpenAiResponsesReader();
    const hostile = JSON.parse('{"toString":1,"valueOf":1}') as unknown;
    const chunk = {
      type: "response.output_text.delta",
      output_index: hostile,
      content_index: hostile,
      delta: "a",
    };
    expect(reader.read(chunk)).toMatchObject([{ verb: "text", text: "a" }]);
  });

  it("is counted: events, and items that are neither text nor a tool", () => {
    const reader = new OpenAiResponsesReader();
    expect(reader.read(event("dance.delta", {}))).toBe("unknown");
    expect(reader.read(done({ id: "x", type: "compaction" }))).toBe("unknown");
    expect(reader.read(event("content_part.added", {}))).toEqual([]);
    expect(Object.fromEntries(reader.unknownKinds)).toEqual({
      "response.dance.delta": 1,
      "output item compaction": 1,
    });
  });
});
