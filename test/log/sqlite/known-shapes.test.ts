import { crc32 } from "node:zlib";
import { describe, expect, it } from "@jest/globals";
import type { NewEvent } from "../../../src/log/event-log.ts";
import { flattenEvent } from "../../../src/log/sqlite/event-shape.ts";
import { knownShapeDescription, knownShapeNumber } from "../../../src/log/sqlite/known-shapes.ts";
import { type HotRow, decodeHotRow, encodeHotRow } from "../../../src/log/sqlite/stored-rows.ts";

const update: NewEvent = {
  id: "0f3a9c1e-77aa-8bcd-9e01-000000000001",
  type: "BranchesUpdated",
  data: { messageId: 257, content: [[8, 0, "Holi"]], length: 12 },
  metadata: { v: 1, writer: "a1b2c3d4e5f6a7b8c9d0", n: 1, time: 1_764_000_000_020, cause: "update" },
};

function rowOf(event: NewEvent): HotRow {
  return encodeHotRow([
    { stream: "s", revision: 0, position: 0, recordedAt: 1_764_000_000_123, flat: flattenEvent(event) },
  ]);
}

const textOf = (row: HotRow): string => Buffer.from(row.payload).toString();

/** What stands in the row in the place of the event's shape. */
function shapeIn(row: HotRow): unknown {
  const [, , , group] = JSON.parse(textOf(row)) as [unknown, unknown, unknown, unknown[]];
  return group[0];
}

describe("the known shapes", () => {
  it("stand in a row as their number, others are described", () => {
    expect(shapeIn(rowOf(update))).toBe(0);
    expect(shapeIn(rowOf({ ...update, type: "Other" }))).toEqual([
      "Other",
      { messageId: 0, content: [[0, 0, 0]], length: 0 },
      { v: 0, writer: 0, n: 0, time: 0, cause: 0 },
    ]);
  });

  it("never change: rows hold their numbers", () => {
    const descriptions: string[] = [];
    for (let number = 0; ; number++) {
      const description = knownShapeDescription(number);
      if (description === undefined) break;
      expect(knownShapeNumber(description)).toBe(number);
      expect(JSON.stringify(JSON.parse(description))).toBe(description);
      descriptions.push(description);
    }
    // Those that logs hold. New ones come behind them: the list grows, its beginning stays.
    expect(crc32(descriptions.slice(0, 26).join("\n"))).toBe(399_721_758);
  });

  it("are not guessed at: a number that this version does not know is damage", () => {
    const row = rowOf(update);
    const payload = Buffer.from(textOf(row).replace(",[0,257,", ",[999,257,"));
    const crc = crc32(payload, crc32(`hot ${row.position} 1 ${row.encoding}`));
    expect(() => decodeHotRow({ ...row, payload, crc })).toThrow("the shape 999 is not known");
  });
});
