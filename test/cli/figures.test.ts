import { describe, expect, it } from "@jest/globals";
import { bytes, count, duration, plural, utcMilliseconds, utcSeconds } from "../../src/cli/figures.ts";
import { tableLines } from "../../src/cli/table.ts";

describe("figures", () => {
  it.each([
    [0, "0 B"],
    [999, "999 B"],
    [1000, "1.0 KB"],
    [14_249, "14.2 KB"],
    [999_949, "999.9 KB"],
    [999_950, "1.0 MB"],
    [72_000_000_000, "72.0 GB"],
  ])("%d bytes are %s", (value, text) => expect(bytes(value)).toBe(text));

  it.each([
    [0.4, "0 ms"],
    [999, "999 ms"],
    [1000, "1.0 s"],
    [59_949, "59.9 s"],
    [60_000, "1 min 0 s"],
    [7_800_000, "2 h 10 min"],
  ])("%d ms are %s", (value, text) => expect(duration(value)).toBe(text));

  it("counts with separators and plurals", () => {
    expect([0, 999, 1000, 1_234_567, -123_456, 12_345.6789].map(count)).toEqual([
      "0",
      "999",
      "1,000",
      "1,234,567",
      "-123,456",
      "12,345.6789",
    ]);
    expect([plural(0, "delta"), plural(1, "delta"), plural(1200, "delta")]).toEqual([
      "0 deltas",
      "1 delta",
      "1,200 deltas",
    ]);
  });

  it("prints times in UTC, and a question mark for what is no time", () => {
    const time = Date.UTC(2026, 10, 24, 2, 13, 5, 42);
    expect(utcSeconds(new Date(time))).toBe("2026-11-24T02:13:05Z");
    expect(utcMilliseconds(time)).toBe("2026-11-24T02:13:05.042Z");
    expect([utcSeconds(new Date(Number.NaN)), utcMilliseconds("x"), utcMilliseconds(1e300)]).toEqual([
      "?",
      "?",
      "?",
    ]);
  });
});

describe("tables", () => {
  it("are as wide as they need, by columns of a terminal", () => {
    const columns = [{ title: "NAME", maxWidth: 6 }, { title: "N", align: "right" as const }, { title: "" }];
    expect(
      tableLines(columns, [
        ["日本", "1"],
        ["much too long", "10", "x"],
      ]),
    ).toEqual(["NAME     N", "日本     1", "much …  10  x"]);
  });
});
