import { describe, expect, it, jest } from "@jest/globals";
import fc from "fast-check";
import type { Mark, Splice } from "../../src/events/conversation-event.ts";
import { applySplices } from "../../src/events/text-splice.ts";
import { type ReplayStep, readReplay } from "../../src/forensics/replay.ts";
import { splitByMarks } from "../../src/forensics/replay-splices.ts";
import type { StoredPart } from "../../src/events/stored-part.ts";
import { firstSplicesOf, parsePoint } from "../../src/projections/point.ts";
import type { ConversationStore } from "../../src/store/conversation-store.ts";
import { withStore } from "../support/memory-store.ts";
import { fillRichly } from "../support/rich-session.ts";

/** Parts of each message as the steps tell them, put together naively. */
class Listener {
  readonly messages = new Map<number, StoredPart[]>();

  take({ changes }: ReplayStep): void {
    for (const change of changes) {
      if (change.kind === "message") this.messages.set(change.messageId, structuredClone([...change.parts]));
      if (change.kind === "deleted") this.messages.clear();
      if (change.kind === "branch" && change.active === change.variants - 1) this.#restart(change.messageId);
      if (!("part" in change)) continue;
      const parts = this.messages.get(change.messageId)!;
      const { part } = change;
      if (change.kind === "tool") parts[part] = structuredClone(change.tool);
      else if (change.kind === "part") parts[part] = structuredClone(change.value);
      else if (change.kind === "part-removed") parts.length = Math.min(parts.length, part);
      else if (change.kind === "tool-input") this.#grow(parts, part, "input", change.text);
      else {
        parts[part] ??= { kind: change.kind, text: "" };
        this.#grow(parts, part, "text", change.text);
      }
    }
  }

  #restart(messageId: number): void {
    if (this.messages.has(messageId)) this.messages.set(messageId, []);
  }

  #grow(parts: StoredPart[], part: number, field: string, text: string): void {
    const grown = parts[part] as unknown as Record<string, string>;
    grown[field] = (grown[field] ?? "") + text;
  }
}

const kindsOf = (steps: ReplayStep[]): string[] =>
  steps.flatMap(({ changes }) => changes.map(({ kind }) => kind));

async function replayAll(store: ConversationStore, sessionId = "s"): Promise<ReplayStep[]> {
  const all = { from: parsePoint("0+0", 0) };
  return (await readReplay(store.log, sessionId, all)).steps;
}

/** Every message as it was at a point, by what history says. */
async function checkAgainstHistory(store: ConversationStore, steps: ReplayStep[]): Promise<void> {
  const listener = new Listener();
  for (const step of steps) {
    listener.take(step);
    const { messages } = await store.history("s", { at: step.point });
    for (const { id, parts } of messages) {
      expect({ at: step.point, id, parts: listener.messages.get(id) }).toEqual({ at: step.point, id, parts });
    }
  }
}

describe("a replay", () => {
  it("tells each delta as history shows it there, in every kind of event", () =>
    withStore(async (store) => {
      await fillRichly(store, "s");
      const steps = await replayAll(store);
      await checkAgainstHistory(store, steps);
      const kinds = new Set(kindsOf(steps));
      for (const kind of ["message", "deleted", "turn-started", "text", "reasoning", "tool", "turn-ended"])
        expect(kinds).toContain(kind);
      for (const kind of ["branch", "replaced", "session"]) expect(kinds).toContain(kind);
    }));

  it("tells any stream of deltas, however it was coalesced (property)", async () => {
    const word = fc.oneof(
      fc.string({ unit: "binary" }),
      fc.constantFrom('"', "\\", '"}]', "\ud83d", "\ude00", "\n", ""),
    );
    const call = fc.oneof(
      { weight: 4, arbitrary: fc.record({ kind: fc.constant("text" as const), text: word }) },
      fc.record({ kind: fc.constant("reasoning" as const), text: word }),
      fc.record({ kind: fc.constant("tool" as const), text: word }),
      fc.constant({ kind: "flush" as const, text: "" }),
    );
    await fc.assert(
      fc.asyncProperty(fc.array(call, { maxLength: 30 }), (calls) =>
        withStore(async (store) => {
          const turn = await store.beginTurn("s", { user: "q" });
          for (const [index, { kind, text }] of calls.entries()) {
            if (kind === "text") void turn.textDelta(text);
            else if (kind === "reasoning") void turn.reasoningDelta(text);
            else if (kind === "flush") await turn.flush();
            else {
              const toolId = `t${index}`;
              void turn.toolInputStart({ toolId, name: "n" });
              for (const piece of ["{", text, text, "}"]) void turn.toolInputDelta(toolId, piece);
              void turn.toolCall({ toolId, name: "n" });
              void turn.toolResult(toolId, { text });
            }
          }
          await turn.finish();
          await checkAgainstHistory(store, await replayAll(store));
        }),
      ),
      { numRuns: 60 },
    );
  });

  it("tells contents that a caller writes whole, parts or not", () =>
    withStore(async (store) => {
      const id = await store.appendAssistantStub("s");
      const part = (...texts: string[]): string =>
        JSON.stringify(texts.map((text) => ({ kind: "text", text })));
      for (const content of [
        part("a"),
        part("a\\"),
        part('a\\n"'),
        part('a\\n"', "b"),
        part("b"),
        "plain",
        "plainer",
      ])
        await store.updateBranches(id, content);
      await checkAgainstHistory(store, await replayAll(store));
    }));

  it("has the recorded times: each delta's wait is the one since the delta before", () =>
    withStore(async (store) => {
      const content = '[{"kind":"text","text":"ab"}]';
      const at = content.length - '"}]'.length;
      const append = async (type: string, data: object, time: number): Promise<void> => {
        const event = { id: crypto.randomUUID(), type, data, metadata: { v: 1, writer: "w", n: time, time } };
        await store.log.append("conversation-s", [event as never], "any");
      };
      await append("AssistantStubAppended", { messageId: 1, content: "[]" }, 1000);
      await append("BranchesUpdated", { messageId: 1, content: [[0, 2, content]] }, 1500);
      const marks = [
        [250, 1],
        [40, 2],
        [0, 1],
      ];
      await append("BranchesUpdated", { messageId: 1, content: [[at, 0, "cdef"]], marks }, 2000);
      await append(
        "TurnEnded",
        { messageId: 1, outcome: "finished", content: { length: 0, crc32: 0 } },
        1900,
      );
      const { steps } = await readReplay(store.log, "s");
      expect(steps.map(({ point, time, waitMs }) => ({ point, time, waitMs }))).toEqual([
        { point: "0", time: 1000, waitMs: 0 },
        { point: "1", time: 1500, waitMs: 500 },
        { point: "2+1", time: 2250, waitMs: 750 },
        { point: "2+2", time: 2290, waitMs: 40 },
        { point: "2", time: 2290, waitMs: 0 },
        { point: "3", time: 1900, waitMs: 0 }, // A clock that went back.
      ]);
      expect(steps.flatMap(({ changes }) => changes)).toMatchObject([
        { kind: "message", role: "assistant" },
        { kind: "text", text: "ab" },
        { kind: "text", text: "c" },
        { kind: "text", text: "de" },
        { kind: "text", text: "f" },
        { kind: "turn-ended", outcome: "finished" },
      ]);
    }));
});

describe("what is replayed", () => {
  /** Three answers: a turn, a bare stub, a turn that regenerates it. */
  async function fillThree(store: ConversationStore): Promise<void> {
    const turn = await store.beginTurn("s", { user: "one?" });
    void turn.textDelta("one");
    await turn.finish();
    await store.saveMessage("s", "user", "two?");
    const id = await store.appendAssistantStub("s");
    await store.updateBranches(id, '[{"kind":"text","text":"two"}]');
    await store.endTurn(id, "finished");
    await store.updateSession("s", { title: "unrelated" });
    const again = await store.regenerate("s");
    void again.textDelta("three");
    await again.finish();
  }

  it.each([
    [1, ["message", "message", "turn-started", "text", "turn-ended"], "one"],
    [2, ["message", "message", "text", "turn-ended"], "two"],
    [3, ["turn-started", "branch", "text", "turn-ended"], "three"],
    ["last" as const, ["turn-started", "branch", "text", "turn-ended"], "three"],
    [undefined, ["turn-started", "branch", "text", "turn-ended"], "three"],
  ])("turn %s is its own events, with the message that it answers", (turn, kinds, text) =>
    withStore(async (store) => {
      await fillThree(store);
      const replay = await readReplay(store.log, "s", { turn });
      expect(replay).toMatchObject({ turn: typeof turn === "number" ? turn : 3, turns: 3 });
      expect(kindsOf(replay.steps)).toEqual(kinds);
      expect(replay.steps.flatMap(({ changes }) => changes)).toContainEqual(
        expect.objectContaining({ text }),
      );
    }),
  );

  it("goes from behind one point to another, marks and times included", () =>
    withStore(async (store) => {
      await fillRichly(store, "s");
      const all = await replayAll(store);
      for (const [first, last] of [
        [3, 9],
        [10, 11],
        [0, all.length - 1],
      ] as const) {
        const [from, to] = [all[first]!, all[last]!].map(({ point }) => parsePoint(point, 0));
        const { steps } = await readReplay(store.log, "s", { from, to });
        expect(steps.map(({ point }) => point)).toEqual(
          all.slice(first + 1, last + 1).map(({ point }) => point),
        );
      }
      const time = { kind: "time" as const, time: 0 };
      expect((await readReplay(store.log, "s", { from: time })).steps).toHaveLength(all.length);
      expect((await readReplay(store.log, "s", { to: time })).steps).toEqual([]);
    }));

  it("is the whole session where it has no turns", () =>
    withStore(async (store) => {
      await store.saveMessage("s", "user", "hello");
      await store.saveMessage("s", "user", "hello?");
      expect(await readReplay(store.log, "s")).toMatchObject({ turn: null, turns: 0, steps: [{}, {}] });
    }));

  it.each([
    [{ turn: 4 }, "turn-not-found"],
    [{ turn: 0 }, "invalid-usage"],
    [{ from: parsePoint("99", 0) }, "point-not-found"],
    [{ to: parsePoint("4+9", 0) }, "point-not-found"],
  ])("%j is refused as %s", (selection, code) =>
    withStore(async (store) => {
      await fillThree(store);
      await expect(readReplay(store.log, "s", selection)).rejects.toMatchObject({ code });
    }),
  );

  it("reads a content anew only where a part begins: what it parses is a few times its text, not the square", () =>
    withStore(async (store) => {
      const turn = await store.beginTurn("s", { user: "q" });
      for (let delta = 0; delta < 5000; delta++) void turn.textDelta("1234567\n");
      await turn.finish();
      const parse = JSON.parse;
      let parsed = 0;
      const spy = jest.spyOn(JSON, "parse").mockImplementation((text: string) => {
        parsed += text.length;
        return parse(text) as unknown;
      });
      const { steps } = await readReplay(store.log, "s").finally(() => spy.mockRestore());
      expect(steps.filter(({ changes }) => changes[0]?.kind === "text")).toHaveLength(5000);
      expect(parsed).toBeGreaterThan(0);
      expect(parsed).toBeLessThan(5000 * 8 * 10);
    }));
});

describe("splitting an update by its marks", () => {
  const splice = fc.tuple(fc.nat(0), fc.nat(0), fc.string({ maxLength: 12 })) as fc.Arbitrary<Splice>;
  const mark = fc.tuple(fc.nat(50), fc.nat(5)) as fc.Arbitrary<Mark>;

  it("gives after each delta what a POINT there shows, and in the end the whole update (property)", () => {
    fc.assert(
      fc.property(fc.array(splice, { maxLength: 4 }), fc.array(mark, { maxLength: 8 }), (splices, marks) => {
        const deltas = splitByMarks(splices, marks);
        expect(deltas).toHaveLength(Math.max(1, marks.length));
        const text = (first: number): string =>
          applySplices(
            "",
            deltas.slice(0, first).flatMap((each) => each.splices),
          );
        for (let count = 1; count < marks.length; count++)
          expect(text(count)).toBe(applySplices("", firstSplicesOf(splices, marks, count)));
        expect(text(deltas.length)).toBe(applySplices("", splices));
      }),
    );
  });
});
