import { describe, expect, it } from "@jest/globals";
import fc from "fast-check";
import type { EventColumns } from "../../src/log/event-columns.ts";
import type { JsonObject, JsonValue, RecordedEvent } from "../../src/log/event-log.ts";
import { MemoryEventLog } from "../../src/log/memory-event-log.ts";
import { flattenEvent } from "../../src/log/sqlite/event-shape.ts";
import { decodePackedRow, encodePackedRow } from "../../src/log/sqlite/stored-rows.ts";
import { MergedUpdates } from "../../src/projections/merged-updates.ts";
import { openViews } from "../../src/projections/open-views.ts";
import { ViewWriter } from "../../src/projections/view-writer.ts";

/** Updates that a rebuild folds together, out of columns: with the same rows in the end as one event after the other. */

const STREAM = "conversation-s";

/** What one event does to the conversation before it, or how it is wrong. */
interface Step {
  kind: "go on" | "replace" | "rename" | "fork";
  message: 1 | 2 | 3;
  at: number;
  del: number;
  text: string;
  marks: JsonValue | undefined;
  writing: JsonObject;
  wrong: "nothing" | "length" | "beyond" | "deletion" | "n" | "v" | "time" | "ignorable" | "extra key";
}

const usually = <T>(value: T, ...others: T[]): fc.Arbitrary<T> =>
  fc.oneof({ weight: 16, arbitrary: fc.constant(value) }, ...others.map((other) => fc.constant(other)));

const manyMarks = Array.from({ length: 7 }, (_, n) => [n, 1]);
const twoMarks = [
  [0, 1],
  [20, 2],
];
const step: fc.Arbitrary<Step> = fc.record({
  kind: usually<Step["kind"]>("go on", "replace", "rename"),
  message: usually<Step["message"]>(2, 1),
  at: fc.nat(20),
  del: fc.nat(3),
  text: fc.string({ maxLength: 5, unit: "binary" }),
  marks: usually<JsonValue | undefined>(undefined, twoMarks, manyMarks),
  writing: usually<JsonObject>(
    { writer: "w", turnId: "t", cause: "delta" },
    { writer: "other", turnId: "t", cause: "delta" },
    { writer: "w", turnId: "u", cause: "delta" },
    { writer: "w", turnId: "t", cause: "tool-call" },
    { writer: "w", cause: "update" },
  ),
  wrong: fc.constant<Step["wrong"]>("nothing"),
});

/** Of one event: more would hide each other behind the first. */
const fault: fc.Arbitrary<Partial<Step>> = fc.constantFrom<Partial<Step>[]>(
  {},
  { kind: "fork" },
  { kind: "go on", message: 3 },
  { marks: [[-1, 0]] },
  { marks: [...manyMarks, [0, -1]] },
  { marks: "none" },
  { writing: { writer: 7, cause: "update" } },
  { kind: "go on", wrong: "length" },
  { kind: "go on", wrong: "beyond" },
  { kind: "go on", wrong: "deletion" },
  { kind: "go on", wrong: "n" },
  { kind: "go on", wrong: "v" },
  { kind: "go on", wrong: "time" },
  { kind: "go on", wrong: "ignorable" },
  { kind: "go on", wrong: "extra key" },
);

function recorded(revision: number, type: string, data: JsonObject, metadata: JsonObject): RecordedEvent {
  return {
    stream: STREAM,
    revision,
    position: revision * 2 + 5,
    recordedAt: 1_700_000_000_000 + revision,
    id: `0f3a9c1e-77aa-8bcd-9e01-${revision.toString(16).padStart(12, "0")}`,
    type,
    data,
    metadata: { v: 1, n: revision, time: 1_700_000_000_000 + revision * 7, ...metadata },
  };
}

/** A session of three steps that is there already, and the steps. The third message is not there. */
function historyOf(steps: readonly Step[]): RecordedEvent[] {
  const saved = { role: "user", format: "text" };
  const events = [
    recorded(0, "MessageSaved", { messageId: 1, ...saved, content: "hello" }, { writer: "w" }),
    recorded(1, "AssistantStubAppended", { messageId: 2, content: "[]" }, { writer: "w" }),
  ];
  const contents = new Map([
    [1, "hello"],
    [2, "[]"],
  ]);
  let end = 0;
  for (const { kind, message, at: where, del, text, marks, writing, wrong } of steps) {
    const revision = events.length;
    const content = contents.get(message) ?? "";
    const at = kind === "go on" ? Math.min(end, content.length) : Math.min(where, content.length);
    const deleted = kind === "go on" ? 0 : Math.min(del, content.length - at);
    const metadata: JsonObject = {
      ...writing,
      ...(wrong === "n" ? { n: -1 } : {}),
      ...(wrong === "v" ? { v: 2 } : {}),
      ...(wrong === "time" ? { time: "noon" } : {}),
      ...(wrong === "ignorable" ? { v: 2, ignorable: true } : {}),
    };
    if (kind === "rename" || kind === "fork") {
      const origin = { logId: "l", sessionId: "o", revision: 3 };
      events.push(
        kind === "rename"
          ? recorded(revision, "SessionUpdated", { title: text }, metadata)
          : recorded(revision, "SessionForked", { origin, total: 20 }, metadata),
      );
      continue;
    }
    const next = content.slice(0, at) + text + content.slice(at + deleted);
    const [splice, length] = {
      beyond: [[content.length, 5, text], Math.max(0, content.length - 5 + text.length)],
      deletion: [[at, 1, text], next.length],
      length: [[at, deleted, text], next.length + 1],
      right: [[at, deleted, text], next.length],
    }[wrong === "beyond" || wrong === "deletion" || wrong === "length" ? wrong : "right"] as [
      number[],
      number,
    ];
    const data: JsonObject = {
      messageId: message,
      content: [splice],
      length,
      ...(marks === undefined ? {} : { marks }),
      ...(wrong === "extra key" ? { more: true } : {}),
    };
    events.push(recorded(revision, "BranchesUpdated", data, metadata));
    if (wrong !== "ignorable") contents.set(message, next);
    end = at + text.length;
  }
  return events;
}

function packed(events: readonly RecordedEvent[]): EventColumns {
  const stored = events.map((event) => ({ ...event, flat: flattenEvent(event) }));
  return decodePackedRow(STREAM, encodePackedRow(stored));
}

type Runs = (readonly RecordedEvent[] | EventColumns)[];

/** The rows, and the checkpoint, after the first events one by one and the others as they are given. */
async function rowsAfter(first: readonly RecordedEvent[], byColumn: Runs, completeTo: number) {
  const views = await openViews(new MemoryEventLog({}), { path: ":memory:" });
  try {
    const current = views.current();
    if (current === undefined) throw new Error("no generation");
    const options = { mostSessions: 10, mostUnits: 1_000_000, onDeadLetter: () => undefined };
    const writer = new ViewWriter(views, 1, current, options);
    for (const event of first) writer.take(event);
    writer.flush("all");
    writer.takeRuns({ runs: [], byColumn, completeTo });
    const due = writer.dueSessions;
    writer.flush("due");
    const afterDue = views.current()?.checkpoint;
    writer.flush("all");
    const { conversation } = views.rows(1).load("s") ?? {};
    const messages = conversation?.messages
      .all()
      .map((message) => ({ ...message, content: message.content.toString() }));
    const { revision, lastActive, title, missingForkEvents } = conversation ?? {};
    const { checkpoint, highest } = views.current() ?? {};
    const state = { revision, lastActive, title, missingForkEvents, due, afterDue };
    return { ...state, messages, deadLetters: views.rows(1).deadLetters(), checkpoint, highest };
  } finally {
    views.close();
  }
}

describe("a rebuild by columns", () => {
  it("gives the rows and the checkpoint that one event after the other gives, whatever is wrong with one", async () => {
    const cuts = fc.array(fc.nat(60), { maxLength: 3 });
    await fc.assert(
      fc.asyncProperty(
        fc.array(step, { minLength: 1, maxLength: 60 }),
        fc.tuple(fc.nat(59), fault),
        cuts,
        fc.option(fc.nat(60), { freq: 2 }),
        fc.option(fc.nat(3), { freq: 2, nil: undefined }),
        fc.nat(140),
        async (sound, [faulty, change], cutsAt, known, lost, completeTo) => {
          const steps = sound.map((each, index) =>
            index === faulty % sound.length ? { ...each, ...change } : each,
          );
          const events = historyOf(steps);
          // The rows may have seen a part of what is given, and a piece may be missing.
          const seen = events.slice(0, 2 + Math.min(known ?? 0, steps.length));
          const bounds = [0, ...cutsAt.filter((cut) => cut < events.length), events.length].toSorted(
            (a, b) => a - b,
          );
          const pieces = bounds
            .slice(1)
            .map((end, index) => events.slice(bounds[index], end))
            .filter((piece, index) => piece.length > 0 && index !== lost);
          const oneByOne = await rowsAfter(seen, pieces, completeTo);
          expect(await rowsAfter(seen, pieces.map(packed), completeTo)).toEqual(oneByOne);
        },
      ),
      { numRuns: process.env["TURNLOG_TEST_LONG"] === undefined ? 300 : 10_000 },
    );
  });

  const plain: Omit<Step, "marks"> = {
    kind: "go on",
    message: 2,
    at: 0,
    del: 0,
    text: "word ",
    writing: { writer: "w", turnId: "t", cause: "delta" },
    wrong: "nothing",
  };
  const mergedFrom = (run: EventColumns, index: number): unknown[] => {
    const merged = new MergedUpdates(run).from(index);
    return [merged?.count, merged?.event.data.content[0], merged?.event.revision, merged?.event.metadata.n];
  };

  it("takes text that streamed in as a hundred events as one event, however many marks each has", () => {
    const marks = [undefined, [[0, 5]], manyMarks];
    const steps = Array.from({ length: 100 }, (_, n) => ({ ...plain, marks: marks[n % 3] }));
    expect(mergedFrom(packed(historyOf(steps)), 2)).toEqual([100, [0, 0, "word ".repeat(100)], 101, 101]);
  });

  it.each<[what: string, change: Partial<Step>]>([
    ["another message", { message: 1 }],
    ["another place", { kind: "replace", at: 3 }],
    ["another turn", { writing: { writer: "w", turnId: "u", cause: "delta" } }],
    ["another cause", { writing: { writer: "w", turnId: "t", cause: "tool-call" } }],
    ["another writer", { writing: { writer: "x", turnId: "t", cause: "delta" } }],
    ["a wrong length", { wrong: "length" }],
    ["a key of its own", { wrong: "extra key" }],
    ["marks that are none", { marks: [[-1, 0]] }],
    ["many marks that are none", { marks: [...manyMarks, [0, -1]] }],
  ])("ends with an event of %s", (_what, change) => {
    const steps = [1, 2, 3, 4].map((n) => ({ ...plain, marks: undefined, ...(n === 3 ? change : {}) }));
    expect(mergedFrom(packed(historyOf(steps)), 2).slice(0, 2)).toEqual([2, [0, 0, "word word "]]);
  });

  it.each<Step["wrong"]>(["n", "v"])(
    "leaves all of a form to be taken one by one where one has a wrong %s",
    (wrong) => {
      const steps = [1, 2, 3, 4].map((n) => ({ ...plain, marks: undefined, ...(n === 3 ? { wrong } : {}) }));
      expect(mergedFrom(packed(historyOf(steps)), 2)).toEqual([undefined, undefined, undefined, undefined]);
    },
  );
});
