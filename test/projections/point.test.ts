import { describe, expect, it } from "@jest/globals";
import fc from "fast-check";
import type { ConversationEvent, EventType } from "../../src/events/conversation-event.ts";
import type { StoredEvent } from "../../src/events/event-codec.ts";
import { conversationStream } from "../../src/events/conversation-event.ts";
import { applySplices } from "../../src/events/text-splice.ts";
import { firstSplicesOf, foldTo, parsePoint } from "../../src/projections/point.ts";
import { PendingDeltas } from "../../src/store/pending-deltas.ts";
import { withStore } from "../support/memory-store.ts";

const NOW = Date.UTC(2026, 10, 24, 12, 0, 0);

describe("parsePoint", () => {
  it.each([
    ["0", { kind: "revision", revision: 0 }],
    ["120", { kind: "revision", revision: 120 }],
    ["120+7", { kind: "revision", revision: 120, marks: 7 }],
    ["120+0", { kind: "revision", revision: 120, marks: 0 }],
    ["90s-ago", { kind: "time", time: NOW - 90_000 }],
    ["5m-ago", { kind: "time", time: NOW - 300_000 }],
    ["1.5h-ago", { kind: "time", time: NOW - 5_400_000 }],
    ["2d-ago", { kind: "time", time: NOW - 172_800_000 }],
    ["2026-11-24T02:13:00Z", { kind: "time", time: Date.UTC(2026, 10, 24, 2, 13) }],
    ["2026-11-24T02:13Z", { kind: "time", time: Date.UTC(2026, 10, 24, 2, 13) }],
    ["2026-11-24 02:13:12.345Z", { kind: "time", time: Date.UTC(2026, 10, 24, 2, 13, 12, 345) }],
    ["2026-11-24T04:13:00+02:00", { kind: "time", time: Date.UTC(2026, 10, 24, 2, 13) }],
    ["2026-11-23T20:43:00-05:30", { kind: "time", time: Date.UTC(2026, 10, 24, 2, 13) }],
    ["2028-02-29T00:00:00Z", { kind: "time", time: Date.UTC(2028, 1, 29) }],
  ])("reads %s", (text, point) => {
    expect(parsePoint(text, NOW)).toEqual(point);
  });

  it("takes a time without an offset as local, a bare date included", () => {
    expect(parsePoint("2026-11-24T02:13:05", NOW)).toEqual({
      kind: "time",
      time: new Date(2026, 10, 24, 2, 13, 5).getTime(),
    });
    expect(parsePoint("2026-11-24", NOW)).toEqual({ kind: "time", time: new Date(2026, 10, 24).getTime() });
  });

  it.each([
    "",
    "-1",
    "1.5",
    "120+",
    "+7",
    "120+-1",
    "9007199254740992",
    "1+9007199254740992",
    "now",
    "5m",
    "5w-ago",
    "-5m-ago",
    "2026-02-29T00:00:00Z",
    "2026-13-01",
    "2026-11-24T24:00:00Z",
    "2026-11-24T02:60Z",
    "2026-11-24T02:13:00Zjunk",
    " 120",
  ])("refuses %j", (text) => {
    expect(() => parsePoint(text, NOW)).toThrow(expect.objectContaining({ code: "invalid-point" }));
  });
});

/** A session written by hand, so that the times and marks are known. */
const stream = conversationStream("s");

function event<Type extends EventType>(
  revision: number,
  type: Type,
  data: Extract<ConversationEvent, { type: Type }>["data"] | Record<string, unknown>,
  metadata: Record<string, unknown> = {},
): StoredEvent {
  return {
    id: `00000000-0000-8000-8000-${String(revision).padStart(12, "0")}`,
    type,
    data,
    metadata: { v: 1, writer: "w", n: revision, time: 1000 + revision * 10, ...metadata },
    stream,
    revision,
    position: revision,
  };
}

async function* stored(...events: StoredEvent[]): AsyncGenerator<StoredEvent> {
  yield* events;
}

const HISTORY: StoredEvent[] = [
  event(0, "MessageSaved", { messageId: 1, role: "user", format: "text", content: "hello" }),
  event(1, "AssistantStubAppended", { messageId: 2, content: "[]" }),
  event(2, "TurnStarted", { turnId: "t", messageId: 2, kind: "new" }),
  event(
    3,
    "BranchesUpdated",
    {
      messageId: 2,
      content: [
        [1, 0, "abcdef"],
        [1, 2, ""],
        [3, 0, "xy"],
      ],
      length: 8,
      marks: [
        [0, 1],
        [5, 5],
        [5, 0],
        [5, 2],
      ],
    },
    { cause: "delta" },
  ),
  event(4, "BranchesUpdated", { messageId: 2, content: [[7, 0, "!"]], length: 9 }, { cause: "delta" }),
];

async function contentAt(point: string): Promise<string | undefined> {
  const state = await foldTo(stored(...HISTORY), parsePoint(point, NOW));
  return state.messages.current().at(-1)?.content.toString();
}

describe("foldTo", () => {
  it("folds everything where no point is given", async () => {
    const state = await foldTo(stored(...HISTORY));
    expect(state.revision).toBe(4);
    expect(state.messages.current().map(({ content }) => content.toString())).toEqual(["hello", "[cdxyef!]"]);
  });

  it.each([
    ["0", "hello"],
    ["1", "[]"],
    ["2", "[]"],
    ["3", "[cdxyef]"],
    ["4", "[cdxyef!]"],
  ])("after revision %s the newest message is %j", async (point, content) => {
    expect(await contentAt(point)).toBe(content);
  });

  it.each([
    ["3+0", "[]"],
    ["3+1", "[a]"],
    ["3+2", "[abcdef]"],
    ["3+3", "[cdef]"],
    ["3+4", "[cdxyef]"],
    ["4+0", "[cdxyef]"],
    ["4+1", "[cdxyef!]"],
    ["0+1", "hello"],
    ["2+1", "[]"],
  ])("at %s the newest message is %j", async (point, content) => {
    expect(await contentAt(point)).toBe(content);
  });

  it("is empty before the first event", async () => {
    const state = await foldTo(stored(...HISTORY), { kind: "revision", revision: 0, marks: 0 });
    expect(state).toMatchObject({ revision: -1, exists: false });
    expect(state.messages.current()).toEqual([]);
  });

  it("reads nothing behind the point", async () => {
    async function* untilThree(): AsyncGenerator<StoredEvent> {
      yield* HISTORY.slice(0, 4);
      throw new Error("read too far");
    }
    await expect(foldTo(untilThree(), { kind: "revision", revision: 3 })).resolves.toMatchObject({
      revision: 3,
    });
  });

  it.each([
    ["5", "newest is 4"],
    ["5+0", "newest is 4"],
    ["3+5", "has 4 marks, not 5"],
    ["4+2", "has 1 mark, not 2"],
    ["0+2", "has 1 mark, not 2"],
  ])("says that %s is not there", async (point, message) => {
    const folded = foldTo(stored(...HISTORY), parsePoint(point, NOW));
    await expect(folded).rejects.toMatchObject({
      code: "point-not-found",
      message: expect.stringContaining(message),
    });
  });

  it("says that a revision has been removed", async () => {
    const folded = foldTo(stored(event(7, "SessionDeleted", {})), { kind: "revision", revision: 3 });
    await expect(folded).rejects.toMatchObject({
      code: "point-not-found",
      message: expect.stringContaining("oldest event is revision 7"),
    });
  });

  it.each([
    [1000 - 1, -1],
    [1000, 0],
    [1009, 0],
    [1010, 1],
    [1040, 4],
    [9999, 4],
  ])("at time %d stands at revision %d", async (time, revision) => {
    expect(await foldTo(stored(...HISTORY), { kind: "time", time })).toMatchObject({ revision });
  });

  it("at a time stops at the first later event, also where a clock went back behind it", async () => {
    const history = [
      event(0, "SessionUpdated", { title: "a" }, { time: 100 }),
      event(1, "SessionUpdated", { title: "b" }, { time: 300 }),
      event(2, "SessionUpdated", { title: "c" }, { time: 200 }),
    ];
    expect(await foldTo(stored(...history), { kind: "time", time: 250 })).toMatchObject({ title: "a" });
  });

  it("skips an unknown event that may be skipped", async () => {
    const history = [
      ...HISTORY.slice(0, 2),
      event(2, "FromTheFuture" as EventType, {}, { ignorable: true }),
      event(3, "SessionUpdated", { title: "later" }),
    ];
    expect(await foldTo(stored(...history))).toMatchObject({ revision: 3, title: "later" });
    expect(await foldTo(stored(...history), { kind: "revision", revision: 2 })).toMatchObject({
      revision: 2,
      title: undefined,
    });
  });

  it("shows what the turn writer wrote delta by delta", async () => {
    const deltas = ["Let ", "me ", "look", ". 🙂"];
    const events: StoredEvent[] = [];
    await withStore(async (store) => {
      const turn = await store.beginTurn("s");
      for (const text of deltas) void turn.textDelta(text);
      await turn.flush();
      for await (const each of store.log.readStream(stream)) events.push(each);
      await turn.finish();
    });
    for (const index of deltas.keys()) {
      const point = { kind: "revision" as const, revision: events.length - 1, marks: index + 1 };
      const state = await foldTo(stored(...events), point);
      // The head of a part is one delta with its first text; its closing quote comes along.
      const parts = [{ kind: "text", text: deltas.slice(0, index + 1).join("") }];
      expect(state.messages.current()[0]?.content.toString()).toBe(JSON.stringify(parts));
    }
  });
});

describe("firstSplicesOf", () => {
  it("undoes coalescing: the first marks give what the first deltas gave", () => {
    const delta = fc.tuple(fc.nat(), fc.nat(3), fc.string({ maxLength: 4 }), fc.boolean());
    fc.assert(
      fc.property(fc.array(delta, { minLength: 2, maxLength: 12 }), (deltas) => {
        const pending = new PendingDeltas();
        const contents = [""];
        let end = 0;
        for (const [where, del, ins, continues] of deltas) {
          const before = contents.at(-1) ?? "";
          const at = continues ? Math.min(end, before.length) : where % (before.length + 1);
          const deleted = continues ? 0 : Math.min(del, before.length - at);
          if (deleted === 0 && ins === "") continue; // The turn writer makes no splice of nothing.
          pending.add([at, deleted, ins], 0);
          contents.push(applySplices(before, [[at, deleted, ins]]));
          end = at + ins.length;
        }
        const { splices, marks } = pending.take() ?? { splices: [], marks: undefined };
        if (marks === undefined) return;
        for (let count = 0; count <= marks.length; count++) {
          expect(applySplices("", firstSplicesOf(splices, marks, count))).toBe(contents[count]);
        }
      }),
    );
  });
});
