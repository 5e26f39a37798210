import shared from "@eventstore/db-client/generated/shared_pb.js";
import streams from "@eventstore/db-client/generated/streams_pb.js";
import { describe, expect, it } from "@jest/globals";
import fc from "fast-check";
import { decodeReadResponse } from "../../../src/log/eventstoredb/read-response.ts";
import { positionOf, revisionOf } from "../../../src/log/eventstoredb/wire-event.ts";
import { propertyRuns } from "../../support/arbitraries.ts";
import {
  caughtUp,
  checkpoint,
  confirmation,
  readEvent,
  streamNotFound,
} from "../../support/eventstoredb-fixture/wire.ts";

/** Our own decoding of what the server sends, against the client's generated classes. */

const record = fc.record({
  id: fc.uuid(),
  type: fc.string({ unit: "grapheme" }),
  contentType: fc.constantFrom("application/json", "application/octet-stream", ""),
  data: fc.uint8Array({ maxLength: 300 }),
  metadata: fc.uint8Array({ maxLength: 300 }),
  stream: fc.string({ unit: "grapheme" }),
  revision: fc.maxSafeNat(),
  position: fc.maxSafeNat(),
  created: fc.nat(4_000_000_000_000).map((ms) => String(BigInt(ms) * 10_000n + 9_999n)),
});

describe("what the server sends", () => {
  it("is decoded as the client's own classes encode it", () => {
    fc.assert(
      fc.property(record, (stored) => {
        const response = decodeReadResponse(Buffer.from(readEvent(stored)));
        const { created, data, metadata, ...same } = stored;
        expect(response).toEqual({
          kind: "event",
          record: {
            ...same,
            data: Buffer.from(data),
            metadata: Buffer.from(metadata),
            recordedAt: Math.floor(Number(created) / 10_000),
          },
        });
      }),
      propertyRuns(300) as object,
    );
  });

  it("tells the other kinds apart", () => {
    const decoded = [checkpoint(2 ** 40), caughtUp(), confirmation("x"), streamNotFound("s")].map(
      (response) => decodeReadResponse(Buffer.from(response.serializeBinary())),
    );
    expect(decoded).toEqual([
      { kind: "checkpoint", position: 2 ** 40 },
      { kind: "caught-up" },
      { kind: "other" },
      { kind: "other" },
    ]);
  });

  it("passes over fields that a newer server adds", () => {
    const bytes = readEvent({
      id: "11111111-1111-4111-8111-111111111111",
      type: "T",
      contentType: "application/json",
      data: Buffer.from("{}"),
      metadata: Buffer.alloc(0),
      stream: "s",
      revision: 3,
      position: 300,
      created: "0",
    });
    // Fields 100 to 103, one of each wire type: 0, 1, 2 and 5.
    const added = [
      0xa0, 0x06, 0x96, 0x01, 0xa9, 0x06, 1, 2, 3, 4, 5, 6, 7, 8, 0xb2, 0x06, 2, 9, 9, 0xbd, 0x06, 1, 2, 3, 4,
    ];
    const plain = decodeReadResponse(Buffer.from(bytes));
    expect(decodeReadResponse(Buffer.from([...added, ...bytes]))).toEqual(plain);
    expect(plain).toMatchObject({ record: { revision: 3, position: 300, type: "T" } });
  });

  it("numbers above what JavaScript counts exactly are damage, not another number", () => {
    const recorded = new streams.ReadResp.ReadEvent.RecordedEvent();
    recorded.setStreamRevision("9007199254740993");
    recorded.setCommitPosition("18446744073709551615");
    recorded.setStreamIdentifier(new shared.StreamIdentifier());
    const event = new streams.ReadResp.ReadEvent();
    event.setEvent(recorded);
    const response = new streams.ReadResp();
    response.setEvent(event);
    const decoded = decodeReadResponse(Buffer.from(response.serializeBinary()));
    if (decoded.kind !== "event") throw new Error("it is an event");
    for (const number of [revisionOf, positionOf]) {
      expect(() => number(decoded.record)).toThrow(expect.objectContaining({ code: "unsafe-number" }));
    }
  });

  it("what is cut off or garbled is refused, or is some other message: it neither hangs nor runs over the end", () => {
    const check = (bytes: Uint8Array): void => {
      try {
        const response = decodeReadResponse(Buffer.from(bytes));
        if (response.kind === "event") expect(response.record.data.length).toBeLessThanOrEqual(bytes.length);
      } catch (failure) {
        expect(failure).toBeInstanceOf(RangeError);
      }
    };
    fc.assert(fc.property(fc.uint8Array({ maxLength: 100 }), check), propertyRuns(1_000) as object);
    fc.assert(
      fc.property(record, fc.nat(), fc.nat(255), (stored, at, byte) => {
        const bytes = Uint8Array.from(readEvent(stored));
        expect(() => decodeReadResponse(Buffer.from(bytes.subarray(0, at % bytes.length || 1)))).toThrow(
          RangeError,
        );
        bytes[at % bytes.length] = byte;
        check(bytes);
      }),
      propertyRuns(300) as object,
    );
  });
});
