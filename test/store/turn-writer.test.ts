import { describe, expect, it } from "@jest/globals";
import fc from "fast-check";
import type { StoredPart, ToolPart } from "../../src/events/stored-part.ts";
import { type ConversationStore, openConversationStore } from "../../src/store/conversation-store.ts";
import type { TurnWriter } from "../../src/store/turn-writer.ts";
import { anyText, propertyRuns } from "../support/arbitraries.ts";

async function withStore<T>(use: (store: ConversationStore) => Promise<T>): Promise<T> {
  const store = await openConversationStore("memory:", { flushIntervalMs: 0 });
  try {
    return await use(store);
  } finally {
    await store.close();
  }
}

const content = async (store: ConversationStore, turn: TurnWriter): Promise<string> =>
  (await store.lastAssistantMessage(turn.sessionId)).content;

describe("a turn", () => {
  it("begins with the user's message, a stub and its start in one append", () =>
    withStore(async (store) => {
      const turn = await store.beginTurn("s", { user: "Why?", model: "m-1" });
      const messages = await store.listMessages("s");
      expect(messages).toMatchObject([
        { role: "user", content: "Why?", status: "saved" },
        { id: turn.messageId, role: "assistant", content: "[]", status: "open" },
      ]);
    }));

  it("keeps text, reasoning, tool calls and steps as parts, in order", () =>
    withStore(async (store) => {
      const turn = await store.beginTurn("s");
      void turn.reasoningDelta("Let me");
      void turn.reasoningDelta(" see", { providerMetadata: { anthropic: { signature: "sig" } } });
      void turn.textDelta("I will ");
      void turn.textDelta("look.");
      void turn.toolInputStart({ toolId: "t1", name: "read" });
      void turn.toolInputDelta("t1", '{"path":');
      void turn.toolInputDelta("t1", '"a.txt"}');
      void turn.toolCall({ toolId: "t1", name: "read" });
      void turn.toolStarted("t1");
      void turn.toolResult("t1", { text: "42" }, { durationMs: 7 });
      void turn.stepFinish({ finishReason: "tool-calls", usage: { outputTokens: 3 } });
      void turn.textDelta("It says 42.");
      void turn.source({ url: "https://example.org", title: "A" });
      await turn.finish({ finishReason: "stop", usage: { inputTokens: 10, outputTokens: 5 } });
      const message = await store.lastAssistantMessage("s");
      expect(message).toMatchObject({
        status: "finished",
        finishReason: "stop",
        usage: { inputTokens: 10, outputTokens: 5 },
        parts: [
          { kind: "reasoning", text: "Let me see", providerMetadata: { anthropic: { signature: "sig" } } },
          { kind: "text", text: "I will look." },
          {
            kind: "tool",
            tool_id: "t1",
            name: "read",
            input: '{"path":"a.txt"}',
            output: { text: "42" },
            state: "output-available",
            started_at: expect.any(Number),
            duration_ms: 7,
          },
          { kind: "step", finishReason: "tool-calls", usage: { outputTokens: 3 } },
          { kind: "text", text: "It says 42." },
          { kind: "source", url: "https://example.org", title: "A" },
        ],
      });
    }));

  it("puts the deltas of a window into one event, with a mark for each", () =>
    withStore(async (store) => {
      const turn = await store.beginTurn("s");
      for (const text of ["One", " two", " three"]) void turn.textDelta(text);
      await turn.flush();
      const events = [];
      for await (const event of store.log.readStream("conversation-s", { from: 2 })) events.push(event);
      expect(events).toMatchObject([
        {
          type: "BranchesUpdated",
          data: {
            content: [
              [1, 0, '{"kind":"text","text":"One"}'],
              [27, 0, " two three"],
            ],
            length: 40,
            marks: [
              [0, 28],
              [expect.any(Number), 4],
              [expect.any(Number), 6],
            ],
          },
          metadata: { cause: "delta", turnId: turn.turnId },
        },
      ]);
      await turn.finish();
    }));

  it("flushes deltas before a structural event and says what each event is", () =>
    withStore(async (store) => {
      const turn = await store.beginTurn("s");
      void turn.textDelta("a");
      void turn.toolCall({ toolId: "t", name: "n", input: "{}" });
      void turn.toolStarted("t");
      void turn.toolError("t", "broken");
      await turn.stepFinish();
      await turn.fail(new Error("boom"));
      const causes = [];
      for await (const { type, metadata } of store.log.readStream("conversation-s"))
        causes.push(metadata["cause"] ?? type);
      expect(causes).toEqual([
        "AssistantStubAppended",
        "TurnStarted",
        "delta",
        "tool-call",
        "tool-started",
        "tool-error",
        "step",
        "TurnEnded",
      ]);
    }));

  it("never stores half a character: a high surrogate waits for its mate", () =>
    withStore(async (store) => {
      const turn = await store.beginTurn("s");
      void turn.textDelta("ok \ud83d");
      await turn.flush();
      expect(await content(store, turn)).toBe('[{"kind":"text","text":"ok "}]');
      void turn.textDelta("\ude00!");
      await turn.flush();
      expect(await content(store, turn)).toBe('[{"kind":"text","text":"ok 😀!"}]');
      void turn.textDelta("\ud83d");
      await turn.finish();
      expect(await content(store, turn)).toBe(JSON.stringify([{ kind: "text", text: "ok 😀!\ud83d" }]));
    }));

  it("lets interleaved blocks each grow their own part", () =>
    withStore(async (store) => {
      const turn = await store.beginTurn("s");
      void turn.textDelta("a", { block: "1" });
      void turn.textDelta("x", { block: "2" });
      void turn.textDelta("b", { block: "1" });
      void turn.textDelta("y", { block: "2" });
      await turn.finish();
      expect((await store.lastAssistantMessage("s")).parts).toEqual([
        { kind: "text", text: "ab" },
        { kind: "text", text: "xy" },
      ]);
    }));

  it("refuses single calls clearly and goes on", () =>
    withStore(async (store) => {
      const turn = await store.beginTurn("s");
      await turn.toolCall({ toolId: "t", name: "n", input: "{}" });
      await expect(turn.toolCall({ toolId: "t", name: "n" })).rejects.toMatchObject({
        code: "tool-call-exists",
      });
      await expect(turn.toolResult("u", 1)).rejects.toMatchObject({ code: "unknown-tool" });
      await expect(turn.toolInputDelta("t", "x")).rejects.toMatchObject({ code: "tool-input-complete" });
      await expect(turn.toolResult("t", "x".repeat(17_000_000))).rejects.toMatchObject({
        code: "event-too-large",
      });
      await expect(turn.textDelta("x".repeat(17_000_000))).rejects.toMatchObject({ code: "event-too-large" });
      await turn.toolResult("t", "fine");
      await turn.finish();
      await expect(turn.textDelta("late")).rejects.toMatchObject({ code: "turn-ended" });
      await expect(turn.finish()).rejects.toMatchObject({ code: "turn-ended" });
      expect((await store.lastAssistantMessage("s")).parts).toMatchObject([{ output: "fine" }]);
    }));

  it("takes deltas of megabytes, each up to the log's limit", () =>
    withStore(async (store) => {
      const turn = await store.beginTurn("s");
      const texts = ["a", "b", "c"].map((letter) => letter.repeat(6_000_000));
      for (const text of texts) await turn.textDelta(text);
      await turn.finish();
      expect((await store.lastAssistantMessage("s")).parts).toEqual([{ kind: "text", text: texts.join("") }]);
    }));

  it("is aborted by its signal", () =>
    withStore(async (store) => {
      const abort = new AbortController();
      const turn = await store.beginTurn("s", { signal: abort.signal });
      void turn.textDelta("partial");
      abort.abort(new Error("user left"));
      await turn.flush();
      expect(await store.lastAssistantMessage("s")).toMatchObject({
        status: "aborted",
        error: { message: "user left" },
        parts: [{ kind: "text", text: "partial" }],
      });
    }));

  it("ends with length and checksum of its content", () =>
    withStore(async (store) => {
      const turn = await store.beginTurn("s");
      void turn.textDelta("é😀");
      await turn.finish();
      const events = [];
      for await (const event of store.log.readStream("conversation-s", { direction: "backwards", limit: 1 }))
        events.push(event);
      // CRC-32 of the UTF-16LE bytes, computed independently (Python: zlib.crc32(s.encode("utf-16-le"))).
      expect(events).toMatchObject([{ data: { content: { length: 30, crc32: 2_284_203_414 } } }]);
    }));
});

describe("a turn that is lost", () => {
  const causes: [string, (store: ConversationStore, turn: TurnWriter) => Promise<unknown>][] = [
    ["is ended by another", (store, turn) => store.endTurn(turn.messageId, "interrupted")],
    ["is superseded by another turn", (store) => store.beginTurn("s")],
    ["is superseded by a stub", (store) => store.appendAssistantStub("s")],
    [
      "has its content changed by another",
      (store, turn) => store.updateBranches(turn.messageId, "[1]", "", 0),
    ],
    ["loses its session", (store) => store.deleteSession("s")],
  ];

  it.each(causes)("fails when it %s, and overwrites nothing", (_what, act) =>
    withStore(async (store) => {
      const turn = await store.beginTurn("s", { user: "q" });
      void turn.textDelta("mine");
      await turn.flush();
      await act(store, turn);
      const before = await store.listMessages("s");
      await expect(turn.textDelta("more").then(() => turn.flush())).rejects.toMatchObject({
        code: "turn-lost",
      });
      await expect(turn.finish()).rejects.toMatchObject({ code: "turn-lost" });
      expect(await store.listMessages("s")).toEqual(before);
    }),
  );

  it("is not lost by messages saved meanwhile, a replacement, or another active branch", () =>
    withStore(async (store) => {
      const first = await store.saveMessage("s", "user", "q");
      const turn = await store.beginTurn("s");
      void turn.textDelta("one");
      await turn.flush();
      await store.saveMessage("s", "user", "and?");
      await store.replaceMessages("s", [{ keep: first }]);
      void turn.textDelta(" two");
      await turn.finish();
      expect(await store.listMessages("s")).toMatchObject([
        { content: "q" },
        { id: turn.messageId, parts: [{ text: "one two" }], status: "finished" },
      ]);
    }));
});

type Verb =
  | ["text" | "reasoning", string]
  | ["tool", string]
  | ["input", string]
  | ["call"]
  | ["result", unknown]
  | ["step"]
  | ["flush"];

const verb: fc.Arbitrary<Verb> = fc.oneof(
  { weight: 8, arbitrary: fc.tuple(fc.constantFrom("text" as const, "reasoning" as const), anyText()) },
  { weight: 2, arbitrary: fc.tuple(fc.constant("tool" as const), anyText()) },
  { weight: 3, arbitrary: fc.tuple(fc.constant("input" as const), anyText()) },
  { weight: 2, arbitrary: fc.constant<Verb>(["call"]) },
  { weight: 2, arbitrary: fc.tuple(fc.constant("result" as const), fc.jsonValue()) },
  { weight: 1, arbitrary: fc.constant<Verb>(["step"]) },
  { weight: 1, arbitrary: fc.constant<Verb>(["flush"]) },
);

/** Plays the verbs on a turn and, naively, on an array of parts. */
async function play(turn: TurnWriter, verbs: Verb[], parts: StoredPart[]): Promise<void> {
  let tools = 0;
  for (const [name, value] of verbs) {
    const last = parts.at(-1);
    const tool = parts.findLast((part): part is ToolPart => part.kind === "tool");
    if (name === "text" || name === "reasoning") {
      void turn[`${name}Delta`](value as string);
      if (last?.kind === name)
        last["text" as never] = (String(last["text" as never]) + String(value)) as never;
      else if (value !== "") parts.push({ kind: name, text: value as string });
    } else if (name === "tool") {
      const toolId = `${value as string}${tools++}`;
      void turn.toolInputStart({ toolId, name: value as string });
      parts.push({
        kind: "tool",
        tool_id: toolId,
        name: value as string,
        input: "",
        state: "input-streaming",
      });
    } else if (name === "input" && tool?.state === "input-streaming") {
      void turn.toolInputDelta(tool.tool_id, value as string);
      tool.input += value as string;
    } else if (name === "call" && tool?.state === "input-streaming") {
      void turn.toolCall({ toolId: tool.tool_id, name: tool.name });
      tool.state = "input-available";
    } else if (name === "result" && tool !== undefined) {
      void turn.toolResult(tool.tool_id, value, { durationMs: 1 });
      const { kind, tool_id, name: toolName, input } = tool;
      const ended = {
        kind,
        tool_id,
        name: toolName,
        input,
        output: value,
        state: "output-available" as const,
        duration_ms: 1,
      };
      parts[parts.indexOf(tool)] = ended;
    } else if (name === "step") {
      void turn.stepFinish();
      parts.push({ kind: "step" });
    } else if (name === "flush") {
      await turn.flush();
    }
  }
}

describe("what a turn stores", () => {
  it("equals the JSON of its parts, whatever the calls", async () => {
    await fc.assert(
      fc.asyncProperty(fc.array(verb, { maxLength: 40 }), (verbs) =>
        withStore(async (store) => {
          const turn = await store.beginTurn("s");
          const parts: StoredPart[] = [];
          await play(turn, verbs, parts);
          await turn.finish();
          expect(await content(store, turn)).toBe(JSON.stringify(parts));
        }),
      ),
      propertyRuns(150) as object,
    );
  });

  it("reads back as if updateBranches had been called with it", async () => {
    await fc.assert(
      fc.asyncProperty(fc.array(verb, { maxLength: 20 }), (verbs) =>
        withStore(async (store) => {
          const turn = await store.beginTurn("turn", { user: "q" });
          const parts: StoredPart[] = [];
          await play(turn, verbs, parts);
          await turn.finish({ usage: { inputTokens: 1 } });
          await store.saveMessage("updates", "user", "q");
          const id = await store.appendAssistantStub("updates");
          await store.updateBranches(id, JSON.stringify(parts), "", 0);
          await store.endTurn(id, "finished", { usage: { inputTokens: 1 } });
          const withoutNames = async (session: string): Promise<unknown[]> =>
            (await store.listMessages(session)).map(
              ({ id: _id, createdAt: _c, updatedAt: _u, ...rest }) => rest,
            );
          expect(await withoutNames("turn")).toEqual(await withoutNames("updates"));
        }),
      ),
      propertyRuns(50) as object,
    );
  });
});
