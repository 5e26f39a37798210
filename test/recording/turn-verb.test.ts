import { describe, expect, it } from "@jest/globals";
import { type TurnVerb, applyVerb, turnVerbSchema } from "../../src/recording/turn-verb.ts";
import type { Turn } from "../../src/store/turn.ts";

const providerMetadata = { openai: { itemId: "i" } };

/** Each verb with all its fields, and the call that it stands for. */
const table: [TurnVerb, method: keyof Turn, args: unknown[]][] = [
  [
    { verb: "text", text: "a", block: "b", providerMetadata },
    "textDelta",
    ["a", { block: "b", providerMetadata }],
  ],
  [
    { verb: "reasoning", text: "a", block: "b", providerMetadata },
    "reasoningDelta",
    ["a", { block: "b", providerMetadata }],
  ],
  [
    { verb: "tool-input-start", toolId: "t", name: "f", providerExecuted: true, providerMetadata },
    "toolInputStart",
    [{ toolId: "t", name: "f", providerExecuted: true, providerMetadata }],
  ],
  [{ verb: "tool-input-delta", toolId: "t", text: "{" }, "toolInputDelta", ["t", "{"]],
  [
    { verb: "tool-call", toolId: "t", name: "f", input: "{}", providerExecuted: true, providerMetadata },
    "toolCall",
    [{ toolId: "t", name: "f", input: "{}", providerExecuted: true, providerMetadata }],
  ],
  [
    {
      verb: "tool-approval",
      toolId: "t",
      approval: "denied",
      approvalId: "x",
      reason: "no",
      providerMetadata,
    },
    "toolApproval",
    ["t", "denied", { approvalId: "x", reason: "no", providerMetadata }],
  ],
  [{ verb: "tool-started", toolId: "t" }, "toolStarted", ["t"]],
  [
    { verb: "tool-result", toolId: "t", output: [1], durationMs: 5, providerMetadata },
    "toolResult",
    ["t", [1], { durationMs: 5, providerMetadata }],
  ],
  [
    { verb: "tool-error", toolId: "t", errorText: "no", durationMs: 5, providerMetadata },
    "toolError",
    ["t", "no", { durationMs: 5, providerMetadata }],
  ],
  [{ verb: "source", source: { url: "u", verb: "kept" } }, "source", [{ url: "u", verb: "kept" }]],
  [
    { verb: "file", mediaType: "image/png", filename: "a.png", data: "iVBO", providerMetadata },
    "file",
    [{ mediaType: "image/png", filename: "a.png", data: "iVBO", providerMetadata }],
  ],
  [
    { verb: "step-finish", finishReason: "stop", usage: { inputTokens: 1 }, providerMetadata },
    "stepFinish",
    [{ finishReason: "stop", usage: { inputTokens: 1 }, providerMetadata }],
  ],
  [
    { verb: "finish", finishReason: "stop", usage: { inputTokens: 1 } },
    "finish",
    [{ finishReason: "stop", usage: { inputTokens: 1 } }],
  ],
  [
    { verb: "fail", error: { message: "m", code: "c" }, finishReason: "error", usage: { raw: 1 } },
    "fail",
    [
      { message: "m", code: "c" },
      { finishReason: "error", usage: { raw: 1 } },
    ],
  ],
  [{ verb: "abort", reason: "enough" }, "abort", ["enough"]],
  [{ verb: "flush" }, "flush", []],
];

describe("a turn's verb", () => {
  it.each(table)("%j is valid and makes its call", async (verb, method, args) => {
    const calls: [string | symbol, unknown[]][] = [];
    const turn = new Proxy({} as Turn, {
      get:
        (_target, name) =>
        (...given: unknown[]) => {
          calls.push([name, given]);
          return Promise.resolve();
        },
    });
    // As JSON lines bring it.
    const parsed = turnVerbSchema.parse(JSON.parse(JSON.stringify(verb)));
    await applyVerb(turn, parsed);
    expect(calls).toEqual([[method, args]]);
  });

  it("exists for each method of a turn", () => {
    expect(new Set(table.map(([, method]) => method)).size).toBe(16);
    expect(new Set(table.map(([{ verb }]) => verb)).size).toBe(16);
  });

  it.each([
    { verb: "sing", text: "la" },
    { verb: "text" },
    { verb: "text", text: "a", providerMetadata: { openai: 1 } },
    { verb: "tool-approval", toolId: "t", approval: "perhaps" },
    { verb: "tool-result", toolId: "t", output: 1, durationMs: -1 },
    { verb: "file", mediaType: "a/b" },
    { verb: "file", mediaType: "a/b", data: "x", url: "y" },
    { verb: "fail", error: "no" },
    "text",
  ])("is not %j", (value) => {
    expect(turnVerbSchema.safeParse(value).success).toBe(false);
  });

  it("rejects as the method does", async () => {
    const error = new Error("full");
    const turn = { textDelta: () => Promise.reject(error) } as unknown as Turn;
    await expect(applyVerb(turn, { verb: "text", text: "a" })).rejects.toBe(error);
  });
});
