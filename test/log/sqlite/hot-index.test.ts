import { describe, expect, it } from "@jest/globals";
import fc from "fast-check";
import { flattenEvent } from "../../../src/log/sqlite/event-shape.ts";
import { HotIndex } from "../../../src/log/sqlite/hot-index.ts";
import type { StoredEvent } from "../../../src/log/sqlite/stored-rows.ts";

const flat = flattenEvent({ id: "0f3a9c1e-77aa-8bcd-9e01-000000000001", type: "T", data: {}, metadata: {} });

/** Rows as commits make them: each of some streams' next events. */
class Rows {
  readonly index = new HotIndex();
  readonly live = new Map<number, StoredEvent[]>();
  readonly #heads = new Map<string, number>();
  #position = 0;

  commit(streams: readonly string[]): void {
    const events = streams.map((stream): StoredEvent => {
      const revision = (this.#heads.get(stream) ?? -1) + 1;
      this.#heads.set(stream, revision);
      return { stream, revision, position: this.#position++, recordedAt: 0, flat };
    });
    const key = events[0]?.position ?? 0;
    this.index.add(key, 10, events);
    this.live.set(key, events);
  }

  /** Packs as the index does, and as the table would. Gives the keys that the ranges say are spent. */
  pack(stream: string, share: number): number[] {
    const revision = Math.floor((this.#heads.get(stream) ?? -1) * share);
    const ranges = this.index.markPacked(stream, revision);
    for (const [key, events] of this.live) {
      this.live.set(
        key,
        events.filter((event) => event.stream !== stream || event.revision > revision),
      );
    }
    return [...this.live.keys()].filter((key) => ranges.some(([first, last]) => key >= first && key <= last));
  }
}

describe("the index of hot rows", () => {
  const streams = fc.constantFrom("a", "b", "c");
  const step = fc.oneof(
    { weight: 3, arbitrary: fc.array(streams, { minLength: 1, maxLength: 4 }) },
    { weight: 1, arbitrary: fc.record({ stream: streams, share: fc.constantFrom(0.5, 1) }) },
  );

  it("names exactly the rows that hold nothing any more as those to be deleted", () => {
    fc.assert(
      fc.property(fc.array(step, { maxLength: 60 }), (steps) => {
        const rows = new Rows();
        for (const next of steps) {
          if (Array.isArray(next)) {
            rows.commit(next);
            continue;
          }
          const deleted = rows.pack(next.stream, next.share);
          const spent = [...rows.live].filter(([, events]) => events.length === 0).map(([key]) => key);
          expect(deleted).toEqual(spent);
          for (const key of deleted) rows.live.delete(key);
          expect(rows.index.rowCount).toBe(rows.live.size);
        }
        const left = [...rows.live.values()].flat();
        expect(rows.index.between(0, Number.MAX_SAFE_INTEGER)).toEqual(left);
      }),
    );
  });

  it("names one range for the rows of a stream that was alone", () => {
    const rows = new Rows();
    for (let commit = 0; commit < 64; commit++) rows.commit(["a"]);
    expect(rows.index.markPacked("a", 62)).toEqual([[0, 62]]);
  });
});
