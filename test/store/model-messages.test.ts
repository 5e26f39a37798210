import { afterEach, beforeEach, describe, expect, it } from "@jest/globals";
import type { StoredPart } from "../../src/events/stored-part.ts";
import type { ConversationStore } from "../../src/store/conversation-store.ts";
import { openConversationStore } from "../../src/store/open-conversation-store.ts";
import type { ModelMessage } from "../../src/store/model-message-types.ts";
import { MISSING_RESULT_TEXT } from "../../src/store/tool-model-parts.ts";

let store: ConversationStore;
beforeEach(async () => {
  store = await openConversationStore("memory:", { flushIntervalMs: 0 });
});
afterEach(() => store.close());

/** The prompt of a session whose one answer has these parts. */
async function promptOf(parts: readonly object[], options?: { reasoning: boolean }): Promise<ModelMessage[]> {
  await store.saveMessage("s", "assistant", parts as StoredPart[]);
  return store.getMessages("s", options);
}

const call = { kind: "tool", tool_id: "t1", name: "read", input: '{"path":"a"}', state: "input-available" };
const answered = { ...call, state: "output-available", output: "42" };
const callPart = { type: "tool-call", toolCallId: "t1", toolName: "read", input: { path: "a" } };
const resultPart = (output: object) => ({ type: "tool-result", toolCallId: "t1", toolName: "read", output });
const text = (text: string) => ({ kind: "text", text });
const says = (text: string) => ({ role: "assistant", content: [{ type: "text", text }] });

describe("messages of plain text", () => {
  it("are given as they are, in order, and empty ones left out", async () => {
    await store.saveMessage("s", "system", "Be brief.");
    await store.saveMessage("s", "user", "[not json");
    await store.saveMessage("s", "user", "");
    await store.appendAssistantStub("s");
    await store.saveMessage("s", "assistant", "Yes.");
    expect(await store.getMessages("s")).toEqual([
      { role: "system", content: "Be brief." },
      { role: "user", content: "[not json" },
      { role: "assistant", content: "Yes." },
    ]);
  });

  it("are limited to the newest 50, or to as many as limit says", async () => {
    for (let n = 0; n < 52; n++) await store.saveMessage("s", "user", `${n}`);
    const contents = async (options = {}) => (await store.getMessages("s", options)).map((m) => m.content);
    expect(await contents()).toHaveLength(50);
    expect(await contents({ limit: 2 })).toEqual(["50", "51"]);
    expect(await contents({ limit: Infinity })).toHaveLength(52);
  });
});

describe("an assistant message", () => {
  it("gives the variant that is active, not the newest", async () => {
    const id = await store.appendAssistantStub("s");
    const other = [{ ...answered, output: "old" }];
    await store.updateBranches(id, JSON.stringify([text("new")]), JSON.stringify([other, "old text"]), 0);
    expect(await store.getMessages("s")).toEqual([
      { role: "assistant", content: [callPart] },
      { role: "tool", content: [resultPart({ type: "text", value: "old" })] },
    ]);
    await store.selectBranch(id, 1);
    expect(await store.getMessages("s")).toEqual([{ role: "assistant", content: "old text" }]);
    await store.selectBranch(id, 2);
    expect(await store.getMessages("s")).toEqual([says("new")]);
  });

  it("begins a new step behind a step part, and with what is written behind a tool's result", async () => {
    const other = { ...answered, tool_id: "t2" };
    expect(await promptOf([text("a"), answered, other, text("b"), { kind: "step" }, text("c")])).toEqual([
      {
        role: "assistant",
        content: [{ type: "text", text: "a" }, callPart, { ...callPart, toolCallId: "t2" }],
      },
      {
        role: "tool",
        content: [
          resultPart({ type: "text", value: "42" }),
          { ...resultPart({ type: "text", value: "42" }), toolCallId: "t2" },
        ],
      },
      says("b"),
      says("c"),
    ]);
  });

  it("begins a new step with a file that was made behind a tool's result", async () => {
    const file = { kind: "file", mediaType: "image/png", data: "aGk=" };
    expect(await promptOf([answered, file])).toMatchObject([
      { role: "assistant" },
      { role: "tool" },
      { role: "assistant", content: [{ type: "file", data: "aGk=" }] },
    ]);
  });

  it("keeps what the provider ran by itself inside the assistant message", async () => {
    const search = { ...answered, provider_executed: true, output: { hits: 2 } };
    expect(await promptOf([search, text("Two.")])).toEqual([
      {
        role: "assistant",
        content: [
          { ...callPart, providerExecuted: true },
          resultPart({ type: "json", value: { hits: 2 } }),
          { type: "text", text: "Two." },
        ],
      },
    ]);
  });

  it("hands reasoning back with its signature only when asked for", async () => {
    const metadata = { anthropic: { signature: "sig" } };
    const parts = [{ kind: "reasoning", text: "Hm.", providerMetadata: metadata }, text("Yes.")];
    expect(await promptOf(parts)).toEqual([says("Yes.")]);
    expect(await store.getMessages("s", { reasoning: true })).toEqual([
      {
        role: "assistant",
        content: [
          { type: "reasoning", text: "Hm.", providerOptions: metadata },
          { type: "text", text: "Yes." },
        ],
      },
    ]);
  });

  it("leaves out sources, unknown kinds and parts that are not what they say", async () => {
    const id = await store.appendAssistantStub("s");
    const parts = [{ kind: "source", url: "https://example.org" }, { kind: "hologram" }, { kind: "text" }];
    await store.updateBranches(id, JSON.stringify([...parts, { kind: "tool", name: "read" }]));
    expect(await store.getMessages("s")).toEqual([]);
  });
});

describe("a tool's input and output", () => {
  it.each([
    ["text", { state: "output-available", output: "42" }, { type: "text", value: "42" }],
    ["other JSON", { state: "output-available", output: [1, null] }, { type: "json", value: [1, null] }],
    ["an error's text", { state: "output-error", output: "gone" }, { type: "error-text", value: "gone" }],
    [
      "an error as JSON",
      { state: "output-error", output: { no: 1 } },
      { type: "error-json", value: { no: 1 } },
    ],
    [
      "several items",
      { state: "output-available", output: { type: "content", value: [{ type: "text", text: "a" }] } },
      { type: "content", value: [{ type: "text", text: "a" }] },
    ],
    // Whoever writes content by updateBranches may leave the state behind.
    ["an output that the state does not know of", { output: 7 }, { type: "json", value: 7 }],
  ])("give %s in the SDK's way", async (_name, part, output) => {
    const [, tool] = await promptOf([{ ...call, ...part }]);
    expect(tool).toEqual({ role: "tool", content: [resultPart(output)] });
  });

  it.each([
    ['{"a":1}', { a: 1 }],
    ["", {}],
    ['"free form"', "free form"],
    // Providers refuse arguments that are no object, and a turn that died in mid-call must not block the session.
    ['{"path":"a', { invalidJson: '{"path":"a' }],
  ])("parse the input %j", async (input, value) => {
    const [assistant] = await promptOf([{ ...answered, input }]);
    expect(assistant?.content).toEqual([{ ...callPart, input: value }]);
  });
});

describe("a call without a result", () => {
  const stateOf = async (part: object) =>
    (await promptOf([{ ...call, ...part }, { kind: "step" }, text("…")]))[1];

  it("that was not started is safe to make again", async () => {
    expect(await stateOf({})).toEqual({
      role: "tool",
      content: [
        {
          ...resultPart({ type: "error-text", value: MISSING_RESULT_TEXT["not-started"] }),
          providerOptions: { turnlog: { synthetic: "not-started" } },
        },
      ],
    });
    expect(MISSING_RESULT_TEXT["not-started"]).toMatch(/not started.*safe/);
  });

  it("that was started has an unknown outcome", async () => {
    expect(await stateOf({ started_at: 5 })).toEqual({
      role: "tool",
      content: [
        {
          ...resultPart({ type: "error-text", value: MISSING_RESULT_TEXT["outcome-unknown"] }),
          providerOptions: { turnlog: { synthetic: "outcome-unknown", startedAt: 5 } },
        },
      ],
    });
    expect(MISSING_RESULT_TEXT["outcome-unknown"]).toMatch(/no result was recorded.*Check/);
  });
});

describe("a call that a human is asked about", () => {
  const request = { type: "tool-approval-request", approvalId: "a1", toolCallId: "t1" };
  const asked = { ...call, state: "approval-requested", approval: { id: "a1" } };
  const approved = { ...call, state: "approval-responded", approval: { id: "a1", approved: true } };

  it("waits at the end of the prompt, and counts as not started when the conversation goes on", async () => {
    expect(await promptOf([asked])).toEqual([{ role: "assistant", content: [callPart, request] }]);
    await store.saveMessage("s", "user", "Never mind.");
    expect((await store.getMessages("s"))[1]).toMatchObject({
      content: [{ providerOptions: { turnlog: { synthetic: "not-started" } } }],
    });
  });

  it("ends the prompt with the approval, so that the SDK runs it, once", async () => {
    const response = { type: "tool-approval-response", approvalId: "a1", approved: true };
    expect((await promptOf([approved]))[1]).toEqual({ role: "tool", content: [response] });
    await store.deleteSession("s");
    expect((await promptOf([{ ...approved, started_at: 5 }]))[1]).toMatchObject({
      content: [response, { providerOptions: { turnlog: { synthetic: "outcome-unknown" } } }],
    });
  });

  it("gets the result from the turn that ran it after the approval, and from no other", async () => {
    const save = (part: object) => store.saveMessage("s", "assistant", [part as StoredPart]);
    const results = async () =>
      (await store.getMessages("s")).flatMap(({ role, content }) =>
        role === "tool" ? [(content.at(-1) as { output?: unknown }).output] : [],
      );
    await save(approved);
    await save(answered);
    await save({ ...answered, output: "another call of that id" });
    expect(await results()).toEqual([
      { type: "text", value: "42" },
      { type: "text", value: "another call of that id" },
    ]);
    await store.deleteSession("s");
    await save(approved);
    await store.saveMessage("s", "user", "Never mind.");
    await save(answered);
    expect(await results()).toEqual([
      { type: "error-text", value: MISSING_RESULT_TEXT["not-started"] },
      { type: "text", value: "42" },
    ]);
  });

  it("was denied, with the reason", async () => {
    const approval = { id: "a1", approved: false, reason: "No." };
    expect(await promptOf([{ ...call, state: "output-denied", approval }])).toEqual([
      { role: "assistant", content: [callPart, request] },
      {
        role: "tool",
        content: [
          { type: "tool-approval-response", approvalId: "a1", approved: false, reason: "No." },
          resultPart({ type: "execution-denied", reason: "No." }),
        ],
      },
    ]);
  });
});

describe("a call that the provider runs", () => {
  it("and a human denied has no result beside the response: the provider knows its own tool", async () => {
    const approval = { id: "a1", approved: false };
    const denied = { ...call, provider_executed: true, state: "output-denied", approval };
    expect(await promptOf([denied, { kind: "step" }, text("All right.")])).toEqual([
      {
        role: "assistant",
        content: [
          { ...callPart, providerExecuted: true },
          { type: "tool-approval-request", approvalId: "a1", toolCallId: "t1" },
        ],
      },
      {
        role: "tool",
        content: [
          {
            type: "tool-approval-response",
            approvalId: "a1",
            approved: false,
            providerExecuted: true,
          },
        ],
      },
      says("All right."),
    ]);
  });
});

describe("messages of other roles", () => {
  it("give a user's files as images and files", async () => {
    await store.saveMessage("s", "user", [
      text("See:"),
      { kind: "file", mediaType: "image/png", data: "aGk=" },
      { kind: "file", mediaType: "image/png", url: "https://example.org/a.png", filename: "a.png" },
      { kind: "file", mediaType: "application/pdf", data: "aGk=" },
    ]);
    expect(await store.getMessages("s")).toEqual([
      {
        role: "user",
        content: [
          { type: "text", text: "See:" },
          { type: "image", image: "aGk=", mediaType: "image/png" },
          { type: "file", data: "https://example.org/a.png", mediaType: "image/png", filename: "a.png" },
          { type: "file", data: "aGk=", mediaType: "application/pdf" },
        ],
      },
    ]);
  });

  it("joins the texts of a system message", async () => {
    const cached = { anthropic: { cacheControl: { type: "ephemeral" } } };
    await store.saveMessage("s", "system", [
      text("Be brief. ") as StoredPart,
      { ...text("Be kind."), providerMetadata: cached } as StoredPart,
    ]);
    expect(await store.getMessages("s")).toEqual([
      { role: "system", content: "Be brief. Be kind.", providerOptions: cached },
    ]);
  });

  it("put a saved tool message behind its call, wherever it was saved", async () => {
    await store.saveMessage("s", "assistant", [call as StoredPart]);
    await store.saveMessage("s", "user", "Go on.");
    await store.saveMessage("s", "tool", [{ ...answered, input: "" } as StoredPart]);
    const prompt = [
      { role: "assistant", content: [callPart] },
      { role: "tool", content: [resultPart({ type: "text", value: "42" })] },
      { role: "user", content: "Go on." },
    ];
    expect(await store.getMessages("s")).toEqual(prompt);
    // Without its call a result is an orphan, and no provider takes one.
    expect(await store.getMessages("s", { limit: 2 })).toEqual(prompt.slice(2));
  });
});

describe("a saved tool message", () => {
  const results = async () =>
    (await store.getMessages("s")).flatMap(({ role, content }) =>
      role === "tool" ? [(content[0] as { output?: unknown }).output] : [],
    );
  const unknown = { type: "error-text", value: MISSING_RESULT_TEXT["not-started"] };

  it("answers the newest of two calls that have its id", async () => {
    await store.saveMessage("s", "assistant", [call as StoredPart]);
    await store.saveMessage("s", "assistant", [call as StoredPart]);
    await store.saveMessage("s", "tool", [{ ...answered, input: "" } as StoredPart]);
    expect(await results()).toEqual([unknown, { type: "text", value: "42" }]);
  });

  it("of plain text answers the one call of the newest answer, where there is one", async () => {
    await store.saveMessage("s", "assistant", [call as StoredPart]);
    await store.saveMessage("s", "tool", "42");
    expect(await results()).toEqual([{ type: "text", value: "42" }]);
    await store.saveMessage("s", "assistant", [{ ...call, tool_id: "t2" } as StoredPart]);
    await store.saveMessage("s", "assistant", [text("Never mind.") as StoredPart]);
    await store.saveMessage("s", "tool", "43");
    expect(await results()).toEqual([{ type: "text", value: "42" }, unknown]);
  });
});

describe("replaceMessages with a prompt", () => {
  it("takes the SDK's own messages, with bytes and URLs", async () => {
    await store.replaceMessages("s", [
      {
        role: "system",
        content: "Be brief.",
        providerOptions: { anthropic: { cacheControl: { type: "ephemeral" } } },
      },
      { role: "user", content: [{ type: "image", image: new Uint8Array([104, 105]) } as { type: string }] },
      { role: "assistant", content: [callPart] },
      { role: "tool", content: [resultPart({ type: "text", value: "42" })] },
      { role: "assistant", content: [{ type: "text", text: "42." } as { type: string }] },
      {
        role: "user",
        content: [
          { type: "file", data: new URL("https://example.org/a"), mediaType: "text/plain" } as {
            type: string;
          },
          { type: "file", data: { type: "text", text: "hi" }, mediaType: "text/plain" } as { type: string },
        ],
      },
    ]);
    expect((await store.listMessages("s")).map(({ role, parts }) => ({ role, parts }))).toEqual([
      {
        role: "system",
        parts: [
          {
            kind: "text",
            text: "Be brief.",
            providerMetadata: { anthropic: { cacheControl: { type: "ephemeral" } } },
          },
        ],
      },
      { role: "user", parts: [{ kind: "file", mediaType: "image/*", data: "aGk=" }] },
      { role: "assistant", parts: [answered, { kind: "step" }, text("42.")] },
      {
        role: "user",
        parts: [
          { kind: "file", mediaType: "text/plain", url: "https://example.org/a" },
          { kind: "file", mediaType: "text/plain", data: "aGk=" },
        ],
      },
    ]);
  });

  it("keeps the step of a text that stands behind a call, though the call has a result", async () => {
    const prompt: ModelMessage[] = [
      { role: "assistant", content: [callPart as never, { type: "text", text: "Wait." }] },
      { role: "tool", content: [resultPart({ type: "text", value: "42" }) as never] },
      { role: "assistant", content: [{ type: "text", text: "42." }] },
    ];
    await store.replaceMessages("s", prompt);
    expect(await store.getMessages("s")).toEqual(prompt);
  });

  it("keeps messages beside the prompt's, and stores no made-up results", async () => {
    const kept = await store.saveMessage("s", "user", "Kept");
    await store.saveMessage("s", "assistant", [{ ...call, started_at: 5 } as StoredPart]);
    await store.saveMessage("s", "user", "?");
    const prompt = await store.getMessages("s");
    await store.replaceMessages("s", [{ keep: kept }, ...prompt.slice(1)]);
    expect(await store.getMessages("s")).toEqual(prompt);
    const [first, second] = await store.listMessages("s");
    expect(first?.id).toBe(kept);
    expect(second?.parts).toEqual([{ ...call, started_at: 5 }]);
  });

  it("refuses what cannot be kept, and changes nothing", async () => {
    await store.saveMessage("s", "user", "Before");
    const reference = { type: "file", mediaType: "text/plain", data: { openai: "file-1" } } as {
      type: string;
    };
    for (const part of [reference, { type: "hologram" }]) {
      await expect(store.replaceMessages("s", [{ role: "user", content: [part] }])).rejects.toMatchObject({
        code: "invalid-content",
      });
    }
    expect(await store.getMessages("s")).toEqual([{ role: "user", content: "Before" }]);
  });
});
