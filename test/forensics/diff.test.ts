import { describe, expect, it } from "@jest/globals";
import fc from "fast-check";
import { type DiffChange, diffStates } from "../../src/forensics/diff.ts";
import { type TextPiece, diffTexts } from "../../src/forensics/diff-text.ts";
import type { SessionState } from "../../src/projections/session-state.ts";
import type { ConversationStore } from "../../src/store/conversation-store.ts";
import { withStore } from "../support/memory-store.ts";
import { fillRichly } from "../support/rich-session.ts";

async function changesBetween(
  store: ConversationStore,
  from: number | string,
  to: number | string,
): Promise<DiffChange[]> {
  return diffStates(await store.history("s", { at: from }), await store.history("s", { at: to }));
}

/** All that a diff may leave out: when a message last changed. */
const comparable = ({ title, metadata, messages }: SessionState): string =>
  JSON.stringify({ title, metadata, messages: messages.map((message) => ({ ...message, updatedAt: 0 })) });

describe("the difference between two points", () => {
  it("names messages that were added and removed, with what stands before them", () =>
    withStore(async (store) => {
      const first = await store.saveMessage("s", "user", "one");
      const second = await store.saveMessage("s", "user", "two");
      await store.replaceMessages("s", [{ keep: second }]);
      expect(await changesBetween(store, 0, 1)).toMatchObject([
        { kind: "message-added", messageId: second, after: first, message: { content: "two" } },
      ]);
      expect(await changesBetween(store, 1, 2)).toMatchObject([
        { kind: "message-removed", messageId: first },
      ]);
      expect(await changesBetween(store, 1, 0)).toMatchObject([
        { kind: "message-removed", messageId: second },
      ]);
      expect(await changesBetween(store, "0+0", 0)).toMatchObject([{ kind: "message-added", after: null }]);
    }));

  it("names the text that was inserted, to the delta", () =>
    withStore(async (store) => {
      const turn = await store.beginTurn("s");
      for (const word of ["one ", "two ", "three"]) void turn.textDelta(word);
      await turn.finish({ finishReason: "stop" });
      expect(await changesBetween(store, "2+1", "2+2")).toEqual([
        {
          messageId: turn.messageId,
          kind: "text",
          part: 0,
          of: "text",
          pieces: [
            { op: "equal", text: "one " },
            { op: "insert", text: "two " },
          ],
        },
      ]);
      expect(await changesBetween(store, 2, 3)).toEqual([
        { messageId: turn.messageId, kind: "status", from: "open", to: "finished" },
        { messageId: turn.messageId, kind: "field", name: "finishReason", from: null, to: "stop" },
      ]);
    }));

  it("names the branch that is shown, and how many there are", () =>
    withStore(async (store) => {
      const id = await store.appendAssistantStub("s");
      await store.updateBranches(id, '[{"kind":"text","text":"a"}]');
      await store.updateBranches(id, '[{"kind":"text","text":"b"}]', '[[{"kind":"text","text":"a"}]]', 1);
      await store.selectBranch(id, 0);
      expect(await changesBetween(store, 1, 2)).toEqual([
        { messageId: id, kind: "branch", from: { active: 0, count: 1 }, to: { active: 1, count: 2 } },
        expect.objectContaining({
          kind: "text",
          pieces: [
            { op: "delete", text: "a" },
            { op: "insert", text: "b" },
          ],
        }),
      ]);
      expect(await changesBetween(store, 2, 3)).toEqual([
        { messageId: id, kind: "branch", from: { active: 1, count: 2 }, to: { active: 0, count: 2 } },
      ]);
    }));

  it("names what became of a tool call", () =>
    withStore(async (store) => {
      const turn = await store.beginTurn("s");
      await turn.toolCall({ toolId: "t", name: "look", input: '{"at":1}' });
      await turn.toolResult("t", { seen: true });
      const from = (await store.readSession("s")).revision;
      expect(await changesBetween(store, from - 1, from)).toMatchObject([
        {
          kind: "tool",
          name: "look",
          toolId: "t",
          from: "input-available",
          to: "output-available",
          output: { seen: true },
        },
      ]);
      expect(await changesBetween(store, from - 2, from - 1)).toMatchObject([
        { kind: "part-added", part: 0 },
      ]);
    }));

  it("names a new order, a title and metadata", () =>
    withStore(async (store) => {
      const [a, b] = [await store.saveMessage("s", "user", "a"), await store.saveMessage("s", "user", "b")];
      await store.replaceMessages("s", [{ keep: b }, { keep: a }]);
      await store.updateSession("s", { title: "t", metadata: { of: 1 } });
      expect(await changesBetween(store, 1, 2)).toEqual([{ kind: "order", from: [a, b], to: [b, a] }]);
      expect(await changesBetween(store, 2, 3)).toEqual([
        { kind: "title", from: null, to: "t" },
        { kind: "metadata", from: null, to: { of: 1 } },
      ]);
    }));

  it("says nothing where nothing shows a difference, and something wherever something does", () =>
    withStore(async (store) => {
      await fillRichly(store, "s");
      const { revision } = await store.readSession("s");
      const states = await Promise.all(
        Array.from({ length: revision + 1 }, (_, at) => store.history("s", { at })),
      );
      let different = 0;
      for (const a of states) {
        for (const b of states) {
          const isDifferent = comparable(a) !== comparable(b);
          expect({ a: a.revision, b: b.revision, isDifferent: diffStates(a, b).length > 0 }).toEqual({
            a: a.revision,
            b: b.revision,
            isDifferent,
          });
          if (isDifferent) different++;
        }
      }
      expect(different).toBeGreaterThan(100);
    }));
});

describe("the difference between two texts", () => {
  const side = (pieces: TextPiece[], not: string): string =>
    pieces
      .filter(({ op }) => op !== not)
      .map(({ text }) => text)
      .join("");

  it.each([
    ["", "", []],
    ["same", "same", [["equal", "same"]]],
    [
      "a b c",
      "a x c",
      [
        ["equal", "a "],
        ["delete", "b"],
        ["insert", "x"],
        ["equal", " c"],
      ],
    ],
    [
      "one three",
      "one two three",
      [
        ["equal", "one "],
        ["insert", "two "],
        ["equal", "three"],
      ],
    ],
    [
      "\ud83d\ude00",
      "\ud83d\ude01",
      [
        ["delete", "\ud83d\ude00"],
        ["insert", "\ud83d\ude01"],
      ],
    ],
  ])("%j → %j", (before, after, expected) => {
    expect(diffTexts(before, after).map(({ op, text }) => [op, text])).toEqual(expected);
  });

  it("gives both texts back (property)", () => {
    const words = fc.array(fc.constantFrom("a", "b", " ", "\n", "word", "é", "\ud83d\ude00", "\ud83d"), {
      maxLength: 40,
    });
    const text = words.map((each) => each.join(""));
    fc.assert(
      fc.property(text, text, (before, after) => {
        const pieces = diffTexts(before, after);
        expect(side(pieces, "insert")).toBe(before);
        expect(side(pieces, "delete")).toBe(after);
        if (before === after) expect(pieces.every(({ op }) => op === "equal")).toBe(true);
      }),
    );
  });

  it("tells texts that are long and have nothing in common as replaced", () => {
    const [before, after] = [1, 2].map((side) =>
      Array.from({ length: 5000 }, (_, index) => `${side}${index}`).join("\n"),
    ) as [string, string];
    expect(diffTexts(before, after).map(({ op }) => op)).toEqual(["delete", "insert", "equal"]);
  });
});
