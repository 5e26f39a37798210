import { describe, expect, it } from "@jest/globals";
import {
  type ExpectedRevision,
  NO_REVISION,
  checkExpectedRevision,
  matchesExpectedRevision,
  retryRevision,
} from "../../src/log/expected-revision.ts";

describe("an expected revision against the actual one", () => {
  const actualRevisions = [NO_REVISION, 0, 1, 7];
  const table: [ExpectedRevision, boolean[]][] = [
    // actual:       none   0      1      7
    ["any", [true, true, true, true]],
    ["no-stream", [true, false, false, false]],
    ["stream-exists", [false, true, true, true]],
    [0, [false, true, false, false]],
    [1, [false, false, true, false]],
    [7, [false, false, false, true]],
    [8, [false, false, false, false]],
    [Number.MAX_SAFE_INTEGER, [false, false, false, false]],
  ];
  it.each(table)("%p matches none, 0, 1, 7: %p", (expected, matches) => {
    expect(actualRevisions.map((actual) => matchesExpectedRevision(expected, actual))).toEqual(matches);
  });
});

describe("the first revision of an identical retry", () => {
  it.each<[ExpectedRevision, number | undefined]>([
    ["no-stream", 0],
    [0, 1],
    [41, 42],
    ["any", undefined],
    ["stream-exists", undefined],
  ])("of an append at %p: %p", (expected, revision) => {
    expect(retryRevision(expected)).toBe(revision);
  });
});

describe("an expected revision that cannot be right", () => {
  it.each<[ExpectedRevision]>([["any"], ["no-stream"], ["stream-exists"], [0], [Number.MAX_SAFE_INTEGER]])(
    "%p is taken",
    (expected) => expect(() => checkExpectedRevision(expected)).not.toThrow(),
  );

  it.each<[unknown]>([
    [-1],
    [0.5],
    [Number.NaN],
    [Infinity],
    [2 ** 53],
    ["latest"],
    ["0"],
    [""],
    [null],
    [undefined],
    [0n],
    [{}],
  ])("%p is refused", (expected) => {
    expect(() => checkExpectedRevision(expected as ExpectedRevision)).toThrow(
      expect.objectContaining({ code: "invalid-expected-revision" }),
    );
  });
});
