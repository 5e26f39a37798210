import { describe, expect, it } from "@jest/globals";
import { lineToKillAt, readDemoRecording } from "../../src/cli/demo/demo-recording.ts";
import { linesThatMake, totalOf } from "../../src/cli/demo/survival.ts";
import type { StoredPart } from "../../src/events/stored-part.ts";
import { recordLines } from "../../src/recording/record-stream.ts";
import { withStore } from "../support/memory-store.ts";

/** How the demo judges what survived: it must be able to say no. */

const lines = readDemoRecording("incident-review.jsonl");
const killAt = lineToKillAt(lines);

/** What the library stores of the first lines. */
async function partsOf(count: number): Promise<StoredPart[]> {
  return withStore(async (store) => {
    const turn = await store.beginTurn("s");
    async function* input(): AsyncGenerator<string> {
      for (const { text } of lines.slice(0, count)) yield text;
    }
    await recordLines(turn, input(), { protocol: "anthropic" });
    return (await store.lastAssistantMessage("s")).parts;
  });
}

describe("the demo's recording", () => {
  it("is killed inside the arguments of its last tool call", () => {
    expect(lines[killAt]?.parts.at(-1)).toMatchObject({
      kind: "tool",
      name: "disk_usage",
      state: "input-streaming",
      text: expect.stringMatching(/^\{"host".*[^}]$/),
    });
    expect(lines[killAt]?.parts.filter(({ state }) => state === "output-available")).toHaveLength(1);
  });

  it.each([1, 3, 40, 62, 84, 100, killAt + 1])(
    "the first %d lines are recognised in the store",
    async (count) => {
      const found = linesThatMake(await partsOf(count), lines, lines.length);
      // Lines that add nothing that is compared come out as the last of them.
      const same = JSON.stringify(lines[count - 1]?.parts);
      expect(found).toBeGreaterThanOrEqual(count);
      expect(JSON.stringify(lines[(found ?? 0) - 1]?.parts)).toBe(same);
    },
  );
});

describe("what survived", () => {
  const text = (value: string): StoredPart => ({ kind: "text", text: value });

  it("is nothing where nothing is stored", () => {
    const begun = lines.findLastIndex(({ parts }) => parts.length === 0) + 1;
    expect(linesThatMake([], lines, killAt)).toBe(begun);
  });

  it("is no number of lines where the store holds something else", async () => {
    const parts = await partsOf(killAt);
    const last = parts.at(-1) as StoredPart & { input: string };
    expect(linesThatMake(parts, lines, killAt)).toBe(killAt);
    expect(linesThatMake([...parts, text("more")], lines, killAt)).toBeUndefined();
    expect(linesThatMake(parts.slice(1), lines, killAt)).toBeUndefined();
    const halfDelta = { ...last, input: last.input.slice(0, -1) };
    expect(linesThatMake([...parts.slice(0, -1), halfDelta], lines, killAt)).toBeUndefined();
    const otherState = { ...last, state: "output-available" };
    expect(linesThatMake([...parts.slice(0, -1), otherState], lines, killAt)).toBeUndefined();
  });

  it("is never more than was sent", async () => {
    expect(linesThatMake(await partsOf(killAt), lines, killAt - 1)).toBeUndefined();
  });

  it("is counted in deltas and characters", () => {
    const kinds = (pattern: RegExp): number => lines.filter(({ text }) => pattern.test(text)).length;
    const total = totalOf(lines, lines.length);
    expect(total.deltas).toBe(kinds(/_delta","(text|thinking|partial_json)":"[^"]/));
    expect(total.characters).toBe(lines.at(-1)?.parts.reduce((sum, part) => sum + part.text.length, 0));
    expect(totalOf(lines, 0)).toEqual({ deltas: 0, characters: 0 });
  });
});
