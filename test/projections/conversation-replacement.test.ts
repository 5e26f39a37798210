import { describe, expect, it } from "@jest/globals";
import {
  type Happening,
  ended,
  folded,
  messagesOf,
  replaced,
  saved,
  stub,
  turn,
  updated,
} from "../support/conversation-history.ts";

describe("a replacement", () => {
  const ids = (history: Happening[]): number[] => messagesOf(folded(history)).map(({ id }) => id);
  const four = [saved(1), saved(2), saved(3), saved(4)];
  const fresh = { messageId: 9, role: "system" as const, format: "text" as const, content: "sum" };
  const cases: [what: string, history: Happening[], order: number[]][] = [
    ["is the list, in its order", [...four, replaced(3, { keep: 3 }, fresh, { keep: 1 })], [3, 9, 1]],
    ["keeps runs of the previous order", [...four, replaced(3, fresh, { keep: 2, count: 3 })], [9, 2, 3, 4]],
    [
      "counts a run in the order before it, not in that of the events",
      [...four, replaced(3, { keep: 4 }, { keep: 2 }, { keep: 3 }), replaced(4, { keep: 4, count: 2 })],
      [4, 2],
    ],
    ["may be empty", [...four, replaced(3)], []],
    ["leaves later messages behind the list", [...four, replaced(1, { keep: 2 })], [2, 3, 4]],
    ["names a later message where it wants it", [...four, replaced(1, { keep: 4 }, { keep: 2 })], [4, 2, 3]],
    ["of an empty session leaves all that came since", [...four, replaced(-1, fresh)], [9, 1, 2, 3, 4]],
    [
      "resurrects what an earlier one replaced",
      [...four, replaced(3, { keep: 4 }), replaced(4, { keep: 4 }, { keep: 1 })],
      [4, 1],
    ],
    ["keeps the message of an open turn", [saved(1), ...turn("t", 2), replaced(2, { keep: 1 })], [1, 2]],
    ["keeps it at the end", [...turn("t", 1), saved(2), replaced(2, fresh, { keep: 2 })], [9, 2, 1]],
    [
      "keeps it where it is named",
      [...turn("t", 1), saved(2), replaced(2, { keep: 1 }, { keep: 2 })],
      [1, 2],
    ],
    ["drops the message of a superseded turn", [...turn("t", 1), stub(2), replaced(2, { keep: 2 })], [2]],
    [
      "drops the message of a turn that has ended",
      [...turn("t", 1), ended(1, "finished", { turnId: "t" }), saved(2), replaced(3, { keep: 2 })],
      [2],
    ],
    [
      "does not bring back later messages that another one has replaced",
      [...four, replaced(3, { keep: 1 }), replaced(1, { keep: 1 })],
      [1],
    ],
  ];

  it.each(cases)("%s", (_what, history, order) => {
    expect(ids(history)).toEqual(order);
  });

  it("shows what is replaced where it stood, marked", () => {
    const state = folded([...four, replaced(3, fresh, { keep: 3 }), saved(5)]);
    expect(state.messages.all().map(({ id, replaced: gone }) => (gone ? -id : id))).toEqual([
      -1, -2, 9, 3, -4, 5,
    ]);
    expect(state.messages.count).toBe(3);
  });

  it("leaves ids, dates and branches of what it keeps untouched", () => {
    const before = folded([stub(1), updated(1, { branches: [[0, 0, "[[1]]"]] }), ended(1, "finished")]);
    const after = folded([
      stub(1),
      updated(1, { branches: [[0, 0, "[[1]]"]] }),
      ended(1, "finished"),
      replaced(2, fresh, { keep: 1 }),
    ]);
    expect(messagesOf(after)[1]).toEqual(messagesOf(before)[0]);
  });

  it.each([
    ["keep a message that is not there", replaced(3, { keep: 7 }), "there is no message 7 to keep"],
    ["keep one message twice", replaced(3, { keep: 1 }, { keep: 1 }), "message 1 is kept twice"],
    ["keep it twice by a run", replaced(3, { keep: 2 }, { keep: 1, count: 2 }), "message 2 is kept twice"],
    ["keep a run beyond the end", replaced(3, { keep: 3, count: 3 }), "no run of 3 messages from 3 on"],
    ["make a message that is there", replaced(3, { ...fresh, messageId: 2 }), "message 2 exists already"],
  ])("cannot %s", (_what, replacement, why) => {
    expect(() => folded([...four, replacement])).toThrow(why);
  });
});
