import { describe, expect, it } from "@jest/globals";
import { OpenAiChatReader } from "../../src/recording/openai-chat-reader.ts";
import { verbsOf } from "./recording-support.ts";

const delta = (fields: object, more: object = {}) => ({
  id: "c1",
  model: "m",
  choices: [{ index: 0, delta: fields, finish_reason: null, ...more }],
});
const call = (...pieces: object[]) => delta({ tool_calls: pieces });
const stop = delta({}, { finish_reason: "stop" });

const read = (...chunks: readonly unknown[]) => verbsOf(new OpenAiChatReader(), ...chunks);
const brief = (...chunks: readonly unknown[]) =>
  read(...chunks, stop)
    .filter(({ verb }) => verb !== "step-finish" && verb !== "finish")
    .map((verb) => ("text" in verb ? `${verb.verb} ${verb.text}` : verb));

describe("reasoning has many names", () => {
  it.each(["reasoning_content", "reasoning", "thinking", "reasoning_text"])("%s", (field) => {
    expect(brief(delta({ [field]: "Hm." }))).toEqual(["reasoning Hm."]);
  });

  it("is taken once where a provider says it under two names", () => {
    expect(brief(delta({ reasoning_content: "Hm.", reasoning: "Hm." }))).toEqual(["reasoning Hm."]);
  });

  it("comes as typed parts from Mistral", () => {
    const thinking = { type: "thinking", thinking: [{ type: "text", text: "Hm" }] };
    expect(brief(delta({ content: [thinking, { type: "text", text: "Yes" }] }))).toEqual([
      "reasoning Hm",
      "text Yes",
    ]);
  });

  it("comes in details from OpenRouter, whose signatures and encrypted data must be sent back", () => {
    const detail = { type: "reasoning.text", text: "Hm.", index: 0 };
    const signature = { type: "reasoning.text", signature: "sig", index: 0 };
    const encrypted = { type: "reasoning.encrypted", data: "ZW5j", index: 1 };
    const verbs = read(
      delta({ reasoning: "Hm.", reasoning_details: [detail] }),
      delta({ reasoning_details: [signature] }),
      delta({ reasoning_details: [encrypted] }),
      stop,
    );
    expect(verbs.slice(0, 3)).toEqual([
      { verb: "reasoning", text: "Hm.", block: "0.1" },
      {
        verb: "reasoning",
        text: "",
        block: "0.1",
        providerMetadata: { openrouter: { reasoningDetails: [signature] } },
      },
      {
        verb: "reasoning",
        text: "",
        block: "0.1",
        providerMetadata: { openrouter: { reasoningDetails: [signature, encrypted] } },
      },
    ]);
  });

  it("comes in blocks through LiteLLM, whose signatures and redacted data must be sent back", () => {
    const block = { type: "thinking", thinking: "Hm." };
    const verbs = read(
      delta({ reasoning_content: "Hm.", thinking_blocks: [block] }),
      delta({ thinking_blocks: [{ type: "thinking", thinking: "", signature: "sig" }] }),
      delta({ thinking_blocks: [{ type: "redacted_thinking", data: "ZW5j" }] }),
      stop,
    );
    const inBlock = { verb: "reasoning", block: "0.1" };
    expect(verbs.slice(0, 3)).toEqual([
      { ...inBlock, text: "Hm." },
      { ...inBlock, text: "", providerMetadata: { anthropic: { signature: "sig" } } },
      { ...inBlock, text: "", providerMetadata: { anthropic: { redactedData: "ZW5j" } } },
    ]);
    expect(brief(delta({ thinking_blocks: [block] }))).toEqual(["reasoning Hm."]);
  });

  it("begins another part after text or a tool call", () => {
    const blocks = read(
      delta({ reasoning: "a" }),
      delta({ reasoning: "b" }),
      delta({ content: "c" }),
      delta({ reasoning: "d" }),
      call({ index: 0, id: "t", function: { name: "f", arguments: "" } }),
      delta({ reasoning: "e" }),
    ).flatMap((verb) => ("block" in verb ? [verb.block] : []));
    expect(blocks).toEqual(["0.1", "0.1", "0.2", "0.3", "0.4"]);
  });
});

describe("tool calls", () => {
  const inputs = (...chunks: readonly unknown[]) => {
    const result: Record<string, string> = {};
    const names: Record<string, string> = {};
    for (const verb of read(...chunks, stop)) {
      if (verb.verb === "tool-input-start") result[verb.toolId] = "";
      if (verb.verb === "tool-input-delta") result[verb.toolId] += verb.text;
      if (verb.verb === "tool-call") names[verb.toolId] = verb.name;
    }
    return Object.entries(result).map(([id, input]) => `${id}:${names[id]}(${input})`);
  };

  it("come in pieces that only the index tells apart, in any order", () => {
    expect(
      inputs(
        call({ index: 0, id: "a", function: { name: "f", arguments: "" } }),
        call({ index: 1, id: "b", function: { name: "g", arguments: "[" } }),
        call({ index: 0, function: { arguments: "1" } }, { index: 1, function: { arguments: "2]" } }),
      ),
    ).toEqual(["a:f(1)", "b:g([2])"]);
  });

  it("may repeat the id, or say it empty, in later pieces", () => {
    expect(
      inputs(
        call({ index: 0, id: "a", function: { name: "f", arguments: "1" } }),
        call({ index: 0, id: "a", function: { name: "f", arguments: "2" } }),
        call({ index: 0, id: "", function: { name: "", arguments: "3" } }),
      ),
    ).toEqual(["a:f(123)"]);
  });

  it("may come whole and without an index", () => {
    const whole = (id: string) => ({ id, function: { name: "f", arguments: "{}" } });
    expect(inputs(call(whole("a"), whole("b")), call(whole("c")))).toEqual(["a:f({})", "b:f({})", "c:f({})"]);
  });

  it("may all have the index 0", () => {
    const whole = (id: string) => ({ index: 0, id, function: { name: "f", arguments: "{}" } });
    expect(inputs(call(whole("a")), call(whole("b")))).toEqual(["a:f({})", "b:f({})"]);
  });

  it("get an id where the provider gives none, and another where it gives one twice", () => {
    const unnamed = (index: number) => ({ index, function: { name: "f", arguments: "" } });
    expect(inputs(call(unnamed(0)), call(unnamed(1)))).toEqual(["call_0_0:f()", "call_0_1:f()"]);
    const named = (index: number) => ({ index, id: "same", function: { name: "f", arguments: "" } });
    expect(inputs(call(named(0)), call(named(1)))).toEqual(["same:f()", "same-2:f()"]);
  });

  it("may say the name after the id", () => {
    expect(
      inputs(
        call({ index: 0, id: "a", function: { arguments: "" } }),
        call({ index: 0, function: { name: "f", arguments: "{}" } }),
      ),
    ).toEqual(["a:f({})"]);
  });

  it("may have arguments that are parsed already, and custom tools have an input", () => {
    expect(
      inputs(
        call({ index: 0, id: "a", function: { name: "f", arguments: { x: 1 } } }),
        call({ index: 1, id: "b", type: "custom", custom: { name: "sql", input: "SELECT 1" } }),
      ),
    ).toEqual(['a:f({"x":1})', "b:sql(SELECT 1)"]);
  });

  it("come as function_call in the older protocol", () => {
    expect(
      inputs(
        delta({ function_call: { name: "f", arguments: "" } }),
        delta({ function_call: { arguments: "{}" } }),
      ),
    ).toEqual(["call_0_0:f({})"]);
  });

  it("stay incomplete where the stream ends before the message", () => {
    const verbs = read(call({ index: 0, id: "a", function: { name: "f", arguments: '{"x' } }));
    expect(verbs.map(({ verb }) => verb)).toEqual(["tool-input-start", "tool-input-delta", "fail"]);
  });

  it("keep the thought signature of Gemini", () => {
    const extra_content = { google: { thought_signature: "c2ln" } };
    const verbs = read(
      call({ index: 0, id: "a", extra_content, function: { name: "f", arguments: "" } }),
      stop,
    );
    expect(verbs).toContainEqual({
      verb: "tool-call",
      toolId: "a",
      name: "f",
      providerMetadata: extra_content,
    });
  });
});

describe("tools that Groq ran on its side", () => {
  const executed = (tool: object) => delta({ executed_tools: [tool] });
  const search = { index: 0, type: "search", arguments: '{"query":"weather"}' };

  it("are calls of the provider's, whose result comes later at the same place", () => {
    const results = { results: [{ url: "https://a" }] };
    expect(
      read(
        executed(search),
        executed({ ...search, output: "Sunny.", search_results: results }),
        executed({ index: 1, type: "python", arguments: "1 + 1", output: "2", search_results: null }),
        executed({ index: 1, type: "python", arguments: "1 + 1", output: "2" }),
        stop,
      ).slice(0, -2),
    ).toEqual([
      {
        verb: "tool-call",
        toolId: "executed_0_0",
        name: "search",
        input: search.arguments,
        providerExecuted: true,
      },
      { verb: "tool-started", toolId: "executed_0_0" },
      {
        verb: "tool-result",
        toolId: "executed_0_0",
        output: { output: "Sunny.", search_results: results },
      },
      { verb: "tool-call", toolId: "executed_0_1", name: "python", input: "1 + 1", providerExecuted: true },
      { verb: "tool-started", toolId: "executed_0_1" },
      { verb: "tool-result", toolId: "executed_0_1", output: "2" },
    ]);
  });

  it("end the text before them", () => {
    const blocks = read(delta({ content: "a" }), executed(search), delta({ content: "b" })).flatMap((verb) =>
      verb.verb === "text" ? [verb.block] : [],
    );
    expect(blocks).toEqual(["0.1", "0.2"]);
  });
});

describe("a signature of Gemini's on a text", () => {
  it("goes with the text before it", () => {
    const extra_content = { google: { thought_signature: "sig" } };
    expect(read(delta({ content: "Hi" }), delta({ extra_content }), stop).slice(0, 2)).toEqual([
      { verb: "text", text: "Hi", block: "0.1" },
      {
        verb: "text",
        text: "",
        block: "0.1",
        providerMetadata: { google: { thought_signature: "sig" } },
      },
    ]);
  });
});

describe("citations, refusals and images", () => {
  const urls = (...chunks: readonly unknown[]) =>
    read(...chunks, stop).flatMap((verb) =>
      verb.verb === "source" ? [[verb.source["url"], verb.source["title"]]] : [],
    );

  it("takes a list of addresses once, however often it is repeated", () => {
    const withCitations = { ...delta({ content: "x" }), citations: ["https://a", "https://b"] };
    expect(urls(withCitations, withCitations)).toEqual([
      ["https://a", undefined],
      ["https://b", undefined],
    ]);
  });

  it("takes an annotation once, however often it is repeated, and tells apart what differs", () => {
    const annotation = (end_index: number) => ({
      type: "url_citation",
      url_citation: { url: "https://a", end_index },
    });
    const chunk = delta({ annotations: [annotation(1)] });
    expect(urls(chunk, chunk, delta({ annotations: [annotation(2)] }))).toHaveLength(2);
  });

  it("takes Zhipu's search results, whose addresses are links", () => {
    const chunk = { ...delta({ content: "x" }), web_search: [{ link: "https://a", title: "A" }] };
    expect(urls(chunk, chunk)).toEqual([["https://a", "A"]]);
  });

  it("takes the documents that Azure found in the caller's own data, once", () => {
    const citation = { content: "Dogs need walks.", title: "Dogs", url: null, filepath: "dogs.md" };
    const chunk = delta({ role: "assistant", context: { citations: [citation], intent: "dogs" } });
    expect(read(chunk, chunk, stop)[0]).toEqual({
      verb: "source",
      source: { sourceType: "document", title: "Dogs", filename: "dogs.md", citedText: "Dogs need walks." },
    });
    expect(urls(chunk, chunk)).toHaveLength(1);
  });

  it("prefers search results, which have titles", () => {
    const chunk = {
      ...delta({ content: "x" }),
      citations: ["https://a"],
      search_results: [{ url: "https://a", title: "A" }],
    };
    expect(urls(chunk)).toEqual([["https://a", "A"]]);
  });

  it("keeps a refusal as text that says so", () => {
    expect(read(delta({ refusal: "I " }), delta({ refusal: "won't" })).slice(0, 2)).toEqual([
      { verb: "text", text: "I ", block: "0.1", providerMetadata: { openai: { refusal: true } } },
      { verb: "text", text: "won't", block: "0.1" },
    ]);
  });

  it("keeps images as files, by their data or by their address", () => {
    const image = (url: string) => ({ type: "image_url", image_url: { url } });
    const images = [image("data:image/png;base64,iVBO"), image("https://pictures.example/1")];
    expect(read(delta({ images })).slice(0, 2)).toEqual([
      { verb: "file", mediaType: "image/png", data: "iVBO" },
      { verb: "file", mediaType: "image/*", url: "https://pictures.example/1" },
    ]);
  });
});

describe("the end of a message", () => {
  it.each([
    ["stop", "stop"],
    ["length", "length"],
    ["model_length", "length"],
    ["eos_token", "stop"],
    ["sensitive", "content-filter"],
    ["tool_calls", "tool-calls"],
    ["function_call", "tool-calls"],
    ["content_filter", "content-filter"],
    ["something_new", "other"],
  ])("%s is %s", (raw, normalised) => {
    const verbs = read(delta({}, { finish_reason: raw }));
    expect(verbs).toEqual([
      {
        verb: "step-finish",
        finishReason: normalised,
        providerMetadata: { openai: { finishReason: raw, responseId: "c1", model: "m" } },
      },
      { verb: "finish", finishReason: normalised },
    ]);
  });

  const usage = { prompt_tokens: 3, completion_tokens: 2, prompt_cache_hit_tokens: 1 };
  const counted = { inputTokens: 3, outputTokens: 2, cachedInputTokens: 1, raw: usage };

  it.each([
    ["after the end, without choices", [stop, { id: "c1", choices: [], usage }]],
    ["with the end", [{ ...stop, usage }]],
    ["under x_groq", [{ ...stop, x_groq: { usage } }]],
    ["in the choice", [delta({}, { finish_reason: "stop", usage })]],
  ])("has its usage %s", (_where, chunks) => {
    expect(read(...chunks).at(-1)).toEqual({ verb: "finish", finishReason: "stop", usage: counted });
  });

  it("may repeat as a whole message what the deltas said", () => {
    const message = { role: "assistant", content: "Hi", tool_calls: [] };
    const whole = { id: "c1", choices: [{ index: 0, message, finish_reason: "stop" }], usage };
    expect(read(delta({ content: "Hi" }), whole)).toMatchObject([
      { verb: "text", text: "Hi" },
      { verb: "step-finish", finishReason: "stop" },
      { verb: "finish", usage: counted },
    ]);
    const called = { id: "t", function: { name: "f", arguments: "{}" } };
    const answer = { ...message, content: null, tool_calls: [called] };
    const calls = read(call(called), {
      id: "c1",
      choices: [{ message: answer, finish_reason: "tool_calls" }],
    });
    expect(calls.filter(({ verb }) => verb === "tool-input-delta")).toHaveLength(1);
  });

  it("may come in the chunk of its last words", () => {
    expect(read(delta({ content: "Hi" }, { finish_reason: "stop" })).map(({ verb }) => verb)).toEqual([
      "text",
      "step-finish",
      "finish",
    ]);
  });

  it("begins another step with another id, and not before", () => {
    const verbs = read(
      stop,
      delta({ content: "" }),
      { ...delta({ content: "b" }), id: "c2" },
      { ...stop, id: "c2" },
    );
    expect(verbs.map(({ verb }) => verb)).toEqual(["step-finish", "text", "step-finish", "finish"]);
  });

  it.each([
    ["an error object", { error: { message: "No", code: "rate_limit" } }, "rate_limit", "No"],
    ["an error of a type only", { error: { message: "No", type: "server_error" } }, "server_error", "No"],
    ["an error text", { error: "No" }, "provider-error", "No"],
    ["an error of Groq's", { id: "c1", choices: [], x_groq: { error: "No" } }, "provider-error", "No"],
    ["vLLM's error", { object: "error", message: "No", code: 400 }, "400", "No"],
  ])("fails with %s", (_what, chunk, code, message) => {
    const reader = new OpenAiChatReader();
    expect(reader.read(chunk)).toEqual([{ verb: "fail", error: { code, message }, finishReason: "error" }]);
    expect(reader.read(delta({ content: "more" }))).toEqual([]);
    expect(reader.end()).toEqual([]);
  });

  it("fails where the finish reason is an error and nothing says which", () => {
    const verbs = read(delta({}, { finish_reason: "insufficient_system_resource" }));
    expect(verbs).toMatchObject([{ verb: "fail", error: { code: "insufficient_system_resource" } }]);
  });
});

describe("what is unknown", () => {
  it("is counted by its kind, and the rest of its chunk is read", () => {
    const reader = new OpenAiChatReader();
    expect(reader.read(delta({ content: "a", hum: "mm" }))).toHaveLength(1);
    expect(reader.read(delta({ hum: "mm" }))).toBe("unknown");
    expect(reader.read({ type: "news" })).toBe("unknown");
    expect(reader.read(7)).toBe("unknown");
    expect(reader.read({ id: "c1", choices: [{ index: 2, delta: { content: "x" } }] })).toBe("unknown");
    expect(Object.fromEntries(reader.unknownKinds)).toEqual({
      "delta.hum": 2,
      news: 1,
      number: 1,
      "choice 2": 1,
    });
  });

  it("is not: empty fields, the filter results of Azure, and the one-chunk answers of servers that do not stream", () => {
    const reader = new OpenAiChatReader();
    const whole = {
      id: "c1",
      choices: [{ index: 0, message: { role: "assistant", content: "Hi" }, finish_reason: "stop" }],
    };
    reader.read({ id: "", choices: [], prompt_filter_results: [] });
    reader.read({ id: "", choices: [{ index: 0, finish_reason: null, content_filter_results: {} }] });
    reader.read(delta({ role: "assistant", content: null, refusal: null, tool_calls: null, audio: null }));
    expect(reader.read(whole)).toMatchObject([{ verb: "text", text: "Hi" }]);
    expect(reader.read({ id: "c1", choices: [{ text: "!", index: 0 }] })).toMatchObject([
      { verb: "text", text: "!" },
    ]);
    expect(reader.unknownKinds.size).toBe(0);
    expect(reader.read({ id: "c1", choices: [{ index: 0 }] })).toBe("unknown");
  });
});
