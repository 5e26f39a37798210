import { describe, expect, it } from "@jest/globals";
import fc from "fast-check";
import type { Leaf } from "../../../src/log/event-columns.ts";
import { decodeColumn, decodeIntegers, encodeColumn } from "../../../src/log/sqlite/column.ts";
import { decodeEventIds, encodeEventIds } from "../../../src/log/sqlite/event-id-column.ts";
import { throughJson } from "./json-arbitraries.ts";

function roundTrip(values: readonly Leaf[]): readonly Leaf[] {
  const column = decodeColumn(throughJson(encodeColumn(values)), values.length);
  return column.same ? values.map(() => column.value) : column.values;
}

describe("a column", () => {
  it.each<[name: string, values: Leaf[], encoded: unknown]>([
    ["one value for all", ["x", "x", "x"], "x"],
    ["an arithmetic run", [5, 8, 11], [0, 5, 3]],
    [
      "differences of large numbers",
      [1_764_000_000_000, 1_764_000_000_020, 1_764_000_000_039],
      [1, 1_764_000_000_000, 20, 19],
    ],
    ["small numbers as they are", [1, 0, 1, 1], [2, 1, 0, 1, 1]],
    ["anything else as it is", ["a", 1, null], [2, "a", 1, null]],
    ["numbers among others", [1, 2, "3"], [2, 1, 2, "3"]],
  ])("stores %s", (_name, values, encoded) => {
    expect(encodeColumn(values)).toEqual(encoded);
    expect(roundTrip(values)).toEqual(values);
  });

  it("gives back any numbers exactly", () => {
    const number = fc.oneof(
      fc.maxSafeInteger(),
      fc.integer(),
      fc.double({ noNaN: true, noDefaultInfinity: true }).map((value) => (value === 0 ? 0 : value)),
      fc.constantFrom(2 ** 52, 2 ** 53, -(2 ** 52), -(2 ** 53), 1e300),
    );
    fc.assert(
      fc.property(fc.array(number, { minLength: 1 }), (values) => expect(roundTrip(values)).toEqual(values)),
    );
  });

  it("of the wrong length or kind is refused", () => {
    expect(() => decodeColumn([2, 1, 2], 3)).toThrow("2 values instead of 3");
    expect(() => decodeColumn([9, 1], 1)).toThrow("unknown kind");
    expect(() => decodeColumn(undefined, 1)).toThrow("missing");
    expect(() => decodeIntegers("x", 2)).toThrow("integers");
    expect(() => decodeIntegers([2, 1, "x"], 2)).toThrow("integers");
  });
});

describe("a column of event ids", () => {
  const idOf = (prefix: string, counter: number): string =>
    `${prefix}-77aa-8bcd-9e01-${counter.toString(16).padStart(12, "0")}`;
  const roundTripIds = (ids: string[]): string[] => {
    const decoded = decodeEventIds(throughJson(encodeEventIds(ids.map((id) => ({ id })))), ids.length);
    return ids.map((_, index) => decoded.at(index));
  };

  it("costs a few bytes where one writer counts", () => {
    const ids = Array.from({ length: 256 }, (_, index) => idOf("0f3a9c1e", 4_000 + index));
    expect(JSON.stringify(encodeEventIds(ids.map((id) => ({ id })))).length).toBeLessThan(60);
    expect(roundTripIds(ids)).toEqual(ids);
  });

  it("gives back the ids of several writers, and random ones", () => {
    const ids = Array.from({ length: 64 }, (_, index) =>
      idOf(index % 3 === 0 ? "0f3a9c1e" : "aaaaaaaa", index * index),
    );
    expect(roundTripIds(ids)).toEqual(ids);
    fc.assert(
      fc.property(fc.array(fc.uuid(), { minLength: 1 }), (random) =>
        expect(roundTripIds(random)).toEqual(random),
      ),
    );
    expect(roundTripIds([idOf("ffffffff", 2 ** 48 - 1)])).toEqual([idOf("ffffffff", 2 ** 48 - 1)]);
  });
});
