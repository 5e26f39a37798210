import { describe, expect, it } from "@jest/globals";
import type { ToolPart } from "../../src/events/stored-part.ts";
import { recordings, sayThatThereAreNoRecordings } from "../support/recordings.ts";
import { naiveConcatenation } from "./naive-concatenation.ts";
import { joined, record } from "./recording-support.ts";

const recorded = recordings();

describe("recorded provider streams", () => {
  if (recorded.length === 0) {
    it("are not on this machine: set TURNLOG_RECORDINGS to their folder to check them", () => {
      sayThatThereAreNoRecordings("The readers were checked");
    });
    return;
  }

  it.each(recorded)("$name reads back as the concatenation of its deltas", async ({ stream }) => {
    const { text, reasoning, inputs } = naiveConcatenation(stream);
    const { summary, message, parts } = await record(stream);
    const tools = parts.filter((part): part is ToolPart => part.kind === "tool");
    expect(joined(parts, "text")).toBe(text);
    expect(joined(parts, "reasoning")).toBe(reasoning);
    expect(tools.map(({ input }) => input)).toEqual(inputs);
    for (const tool of tools)
      expect(tool.state).toBe(tool.provider_executed === true ? "output-available" : "input-available");
    expect(summary.unknownKinds).toEqual({});
    expect(summary.usage?.outputTokens).toBeGreaterThan(0);
    expect(message.usage).toEqual(summary.usage);
    expect(message.status).toBe("finished");
    expect(parts.at(-1)).toMatchObject({ kind: "step", finishReason: summary.finishReason });
  });

  it.each(recorded)("$name without its last event but one ends early, and keeps what came", async (whole) => {
    // The last two: some providers send the usage after the message's end.
    const lines = whole.stream.trimEnd().split("\n").slice(0, -2);
    const { summary, message, parts } = await record(lines.join("\n"));
    expect(summary).toMatchObject({ outcome: "failed", error: { code: "stream-ended-early" } });
    expect(message.status).toBe("failed");
    expect(joined(parts, "text")).toBe(naiveConcatenation(lines.join("\n")).text);
  });
});
