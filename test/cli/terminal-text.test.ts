import { describe, expect, it } from "@jest/globals";
import fc from "fast-check";
import {
  terminalJson,
  terminalLine,
  terminalText,
  textWidth,
  truncateText,
} from "../../src/cli/terminal-text.ts";

/** Whatever moves a cursor, changes colours, reorders or hides text. */
const ACTS = /[\u0000-\u0009\u000b-\u001f\u007f-\u009f\u200b\u200e\u200f\u2028-\u202e\u2060-\u206f\ufeff]/;

const anyText = fc.string({ unit: "binary", maxLength: 40 });

describe("text for a terminal", () => {
  it.each([
    ["\u001b[31mred", "\\x1b[31mred"],
    ["\u001b]52;c;AAAA\u0007", "\\x1b]52;c;AAAA\\x07"],
    ["\u009b2J", "\\x9b2J"],
    ["a\rb", "a\\rb"],
    ["a\nb\tc", "a\\nb\\tc"],
    ["\u0000\u007f", "\\x00\\x7f"],
    ["user\u202egnp.exe", "user\\u{202e}gnp.exe"],
    ["a\u2066b\u2069", "a\\u{2066}b\\u{2069}"],
    ["zero\u200bwidth\ufeff", "zero\\u{200b}width\\u{feff}"],
    ["half \ud83d", "half \\u{d83d}"],
    ["tag\u{e0041}", "tag\\u{e0041}"],
    ["héllo 👩‍💻 مرحبا ⚙️", "héllo 👩‍💻 مرحبا ⚙️"],
  ])("shows %j as %j", (text, shown) => {
    expect(terminalLine(text)).toBe(shown);
  });

  it("keeps line ends where several lines are meant, and nothing else that acts", () => {
    expect(terminalText("a\r\nb\n\tc\rd\u001b")).toBe("a\nb\n    c\\rd\\x1b");
  });

  it("never acts on a terminal, whatever the text", () => {
    fc.assert(
      fc.property(anyText, (text) => {
        expect(terminalLine(text)).not.toMatch(ACTS);
        expect(terminalLine(text)).not.toMatch(/\n/);
        expect(terminalText(text)).not.toMatch(ACTS);
      }),
    );
  });

  it("writes JSON that reads back the same and never acts", () => {
    fc.assert(
      fc.property(fc.dictionary(anyText, anyText), fc.constantFrom(undefined, 2), (value, indent) => {
        const json = terminalJson(value, indent);
        expect(JSON.parse(json)).toEqual(value);
        expect(json).not.toMatch(ACTS);
      }),
    );
    expect(terminalJson("\u009b\u202e")).toBe('"\\u009b\\u202e"');
  });
});

describe("widths", () => {
  it.each([
    ["", 0],
    ["abc", 3],
    ["héllo", 5],
    ["e\u0301", 1],
    ["日本", 4],
    ["🙂", 2],
    ["👩‍💻", 2],
  ])("%j takes %d columns", (text, width) => {
    expect(textWidth(text)).toBe(width);
  });

  it.each([
    ["short", 5, "short"],
    ["too long", 5, "too …"],
    ["any", 1, "…"],
    ["any", 0, "…"],
    ["日本語", 5, "日本…"],
    ["日本語", 4, "日…"],
  ])("cuts %j to %d columns", (text, width, cut) => {
    expect(truncateText(text, width)).toBe(cut);
  });
});
