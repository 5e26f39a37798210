import { describe, expect, it } from "@jest/globals";
import fc from "fast-check";
import { TextFlow, flowText } from "../../src/cli/text-flow.ts";
import { textWidth } from "../../src/cli/terminal-text.ts";

const options = { indent: "  ", width: 24 };

describe("wrapping", () => {
  it.each([
    ["", ""],
    ["one line", "  one line\n"],
    ["the quick brown fox jumps over", "  the quick brown fox\n  jumps over\n"],
    ["a\n\nb\n", "  a\n\n  b\n"],
    ["- item\n    code kept in", "  - item\n      code kept in\n"],
    ["0123456789012345678901234567", "  0123456789012345678901\n  234567\n"],
    ["a \u001b[2J b", "  a \\x1b[2J b\n"],
  ])("%j", (text, wrapped) => {
    expect(flowText(text, options)).toBe(wrapped);
  });

  it("prints what is complete at once, and only holds back the last word", () => {
    const flow = new TextFlow(options);
    expect(flow.write("one tw")).toBe("  one");
    expect(flow.write("o three ")).toBe(" two three");
    expect(flow.end()).toBe("\n");
  });

  it("styles pieces of lines, never indents and line ends", () => {
    const style = (text: string): string => `<${text}>`;
    expect(flowText("some words that wrap here now", { ...options, style })).toBe(
      "  <some>< words>< that>< wrap>\n  <here>< now>\n",
    );
  });

  const word = fc.string({
    unit: fc.constantFrom("a", "b", "é", "日", "🙂", "\u0007"),
    minLength: 1,
    maxLength: 30,
  });
  const texts = fc
    .array(fc.oneof(word, fc.constantFrom(" ", "  ", "\n", "\n\n")), { maxLength: 20 })
    .map((words) => words.join(""));

  it("comes out the same in pieces as at once", () => {
    fc.assert(
      fc.property(texts, fc.array(fc.nat(), { maxLength: 6 }), (text, cuts) => {
        const flow = new TextFlow(options);
        const places = cuts.map((cut) => cut % (text.length + 1)).toSorted((a, b) => a - b);
        let printed = "";
        let from = 0;
        for (const to of [...places, text.length]) {
          printed += flow.write(text.slice(from, to));
          from = to;
        }
        expect(printed + flow.end()).toBe(flowText(text, options));
      }),
    );
  });

  it("loses no character and keeps to the width", () => {
    fc.assert(
      fc.property(texts, (text) => {
        const wrapped = flowText(text, options);
        expect(wrapped.replaceAll(/\s/g, "")).toBe(text.replaceAll("\u0007", "\\x07").replaceAll(/\s/g, ""));
        for (const line of wrapped.split("\n")) expect(textWidth(line)).toBeLessThanOrEqual(options.width);
      }),
    );
  });
});
