import { describe, expect, it } from "@jest/globals";
import fc from "fast-check";
import { SplicedText, applySplices, findSplice } from "../../src/events/text-splice.ts";
import { anyText, propertyRuns } from "../support/arbitraries.ts";

describe("findSplice", () => {
  it("finds nothing between equal strings", () => {
    expect(findSplice("", "")).toBeUndefined();
    expect(findSplice("a".repeat(1000), "a".repeat(1000))).toBeUndefined();
  });

  it("finds text appended before closing brackets", () => {
    const body = "x".repeat(5000);
    expect(findSplice(`[{"text":"${body}"}]`, `[{"text":"${body} more"}]`)).toEqual([5010, 0, " more"]);
  });

  it("keeps prefix and suffix from overlapping", () => {
    expect(findSplice("aa", "aaa")).toEqual([2, 0, "a"]);
    expect(findSplice("aaa", "aa")).toEqual([2, 1, ""]);
  });

  it("turns any string into any other, changing no more than the common ends leave", () => {
    fc.assert(
      fc.property(anyText(), anyText(), anyText(), anyText(400), (head, before, after, tail) => {
        const long = tail.repeat(20);
        const previous = head + before + long;
        const next = head + after + long;
        const splice = findSplice(previous, next);
        if (splice === undefined) {
          expect(previous).toBe(next);
          return;
        }
        expect(applySplices(previous, [splice])).toBe(next);
        expect(splice[1]).toBeLessThanOrEqual(before.length);
        expect(splice[2].length).toBeLessThanOrEqual(after.length);
      }),
      propertyRuns(500),
    );
  });
});

describe("SplicedText", () => {
  it("equals the plain string under any sequence of splices", () => {
    // Long ones, too: what has streamed in is joined at some length, and a splice may reach over several such pieces.
    const ins = fc.tuple(anyText(), fc.constantFrom(1, 1, 400)).map(([text, times]) => text.repeat(times));
    const splice = fc.tuple(fc.nat(), fc.oneof(fc.nat(5), fc.nat(5_000)), ins);
    fc.assert(
      fc.property(
        anyText(),
        fc.array(splice, { maxLength: 30 }),
        fc.boolean(),
        (start, splices, readsBetween) => {
          let plain = start;
          const spliced = new SplicedText(start);
          for (const [place, count, ins] of splices) {
            const at = place % (plain.length + 1);
            const del = Math.min(count, plain.length - at);
            plain = plain.slice(0, at) + ins + plain.slice(at + del);
            spliced.splice(at, del, ins);
            expect(spliced.length).toBe(plain.length);
            if (readsBetween) expect(spliced.toString()).toBe(plain);
          }
          expect(spliced.toString()).toBe(plain);
        },
      ),
      propertyRuns(300),
    );
  });

  it("refuses splices outside the text", () => {
    expect(() => new SplicedText("abc").splice(4, 0, "x")).toThrow(RangeError);
    expect(() => new SplicedText("abc").splice(-1, 0, "x")).toThrow(RangeError);
    expect(() => new SplicedText("abc").splice(2, 2, "x")).toThrow(RangeError);
  });
});
