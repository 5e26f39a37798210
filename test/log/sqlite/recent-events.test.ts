import { describe, expect, it } from "@jest/globals";
import { flattenEvent } from "../../../src/log/sqlite/event-shape.ts";
import { RecentEvents } from "../../../src/log/sqlite/recent-events.ts";
import type { StoredEvent } from "../../../src/log/sqlite/stored-rows.ts";

const flat = flattenEvent({ id: "0f3a9c1e-77aa-8bcd-9e01-000000000001", type: "T", data: {}, metadata: {} });

/** A commit's events from a position on. */
const commit = (first: number, count: number): StoredEvent[] =>
  Array.from({ length: count }, (_, index) => ({
    stream: "s",
    revision: first + index,
    position: first + index,
    recordedAt: 0,
    flat,
  }));

const positions = (events: readonly StoredEvent[] | undefined): number[] | undefined =>
  events?.map(({ position }) => position);

describe("what a process has just committed", () => {
  it("is given from any position on that is among it, over several commits", () => {
    const recent = new RecentEvents();
    for (const first of [10, 12, 14]) recent.add(commit(first, 2), 100);
    expect(positions(recent.from(10, 100))).toEqual([10, 11, 12, 13, 14, 15]);
    expect(positions(recent.from(13, 2))).toEqual([13, 14]);
    expect(positions(recent.from(15, 1))).toEqual([15]);
    expect(recent.from(9, 100)).toBeUndefined();
    expect(recent.from(16, 100)).toBeUndefined();
  });

  it("begins anew behind what another process has committed", () => {
    const recent = new RecentEvents();
    recent.add(commit(0, 3), 100);
    recent.add(commit(4, 2), 100);
    expect(recent.from(2, 10)).toBeUndefined();
    expect(positions(recent.from(4, 10))).toEqual([4, 5]);
  });

  it.each([
    ["of many events", 1_000, 1],
    ["of many bytes", 1, 1_000_000],
  ])(
    "is forgotten from its beginning on where there are %s, and the newest commit never",
    (_what, count, bytes) => {
      const recent = new RecentEvents();
      for (let index = 0; index < 20; index++) recent.add(commit(index * count, count), bytes);
      expect(recent.from(0, 1)).toBeUndefined();
      expect(positions(recent.from(19 * count, 1))).toEqual([19 * count]);
      recent.add(commit(20 * count, 20_000), 1_000_000_000);
      expect(recent.from(20 * count - 1, 1)).toBeUndefined();
      expect(recent.from(20 * count, Infinity)).toHaveLength(20_000);
    },
  );

  it("is nothing once it has been cleared", () => {
    const recent = new RecentEvents();
    recent.add(commit(0, 3), 100);
    recent.clear();
    expect(recent.from(0, 1)).toBeUndefined();
  });
});
