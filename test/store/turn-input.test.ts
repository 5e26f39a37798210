import { describe, expect, it } from "@jest/globals";
import type { ConversationStore } from "../../src/store/conversation-store.ts";
import type { TurnWriter } from "../../src/store/turn-writer.ts";
import { withStore } from "../support/memory-store.ts";

const answer = (store: ConversationStore): ReturnType<ConversationStore["lastAssistantMessage"]> =>
  store.lastAssistantMessage("s");

describe("what a caller hands to a turn", () => {
  it("is taken as it is at the call: changing it later changes nothing", () =>
    withStore(async (store) => {
      const turn = await store.beginTurn("s");
      const output: Record<string, unknown> = { rows: [1] };
      const providerMetadata: Record<string, Record<string, unknown>> = { p: { a: 1 } };
      const usage = { inputTokens: 1, raw: { a: 1 } };
      await turn.toolCall({ toolId: "t", name: "n", input: "{}", providerMetadata });
      void turn.toolResult("t", output, { durationMs: 1 });
      output["rows"] = [1, 2, 3];
      providerMetadata["p"] = { a: 2, b: 3 };
      // The same object again, with more in it: how a tool reports what it has so far.
      void turn.toolResult("t", output, { durationMs: 2 });
      void turn.textDelta("and ", { providerMetadata });
      void turn.textDelta("on");
      const finished = turn.finish({ usage });
      usage.raw.a = 2;
      await finished;
      expect(await answer(store)).toMatchObject({
        parts: [
          {
            tool_id: "t",
            output: { rows: [1, 2, 3] },
            duration_ms: 2,
            providerMetadata: { p: { a: 1 } },
          },
          { text: "and on", providerMetadata: { p: { a: 2, b: 3 } } },
        ],
        usage: { inputTokens: 1, raw: { a: 1 } },
      });
    }));

  const cyclic: unknown[] = [];
  cyclic.push(cyclic);
  const refused: [what: string, call: (turn: TurnWriter) => Promise<void>][] = [
    ["an output with a cycle", (turn) => turn.toolResult("t", cyclic)],
    ["an output with a big integer", (turn) => turn.toolResult("t", { big: 1n })],
    ["a source with a big integer", (turn) => turn.source({ big: 1n })],
    ["a text that is none", (turn) => turn.textDelta(undefined as never)],
    ["a usage that is none", (turn) => turn.finish({ usage: { inputTokens: "many" as never } })],
    ["a usage of no number", (turn) => turn.finish({ usage: { inputTokens: NaN } })],
    ["a usage above the log's limit", (turn) => turn.finish({ usage: { raw: "x".repeat(17_000_000) } })],
    ["a finish reason that is none", (turn) => turn.finish({ finishReason: {} as never })],
    ["a reason to abort that is none", (turn) => turn.abort({} as never)],
  ];

  it.each([undefined, null, 5, ["text"]])("is refused where a delta is no string but %j", (delta) =>
    withStore(async (store) => {
      const turn = await store.beginTurn("s");
      const refusal = { code: "invalid-content" };
      // Before a part has begun, while one grows, and in a call's input.
      await expect(turn.textDelta(delta as never)).rejects.toMatchObject(refusal);
      await turn.textDelta("one");
      await expect(turn.textDelta(delta as never)).rejects.toMatchObject(refusal);
      await turn.toolInputStart({ toolId: "t", name: "n" });
      await expect(turn.toolInputDelta("t", delta as never)).rejects.toMatchObject(refusal);
      await turn.toolInputDelta("t", "{}");
      await turn.finish();
      expect(await answer(store)).toMatchObject({ parts: [{ text: "one" }, { input: "{}" }] });
    }),
  );

  it.each(refused)(
    "is refused where JSON or its reader cannot take it: %s; the turn goes on",
    (_what, call) =>
      withStore(async (store) => {
        const turn = await store.beginTurn("s");
        await turn.textDelta("before");
        await turn.toolCall({ toolId: "t", name: "n", input: "{}" });
        await expect(call(turn)).rejects.toThrow();
        await turn.toolResult("t", "fine");
        await turn.finish();
        expect(await answer(store)).toMatchObject({
          status: "finished",
          parts: [{ text: "before" }, { output: "fine" }],
        });
      }),
  );

  it.each([
    ["an error with a code", Object.assign(new Error("no"), { code: "E" }), { message: "no", code: "E" }],
    ["an error without a text", new Error(), { message: "" }],
    ["a text", "plain", { message: "plain" }],
    ["nothing", undefined, { message: "undefined" }],
    ["null", null, { message: "null" }],
    ["an error with a number for a code", Object.assign(new Error("no"), { code: 5 }), { message: "no" }],
  ])("as the reason of a failure may be whatever was thrown: %s", (_what, thrown, error) =>
    withStore(async (store) => {
      const turn = await store.beginTurn("s");
      await turn.fail(thrown as Error);
      expect((await answer(store)).error).toEqual(error);
    }),
  );

  it("as an output of undefined is stored as null", () =>
    withStore(async (store) => {
      const turn = await store.beginTurn("s");
      await turn.toolCall({ toolId: "t", name: "n" });
      await turn.toolResult("t", undefined);
      expect((await answer(store)).parts).toMatchObject([{ output: null, state: "output-available" }]);
    }));
});

describe("what a caller hands to the store and JSON or its reader cannot take", () => {
  const cyclic: Record<string, unknown> = {};
  cyclic["self"] = cyclic;
  const big = [{ kind: "tool", tool_id: "t", name: "n", input: "", output: 1n, state: "output-available" }];
  const refused: [what: string, call: (store: ConversationStore) => Promise<unknown>, code: string][] = [
    [
      "metadata with a cycle",
      (s) => s.saveMessage("s", "user", "q", { metadata: cyclic }),
      "invalid-metadata",
    ],
    [
      "metadata that is a list",
      (s) => s.saveMessage("s", "user", "q", { metadata: [] as never }),
      "invalid-metadata",
    ],
    [
      "metadata that is null",
      (s) => s.saveMessage("s", "user", "q", { metadata: null as never }),
      "invalid-metadata",
    ],
    ["a big integer in a part", (s) => s.saveMessage("s", "assistant", big), "invalid-content"],
    ["an unknown role", (s) => s.saveMessage("s", "robot" as never, "q"), "invalid-role"],
    ["no content", (s) => s.saveMessage("s", "user", undefined as never), "invalid-content"],
    ["a part without a kind", (s) => s.saveMessage("s", "user", [{}] as never), "invalid-content"],
    ["a part that is none", (s) => s.saveMessage("s", "user", [null] as never), "invalid-content"],
    [
      "a file with data and url",
      (s) => s.saveMessage("s", "user", [{ kind: "file", mediaType: "a/b", data: "", url: "" }]),
      "invalid-content",
    ],
    ["a text part without text", (s) => s.saveMessage("s", "user", [{ kind: "text" }]), "invalid-content"],
    [
      "an external id that is no text",
      (s) => s.saveMessage("s", "user", "q", { externalId: 5 as never }),
      "invalid-external-id",
    ],
    ["a model that is no text", (s) => s.beginTurn("s", { model: 5 as never }), "invalid-event"],
    ["a user's message of a turn", (s) => s.beginTurn("s", { user: 5 as never }), "invalid-content"],
    ["content above the limit", (s) => s.saveMessage("s", "user", "x".repeat(17_000_000)), "event-too-large"],
    [
      "a user's message above the limit",
      (s) => s.beginTurn("s", { user: "x".repeat(17_000_000) }),
      "event-too-large",
    ],
    [
      "a list above the limit",
      (s) => s.replaceMessages("s", [{ role: "user", content: "x".repeat(17_000_000) }]),
      "event-too-large",
    ],
  ];

  it.each(refused)("is refused: %s; nothing is written, and the next call succeeds", (_what, call, code) =>
    withStore(async (store) => {
      await expect(call(store)).rejects.toMatchObject({ code });
      expect(await store.listMessages("s")).toEqual([]);
      expect(await store.listSessions()).toEqual([]);
      await store.saveMessage("s", "user", "fine");
      expect(await store.listMessages("s")).toMatchObject([{ content: "fine" }]);
    }),
  );

  it("is refused in an update above the limit, and the content stays", () =>
    withStore(async (store) => {
      const id = await store.appendAssistantStub("s");
      await expect(store.updateBranches(id, "x".repeat(17_000_000), "", 0)).rejects.toMatchObject({
        code: "event-too-large",
      });
      await store.updateBranches(id, "[1]", "", 0);
      expect(await answer(store)).toMatchObject({ content: "[1]" });
    }));
});
