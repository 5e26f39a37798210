import { describe, expect, it } from "@jest/globals";
import fc from "fast-check";
import { z } from "zod";
import { eventSchemas } from "../../src/events/conversation-event.ts";
import {
  type StoredEvent,
  createEventCodec,
  eventCodec,
  eventDefinitions,
  isUpdateOfContent,
} from "../../src/events/event-codec.ts";
import { propertyRuns } from "../support/arbitraries.ts";

const metadata = { v: 1, writer: "w", n: 0, time: 1_760_000_000_000 };
const place = {
  id: "00000000-0000-8000-8000-000000000000",
  stream: "conversation-s",
  revision: 7,
  position: 9,
};

const stored = (type: string, data: unknown, extra: object = {}): StoredEvent => ({
  ...place,
  type,
  data,
  metadata: { ...metadata, ...extra },
});

/** One valid datum of every type: what the vocabulary looks like. */
const examples: Record<keyof typeof eventSchemas, unknown> = {
  MessageSaved: {
    messageId: 1,
    role: "user",
    format: "text",
    content: "Hello",
    externalId: "x",
    metadata: { a: 1 },
  },
  AssistantStubAppended: { messageId: 2, content: "[]" },
  TurnStarted: { turnId: "t", messageId: 2, kind: "new", model: "m" },
  BranchesUpdated: {
    messageId: 2,
    content: [[1, 0, '{"kind":"text","text":"Hi"}']],
    length: 29,
    marks: [[0, 27]],
  },
  TurnEnded: {
    turnId: "t",
    messageId: 2,
    outcome: "finished",
    usage: { inputTokens: 3 },
    content: { length: 29, crc32: 5 },
  },
  MessagesReplaced: {
    through: 4,
    messages: [
      { keep: 2, count: 1 },
      { messageId: 3, role: "system", format: "text", content: "Summary" },
    ],
    reason: "compaction",
  },
  SessionUpdated: { title: "Title", metadata: null },
  SessionForked: { origin: { logId: "l", sessionId: "s", revision: 3, marks: 2 }, total: 4 },
  SessionDeleted: {},
  WriterStarted: { host: "h", pid: 1, heartbeatMs: 10_000, library: "turnlog" },
  WriterHeartbeat: { host: "h", pid: 1, heartbeatMs: 10_000, library: "turnlog" },
  WriterStopped: {},
  MessageIdsReserved: { sessionId: "s" },
};

describe("decoding", () => {
  it.each(Object.entries(examples))("takes a %s and returns it unchanged", (type, data) => {
    expect(eventCodec.decode(stored(type, data))).toEqual(stored(type, data));
  });

  it.each(Object.entries(examples))("keeps unknown fields of a %s, in data and metadata", (type, data) => {
    const event = stored(
      type,
      { ...(data as object), novelty: { deep: [1] } },
      { traceparent: "00-ab", novelty: true },
    );
    expect(eventCodec.decode(event)).toEqual(event);
  });

  it.each(Object.entries(examples).filter(([, data]) => Object.keys(data as object).length > 0))(
    "refuses a %s without its fields and says where it is",
    (type) => {
      const broken = type === "SessionUpdated" ? { title: 5 } : {};
      expect(() => eventCodec.decode(stored(type, broken))).toThrow(
        expect.objectContaining({
          code: "invalid-event",
          message: expect.stringMatching(
            new RegExp(`${type} at revision 7 of stream "conversation-s".*data\\.`),
          ),
        }),
      );
    },
  );

  it.each([
    ["no object", null],
    ["no version", { ...metadata, v: undefined }],
    ["version 0", { ...metadata, v: 0 }],
    ["a counter that is no integer", { ...metadata, n: 1.5 }],
    ["no time", { writer: "w", v: 1, n: 0 }],
  ])("refuses metadata with %s", (_what, broken) => {
    const event = { ...stored("SessionDeleted", {}), metadata: broken };
    expect(() => eventCodec.decode(event)).toThrow(expect.objectContaining({ code: "invalid-event" }));
  });

  it("refuses an unknown type and names it", () => {
    expect(() => eventCodec.decode(stored("MoodChanged", {}))).toThrow(
      expect.objectContaining({
        code: "unknown-event",
        message: expect.stringContaining("MoodChanged at revision 7"),
      }),
    );
  });

  it("refuses a version of the future", () => {
    expect(() => eventCodec.decode(stored("SessionDeleted", {}, { v: 2 }))).toThrow(
      expect.objectContaining({ code: "unknown-event", message: expect.stringContaining("version 2") }),
    );
  });

  it("skips what says that it may be skipped", () => {
    expect(eventCodec.decode(stored("MoodChanged", {}, { ignorable: true }))).toBeUndefined();
  });

  it("judges content updates as the schema does", () => {
    const near = fc.oneof(
      fc.nat(9),
      fc.constantFrom(-1, 0.5, "x", null, Number.MAX_VALUE),
      fc.constant(undefined),
    );
    const splice = fc.oneof(fc.tuple(near, near, fc.oneof(fc.string(), near)), fc.array(near), near);
    const mark = fc.oneof(fc.tuple(near, near), near);
    const data = fc.record(
      {
        messageId: near,
        content: fc.oneof(fc.array(splice), near),
        length: near,
        marks: fc.oneof(fc.array(mark), near),
      },
      { requiredKeys: [] },
    );
    fc.assert(
      fc.property(data, (value) => {
        if (isUpdateOfContent(value))
          expect(eventSchemas.BranchesUpdated.safeParse(value).success).toBe(true);
      }),
      propertyRuns(1000),
    );
    expect(isUpdateOfContent(examples.BranchesUpdated)).toBe(true);
  });

  it.each([
    ["a splice at no place", { messageId: 1, content: [[-1, 0, "x"]] }],
    ["a splice that deletes half a unit", { messageId: 1, content: [[0, 0.5, "x"]] }],
    ["a splice that deletes less than nothing", { messageId: 1, content: [[0, -1, "x"]] }],
    ["a splice without text", { messageId: 1, content: [[0, 0, 7]] }],
    ["a mark before the one before", { messageId: 1, content: [], marks: [[-1, 0]] }],
    ["a length below nothing", { messageId: 1, content: [], length: -1 }],
    ["no message", { messageId: 0, content: [] }],
  ])("refuses an update with %s", (_what, data) => {
    expect(() => eventCodec.decode(stored("BranchesUpdated", data))).toThrow(
      expect.objectContaining({ code: "invalid-event" }),
    );
  });

  it.each([
    ["a version below the first", { v: 0 }],
    ["a count below nothing", { n: -1 }],
    ["a count that is no whole number", { n: 1.5 }],
    ["no writer", { writer: 7 }],
    ["no time", { time: "noon" }],
    ["a turn that is no name", { turnId: 7 }],
    ["an origin that is none", { origin: { logId: 1 } }],
  ])("refuses metadata with %s", (_what, metadata) => {
    expect(() => eventCodec.decode(stored("SessionDeleted", {}, metadata))).toThrow(
      expect.objectContaining({ code: "invalid-event" }),
    );
  });

  it("skips a future version of a known type that says it may be skipped, and refuses it else", () => {
    const newer = { v: 99, ignorable: true };
    expect(eventCodec.decode(stored("SessionUpdated", { title: 7 }, newer))).toBeUndefined();
    expect(() => eventCodec.decode(stored("SessionUpdated", { title: "t" }, { v: 99 }))).toThrow(
      expect.objectContaining({ code: "unknown-event" }),
    );
  });
});

describe("upcasting: a title that was once called name", () => {
  const definitions = new Map(eventDefinitions).set("SessionUpdated", {
    version: 3,
    schema: z.looseObject({ title: z.string(), language: z.string() }),
    upcasts: {
      1: (data) => {
        const { name, ...rest } = data as { name: string };
        return { ...rest, title: name };
      },
      2: (data) => ({ language: "en", ...(data as object) }),
    },
  });
  const codec = createEventCodec(definitions);

  it("shows the newest version of an old event, unknown fields kept", () => {
    const old = stored("SessionUpdated", { name: "Lunch", colour: "red" });
    expect(codec.decode(old)).toMatchObject({
      data: { title: "Lunch", language: "en", colour: "red" },
      revision: 7,
    });
    expect(old.data).toEqual({ name: "Lunch", colour: "red" });
  });

  it("begins at the version of the event", () => {
    expect(codec.decode(stored("SessionUpdated", { title: "Lunch" }, { v: 2 }))).toMatchObject({
      data: { title: "Lunch", language: "en" },
    });
  });

  it("checks what came out", () => {
    expect(() => codec.decode(stored("SessionUpdated", { nom: "Lunch" }))).toThrow(
      expect.objectContaining({ code: "invalid-event" }),
    );
  });

  it("writes the newest version", () => {
    const draft = { type: "SessionUpdated", data: { title: "Lunch" }, cause: "update", turnId: "t" } as const;
    expect(codec.encode(draft, { id: place.id, writer: "w", n: 4, time: 5 })).toEqual({
      id: place.id,
      type: "SessionUpdated",
      data: { title: "Lunch" },
      metadata: { v: 3, writer: "w", n: 4, time: 5, turnId: "t", cause: "update" },
    });
  });
});
