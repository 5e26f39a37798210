import { getEventListeners } from "node:events";
import { describe, expect, it, jest } from "@jest/globals";
import fc from "fast-check";
import type { StoredPart, ToolPart } from "../../src/events/stored-part.ts";
import type { ConversationStore } from "../../src/store/conversation-store.ts";
import { openConversationStore } from "../../src/store/open-conversation-store.ts";
import type { DeltaOptions } from "../../src/store/turn.ts";
import type { TurnWriter } from "../../src/store/turn-writer.ts";
import { anyText, propertyRuns } from "../support/arbitraries.ts";
import { withStore } from "../support/memory-store.ts";

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

  it("marks each delta with the moment in which it came, not in which its window ended", () =>
    withStore(async (store) => {
      const turn = await store.beginTurn("s");
      let now = Date.now();
      const clock = jest.spyOn(Date, "now").mockImplementation(() => now);
      try {
        void turn.textDelta("a");
        await turn.flush();
        const times = [0, 7, 10];
        const start = now;
        for (const time of times) {
          now = start + time;
          void turn.textDelta("b");
        }
        now = start + 20;
        await turn.flush();
        const events = [];
        for await (const event of store.log.readStream("conversation-s", { from: 3 })) events.push(event);
        expect(events).toMatchObject([
          {
            data: {
              marks: [
                [0, 1],
                [7, 1],
                [3, 1],
              ],
            },
            metadata: { time: start },
          },
        ]);
      } finally {
        clock.mockRestore();
      }
      await turn.finish();
    }));

  it("closes an event that has become long, however much text one tick brings", () =>
    withStore(async (store) => {
      const turn = await store.beginTurn("s");
      for (let delta = 0; delta < 200; delta++) void turn.textDelta("y".repeat(1000));
      await turn.finish();
      const lengths = [];
      for await (const { data, metadata } of store.log.readStream("conversation-s"))
        if (metadata["cause"] === "delta") lengths.push(JSON.stringify(data).length);
      expect(lengths.length).toBeGreaterThan(2);
      expect(Math.max(...lengths)).toBeLessThan(70_000);
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
      await turn.flush();
      expect(await content(store, turn)).toBe('[{"kind":"text","text":"ok 😀!"}]');
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

  it("has no negative times where the clock is set back", () =>
    withStore(async (store) => {
      const turn = await store.beginTurn("s");
      await turn.toolCall({ toolId: "t", name: "n", input: "{}" });
      await turn.toolStarted("t");
      void turn.textDelta("a");
      const now = jest.spyOn(Date, "now").mockReturnValue(Date.now() - 60_000);
      try {
        void turn.textDelta("b");
        await turn.toolResult("t", 1);
        await turn.finish();
      } finally {
        now.mockRestore();
      }
      expect((await store.lastAssistantMessage("s")).parts[0]).toMatchObject({ duration_ms: 0 });
      const marks = [];
      for await (const { data } of store.log.readStream("conversation-s"))
        marks.push(...Object.entries(data as object).filter(([name]) => name === "marks"));
      expect(marks).toEqual([
        [
          "marks",
          [
            [0, expect.any(Number)],
            [0, 1],
          ],
        ],
      ]);
    }));

  it("sends a giant alone: with the deltas before it no append could hold it", () =>
    withStore(async (store) => {
      const turn = await store.beginTurn("s");
      // As long as a delta may be; the writer keeps 2 KiB for what an event holds beside.
      const giant = "y".repeat(store.log.limits.maxAppendBytes - 2048 - 6);
      void turn.textDelta("x".repeat(4000));
      await expect(turn.textDelta(`${giant}y`)).rejects.toMatchObject({ code: "event-too-large" });
      void turn.textDelta(giant);
      await turn.finish();
      expect(await content(store, turn)).toHaveLength(
        '[{"kind":"text","text":""}]'.length + 4000 + giant.length,
      );
    }));

  it("has what came before in the log when a call resolves that changes nothing", async () => {
    const url = "memory:call-without-change";
    // A window so long that only the call itself can have ended it.
    const store = await openConversationStore(url, { flushIntervalMs: 1_000_000 });
    const other = await openConversationStore(url);
    const turn = await store.beginTurn("s");
    await turn.toolCall({ toolId: "t", name: "n", input: "{}" });
    await turn.toolApproval("t", "requested", { approvalId: "a" });
    void turn.textDelta("before");
    await turn.toolApproval("t", "requested", { approvalId: "a" });
    expect((await other.lastAssistantMessage("s")).parts[1]).toMatchObject({ text: "before" });
    await turn.finish();
    await store.close();
    await other.close();
  });

  it.each([
    ["finishes", (turn: TurnWriter) => turn.finish()],
    ["is lost", (turn: TurnWriter, store: ConversationStore) => store.endTurn(turn.messageId, "interrupted")],
  ])("leaves no listener behind when it %s", (_what, end) =>
    withStore(async (store) => {
      const { signal } = new AbortController();
      const before = process.listenerCount("exit");
      const turn = await store.beginTurn("s", { signal });
      expect(getEventListeners(signal, "abort")).toHaveLength(1);
      expect(process.listenerCount("exit")).toBe(before + 1);
      await end(turn, store);
      expect(getEventListeners(signal, "abort")).toEqual([]);
      expect(process.listenerCount("exit")).toBe(before);
    }),
  );

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
    [
      "has its branches changed by another",
      (store, turn) =>
        store.updateBranches(turn.messageId, JSON.stringify([{ kind: "text", text: "mine" }]), "[[]]", 0),
    ],
    ["loses its session", (store) => store.deleteSession("s")],
  ];

  it("says why", () =>
    withStore(async (store) => {
      const turn = await store.beginTurn("s");
      await store.deleteSession("s");
      await expect(turn.flush()).rejects.toThrow(
        /cannot go on: the session was deleted. Nothing was overwritten/,
      );
    }));

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
  | ["text" | "reasoning", string, DeltaOptions?]
  | ["source" | "file", string]
  | ["tool", string]
  | ["input", string]
  | ["call"]
  | ["result", unknown]
  | ["error", string]
  | ["step"]
  | ["flush"];

const facts = fc.dictionary(fc.constantFrom("a", "b"), anyText(), { maxKeys: 2 });
const deltaOptions: fc.Arbitrary<DeltaOptions> = fc.record(
  {
    block: fc.constantFrom("1", "2"),
    providerMetadata: fc.dictionary(fc.constantFrom("openai", "anthropic"), facts, { maxKeys: 2 }),
  },
  { requiredKeys: [] },
);

const verb: fc.Arbitrary<Verb> = fc.oneof(
  { weight: 8, arbitrary: fc.tuple(fc.constantFrom("text" as const, "reasoning" as const), anyText()) },
  {
    weight: 6,
    arbitrary: fc.tuple(fc.constantFrom("text" as const, "reasoning" as const), anyText(), deltaOptions),
  },
  { weight: 1, arbitrary: fc.tuple(fc.constantFrom("source" as const, "file" as const), anyText()) },
  { weight: 2, arbitrary: fc.tuple(fc.constant("tool" as const), anyText()) },
  { weight: 3, arbitrary: fc.tuple(fc.constant("input" as const), anyText()) },
  { weight: 2, arbitrary: fc.constant<Verb>(["call"]) },
  { weight: 2, arbitrary: fc.tuple(fc.constant("result" as const), fc.jsonValue()) },
  { weight: 1, arbitrary: fc.tuple(fc.constant("error" as const), anyText()) },
  { weight: 1, arbitrary: fc.constant<Verb>(["step"]) },
  { weight: 1, arbitrary: fc.constant<Verb>(["flush"]) },
);

interface NaiveText {
  kind: "text" | "reasoning";
  text: string;
  providerMetadata?: Record<string, Record<string, unknown>>;
}

/** The same calls, naively, on an array of parts. */
class NaiveTurn {
  readonly parts: StoredPart[] = [];
  readonly #blocks = new Map<string, NaiveText>();
  #growing: NaiveText | undefined;

  write(kind: NaiveText["kind"], text: string, { block, providerMetadata }: DeltaOptions = {}): void {
    const key = `${kind} ${block}`;
    let part = block === undefined ? this.#growing : this.#blocks.get(key);
    if (part?.kind !== kind) {
      if (block === undefined && text === "" && providerMetadata === undefined) return;
      part = { kind, text: "" };
      this.add(part);
      if (block === undefined) this.#growing = part;
      else this.#blocks.set(key, part);
    }
    part.text += text;
    for (const [provider, said] of Object.entries(providerMetadata ?? {})) {
      part.providerMetadata = {
        ...part.providerMetadata,
        [provider]: { ...part.providerMetadata?.[provider], ...said },
      };
    }
    if (providerMetadata !== undefined) part.providerMetadata ??= {};
  }

  /** A new part: what comes without a block's name then begins another. */
  add(part: object): void {
    this.parts.push(part as StoredPart);
    this.#growing = undefined;
  }

  get tool(): ToolPart | undefined {
    return this.parts.findLast((part): part is ToolPart => part.kind === "tool");
  }

  end(tool: ToolPart, output: unknown, state: ToolPart["state"]): void {
    const { kind, tool_id, name, input } = tool;
    this.parts[this.parts.indexOf(tool)] = { kind, tool_id, name, input, output, state, duration_ms: 1 };
  }
}

/** Plays the verbs on a turn; the parts that it should have then. */
async function play(turn: TurnWriter, verbs: Verb[]): Promise<StoredPart[]> {
  const naive = new NaiveTurn();
  let tools = 0;
  for (const [name, value, options] of verbs) {
    const { tool } = naive;
    const text = value as string;
    if (name === "text" || name === "reasoning") {
      void turn[`${name}Delta`](text, options);
      naive.write(name, text, options);
    } else if (name === "source") {
      void turn.source({ title: text });
      naive.add({ title: text, kind: "source" });
    } else if (name === "file") {
      void turn.file({ mediaType: "text/plain", data: text });
      naive.add({ kind: "file", mediaType: "text/plain", data: text });
    } else if (name === "tool") {
      const toolId = `${text}${tools++}`;
      void turn.toolInputStart({ toolId, name: text });
      naive.add({ kind: "tool", tool_id: toolId, name: text, input: "", state: "input-streaming" });
    } else if (name === "input" && tool?.state === "input-streaming") {
      void turn.toolInputDelta(tool.tool_id, text);
      tool.input += text;
    } else if (name === "call" && tool?.state === "input-streaming") {
      void turn.toolCall({ toolId: tool.tool_id, name: tool.name });
      tool.state = "input-available";
    } else if (name === "result" && tool !== undefined) {
      void turn.toolResult(tool.tool_id, value, { durationMs: 1 });
      naive.end(tool, value, "output-available");
    } else if (name === "error" && tool !== undefined) {
      void turn.toolError(tool.tool_id, text, { durationMs: 1 });
      naive.end(tool, text, "output-error");
    } else if (name === "step") {
      void turn.stepFinish();
      naive.add({ kind: "step" });
    } else if (name === "flush") {
      await turn.flush();
    }
  }
  return naive.parts;
}

describe("what a turn stores", () => {
  it("equals the JSON of its parts, whatever the calls", async () => {
    await fc.assert(
      fc.asyncProperty(fc.array(verb, { maxLength: 40 }), (verbs) =>
        withStore(async (store) => {
          const turn = await store.beginTurn("s");
          const parts = await play(turn, verbs);
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
          const parts = await play(turn, verbs);
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
