import { crc32, deflateRawSync } from "node:zlib";
import { describe, expect, it } from "@jest/globals";
import fc from "fast-check";
import { errorCode } from "../../../src/errors.ts";
import type { JsonObject, NewEvent } from "../../../src/log/event-log.ts";
import { flattenEvent, unflattenEvent } from "../../../src/log/sqlite/event-shape.ts";
import { ENCODING_COLUMNS, ENCODING_DEFLATED } from "../../../src/log/sqlite/packed-record.ts";
import {
  type HotRow,
  type PackedRow,
  type StoredEvent,
  decodeHotRow,
  decodePackedRow,
  encodeHotRow,
  encodePackedRow,
  recordedEventOf,
} from "../../../src/log/sqlite/stored-rows.ts";
import { anyEvents, throughJson } from "./json-arbitraries.ts";

/** Events of one commit, spread over some streams. */
function storedEvents(
  events: readonly NewEvent[],
  streamCount: number,
  firstPosition = 1_000,
): StoredEvent[] {
  const revisions = new Map<string, number>();
  return events.map((event, index) => {
    const stream = `conversation-${(index * 7) % streamCount}`;
    const revision = (revisions.get(stream) ?? 41) + 1;
    revisions.set(stream, revision);
    return {
      stream,
      revision,
      position: firstPosition + index,
      recordedAt: 1_764_000_000_123,
      flat: flattenEvent(event),
    };
  });
}

/** As text, so that the order of keys counts too. */
const textOf = (event: Pick<NewEvent, "id" | "type" | "data" | "metadata">): string =>
  JSON.stringify([event.id, event.type, event.data, event.metadata]);

function delta(n: number): NewEvent {
  return {
    id: `0f3a9c1e-77aa-8bcd-9e01-${n.toString(16).padStart(12, "0")}`,
    type: "BranchesUpdated",
    data: { messageId: 257, content: [[n * 8, 0, ` Holi${(n * 7919) % 997}`]], length: n * 8 + 8 },
    metadata: { v: 1, writer: "a1b2c3d4e5f6a7b8c9d0", n, time: 1_764_000_000_000 + n * 20, cause: "delta" },
  };
}

describe("an event taken apart", () => {
  it("is put together as JSON would have it", () => {
    fc.assert(
      fc.property(anyEvents, (events) => {
        for (const event of events) {
          const { data, metadata } = unflattenEvent(flattenEvent(event));
          expect(textOf({ ...event, data, metadata })).toBe(textOf(throughJson(event)));
        }
      }),
    );
  });

  it("treats what JSON does not know as JSON.stringify does", () => {
    const odd = {
      date: new Date(0),
      missing: undefined,
      holes: [1, undefined, 3],
      not: Number.NaN,
      negativeZero: -0,
      boxed: Object("text") as unknown,
    } as unknown as JsonObject;
    const event = { ...delta(1), data: odd };
    expect(unflattenEvent(flattenEvent(event)).data).toEqual(JSON.parse(JSON.stringify(odd)));
  });

  it.each([
    ["nothing at all", undefined],
    ["a function", () => 1],
    ["a bigint", { n: 1n }],
  ])("refuses %s", (_name, data) => {
    const event = { ...delta(1), data } as unknown as NewEvent;
    expect(() => flattenEvent(event)).toThrow(expect.objectContaining({ code: "invalid-event" }));
  });

  it("keeps a thousand levels, and refuses what the stack cannot hold without falling over", () => {
    const nested = (depth: number): NewEvent => {
      let data: NewEvent["data"] = "core";
      for (let level = 0; level < depth; level++) data = level % 2 === 0 ? [data] : { a: data };
      return { ...delta(1), data };
    };
    const event = nested(1_000);
    expect(JSON.stringify(unflattenEvent(flattenEvent(event)).data)).toBe(JSON.stringify(event.data));
    expect(() => flattenEvent(nested(1_000_000))).toThrow(expect.objectContaining({ code: "invalid-event" }));
  });

  it("keeps nothing of the caller's objects", () => {
    const event = throughJson(delta(1));
    const flat = flattenEvent(event);
    (event.data as JsonObject)["messageId"] = "changed";
    expect(unflattenEvent(flat).data).toEqual(delta(1).data);
  });
});

describe("a hot row", () => {
  it("gives back the events of all its streams", () => {
    fc.assert(
      fc.property(anyEvents, fc.integer({ min: 1, max: 5 }), (events, streamCount) => {
        const stored = storedEvents(events, streamCount);
        const decoded = decodeHotRow(encodeHotRow(stored));
        expect(decoded.map((event) => JSON.stringify(recordedEventOf(event)))).toEqual(
          stored.map((event) => JSON.stringify(recordedEventOf(event))),
        );
        expect(decoded.map((event) => textOf(recordedEventOf(event)))).toEqual(
          events.map((event) => textOf(throughJson(event))),
        );
      }),
    );
  });

  it("keeps its key when its first events are taken out of it", () => {
    const stored = storedEvents([1, 2, 3, 4].map(delta), 2);
    const rest = stored.filter((event) => event.stream !== "conversation-0");
    const row = encodeHotRow(rest, stored[0]?.position);
    expect(row.position).toBe(1_000);
    expect(decodeHotRow(row).map(recordedEventOf)).toEqual(rest.map(recordedEventOf));
  });
});

describe("a packed row", () => {
  it("gives back its events, and again after being packed anew", () => {
    fc.assert(
      fc.property(anyEvents, fc.array(fc.integer({ min: 1, max: 99 })), (events, gaps) => {
        let position = 10;
        const stored = storedEvents(events, 1).map((event, index) => {
          position += gaps[index % Math.max(1, gaps.length)] ?? 1;
          return { ...event, position, recordedAt: 1_764_000_000_000 + position * 3 };
        });
        const run = decodePackedRow("conversation-0", encodePackedRow(stored));
        const again = encodePackedRow(stored.map((_, index) => run.storedEvent(index)));
        const runAgain = decodePackedRow("conversation-0", again);
        stored.forEach((event, index) => {
          expect(JSON.stringify(run.recordedEvent(index))).toBe(JSON.stringify(recordedEventOf(event)));
          expect(JSON.stringify(runAgain.recordedEvent(index))).toBe(JSON.stringify(recordedEventOf(event)));
        });
      }),
    );
  });

  it("holds a turn of 2,000 deltas in 32 KB", () => {
    let bytes = 0;
    for (let first = 0; first < 2_000; first += 64) {
      const events = Array.from({ length: 64 }, (_, index) => delta(first + index));
      bytes += encodePackedRow(storedEvents(events, 1)).payload.length;
    }
    expect(bytes).toBeLessThan(32_768);
  });

  it("is deflated only where that makes it smaller", () => {
    expect(encodePackedRow(storedEvents([delta(1)], 1)).encoding).toBe(ENCODING_COLUMNS);
    expect(
      encodePackedRow(
        storedEvents(
          Array.from({ length: 64 }, (_, n) => delta(n)),
          1,
        ),
      ).encoding,
    ).toBe(ENCODING_DEFLATED);
  });
});

describe("rows of the first encoding", () => {
  const described = (header: string): Uint8Array =>
    Buffer.from(
      `[${header},[["0f3a9c1e-77aa-8bcd-9e01-"],0,[0,1,1]],0,[["BranchesUpdated",{"messageId":0,"content":[[0,0,0]],"length":0},{"v":0,"writer":0,"n":0,"time":0,"cause":0}],257,[0,8,8],0,[2," Holi940"," Holi883"," Holi826"],[0,16,8],1,"a1b2c3d4e5f6a7b8c9d0",[0,1,1],[0,1764000000020,20],"delta"]]`,
    );
  const packed = described('{"position":[0,1000,1],"recordedAt":1764000000123}');

  it("are read: hot", () => {
    const header =
      '{"streams":[["conversation-0",42],["conversation-1",42]],"stream":[2,0,1,0],"position":[0,1000,1],"recordedAt":1764000000123}';
    const row = { position: 1_000, count: 3, encoding: 1, crc: 4_214_357_623, payload: described(header) };
    const expected = storedEvents([1, 2, 3].map(delta), 2);
    expect(decodeHotRow(row).map(recordedEventOf)).toEqual(expected.map(recordedEventOf));
  });

  const expectRead = (row: PackedRow): void => {
    const expected = storedEvents([1, 2, 3].map(delta), 1);
    const run = decodePackedRow("conversation-0", row);
    expect(expected.map((_event, index) => run.recordedEvent(index))).toEqual(expected.map(recordedEventOf));
  };
  const place = { firstPosition: 1_000, lastPosition: 1_002, firstRevision: 42, count: 3 };

  it("are read: packed", () => {
    expectRead({ ...place, encoding: 1, crc: 3_348_235_802, payload: packed });
  });

  it("are read: deflated", () => {
    const payload = deflateRawSync(packed);
    const crc = crc32(payload, crc32("packed 42 1000 1002 3 2 conversation-0"));
    expectRead({ ...place, encoding: 2, crc, payload });
  });
});

describe("damage", () => {
  const hot = encodeHotRow(storedEvents([1, 2, 3].map(delta), 2));
  const packed = encodePackedRow(
    storedEvents(
      Array.from({ length: 64 }, (_, n) => delta(n)),
      1,
    ),
  );

  const withFlippedBit = (payload: Uint8Array, bit: number): Uint8Array => {
    const copy = Uint8Array.from(payload);
    copy[bit >> 3] = (copy[bit >> 3] ?? 0) ^ (1 << (bit & 7));
    return copy;
  };

  it("to any bit of a payload is noticed", () => {
    for (let bit = 0; bit < hot.payload.length * 8; bit += 5) {
      expect(() => decodeHotRow({ ...hot, payload: withFlippedBit(hot.payload, bit) })).toThrow("checksum");
    }
    for (let bit = 0; bit < packed.payload.length * 8; bit += 5) {
      const row = { ...packed, payload: withFlippedBit(packed.payload, bit) };
      expect(() => decodePackedRow("conversation-0", row)).toThrow("checksum");
    }
  });

  it.each<Partial<HotRow>>([
    { position: 999 },
    { count: 2 },
    { encoding: 2 },
    { encoding: 77 },
    { crc: 1 },
    { payload: new Uint8Array() },
  ])("to a hot row's columns is noticed: %j", (change) => {
    expect(() => decodeHotRow({ ...hot, ...change })).toThrow(
      expect.objectContaining({ code: "damaged-row" }),
    );
  });

  it.each<Partial<PackedRow>>([
    { firstPosition: 999 },
    { lastPosition: 5 },
    { firstRevision: 0 },
    { count: 63 },
    { encoding: 1 },
    { crc: 0 },
  ])("to a packed row's columns is noticed: %j", (change) => {
    expect(() => decodePackedRow("conversation-0", { ...packed, ...change })).toThrow(
      expect.objectContaining({ code: "damaged-row" }),
    );
  });

  it("a row that has come to another stream is noticed, and the error says where to look", () => {
    let failure: unknown;
    try {
      decodePackedRow("conversation-1", packed);
    } catch (error) {
      failure = error;
    }
    expect(errorCode(failure)).toBe("damaged-row");
    expect(failure).toMatchObject({
      details: { table: "packed", firstPosition: 1_000, lastPosition: 1_063, stream: "conversation-1" },
    });
  });
});
