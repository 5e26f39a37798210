import { describe, expect, it } from "@jest/globals";
import { applyEvent, emptyConversation } from "../../src/projections/conversation.ts";
import {
  type Happening,
  asEvents,
  deleted,
  ended,
  folded,
  messagesOf,
  replaced,
  saved,
  started,
  stub,
  timeOf,
  turn,
  updated,
} from "../support/conversation-history.ts";

const whole = (text: string): Omit<Parameters<typeof updated>[1], "messageId"> => ({
  content: [[0, 2, text]],
  length: text.length,
});

describe("the status of a message", () => {
  const cases: [what: string, history: Happening[], statuses: string[]][] = [
    ["a message that was saved is saved", [saved(1)], ["saved"]],
    ["a stub is filling", [stub(1)], ["filling"]],
    ["an updated stub is still filling", [stub(1), updated(1, whole("[1]"))], ["filling"]],
    ["a user message settles a stub", [stub(1), saved(2)], ["saved", "saved"]],
    [
      "messages of other roles do not settle a stub",
      [
        stub(1),
        saved(2, "t", { role: "tool" }),
        saved(3, "s", { role: "system" }),
        saved(4, "a", { role: "assistant" }),
      ],
      ["filling", "saved", "saved", "saved"],
    ],
    ["another stub settles a stub", [stub(1), stub(2)], ["saved", "filling"]],
    ["a turn settles a stub", [stub(1), ...turn("t", 2)], ["saved", "open"]],
    ["a stub that was ended stays ended", [stub(1), ended(1, "failed"), saved(2)], ["failed", "saved"]],
    ["a turn is open", turn("t", 1), ["open"]],
    ["a saved message leaves a turn open", [...turn("t", 1), saved(2)], ["open", "saved"]],
    ["a later stub supersedes a turn", [...turn("t", 1), stub(2)], ["superseded", "filling"]],
    ["a later turn supersedes a turn", [...turn("t", 1), ...turn("u", 2)], ["superseded", "open"]],
    [
      "a turn that had ended is not superseded",
      [...turn("t", 1), ended(1, "aborted", { turnId: "t" }), ...turn("u", 2)],
      ["aborted", "open"],
    ],
    ...(["finished", "aborted", "failed", "interrupted"] as const).map((outcome): (typeof cases)[number] => [
      `a turn that ended as ${outcome} says so`,
      [...turn("t", 1), ended(1, outcome, { turnId: "t" })],
      [outcome],
    ]),
    [
      "a superseded turn can be ended, by repair",
      [...turn("t", 1), ...turn("u", 2), ended(1, "interrupted", { turnId: "t" })],
      ["interrupted", "open"],
    ],
    [
      "a message that is written anew is open again",
      [...turn("t", 1), ended(1, "finished", { turnId: "t" }), started("u", 1, "regenerate")],
      ["open"],
    ],
    [
      "the end of an older turn says nothing of a message that is written anew",
      [...turn("t", 1), started("u", 1, "regenerate"), ended(1, "interrupted", { turnId: "t" })],
      ["open"],
    ],
  ];

  it.each(cases)("%s", (_what, history, statuses) => {
    expect(messagesOf(folded(history)).map(({ status }) => status)).toEqual(statuses);
  });
});

describe("turns without an end", () => {
  it("are listed with their writer until they end, superseded or not", () => {
    const history = [...turn("t", 1), { ...started("u", 1, "regenerate"), writer: "other" }];
    expect([...folded(history).unendedTurns.values()]).toEqual([
      {
        turnId: "t",
        messageId: 1,
        kind: "new",
        model: undefined,
        writer: "w",
        startedAt: timeOf(1),
        startedRevision: 1,
        superseded: true,
      },
      {
        turnId: "u",
        messageId: 1,
        kind: "regenerate",
        model: undefined,
        writer: "other",
        startedAt: timeOf(2),
        startedRevision: 2,
        superseded: false,
      },
    ]);
    const end = ended(1, "interrupted", { turnId: "t" });
    expect([...folded([...history, end]).unendedTurns.keys()]).toEqual(["u"]);
    expect(folded([...history, deleted]).unendedTurns.size).toBe(0);
  });
});

describe("what a turn's end reports", () => {
  const usage = { inputTokens: 1, outputTokens: 2 };
  const end = ended(1, "failed", { turnId: "t", usage, finishReason: "error", error: { message: "no" } });

  it("is kept with the message", () => {
    expect(messagesOf(folded([...turn("t", 1), end]))).toMatchObject([
      { status: "failed", usage, finishReason: "error", error: { message: "no" } },
    ]);
  });

  it("is forgotten when the message is written anew", () => {
    const [message] = messagesOf(folded([...turn("t", 1), end, started("u", 1, "regenerate")]));
    expect(message).not.toHaveProperty("usage");
    expect(message).not.toHaveProperty("finishReason");
    expect(message).not.toHaveProperty("error");
  });
});

describe("an update", () => {
  const parts = '[{"kind":"text","text":"hi"}]';

  it("applies splices in order, each to the result of the one before", () => {
    const content: [number, number, string][] = [
      [0, 0, "abc"],
      [1, 1, "XY"],
      [4, 0, "!"],
    ];
    const [message] = messagesOf(folded([saved(1, ""), updated(1, { content, length: 5 })]));
    expect(message?.content).toBe("aXYc!");
  });

  it("counts UTF-16 units and may split a character in two", () => {
    const history = [
      saved(1, "😀"),
      updated(1, { content: [[1, 1, ""]], length: 1 }),
      updated(1, { content: [[1, 0, "\ude01"]], length: 2 }),
    ];
    expect(messagesOf(folded(history))[0]?.content).toBe("😁");
  });

  it("changes the content, the branches and the active branch by themselves", () => {
    const history = [
      stub(1),
      updated(1, whole(parts)),
      updated(1, { branches: [[0, 0, '[["old"]]']], activeBranch: 1 }),
      updated(1, { activeBranch: 0 }),
    ];
    expect(messagesOf(folded(history))).toMatchObject([
      { content: parts, parts: [{ kind: "text", text: "hi" }], branchesJson: '[["old"]]', activeBranch: 0 },
    ]);
  });

  it("applies pushContent first, then content, branches and activeBranch", () => {
    const all = {
      pushContent: true,
      content: [[0, 2, "new"]] as [number, number, string][],
      branches: [[0, 1, "[[],"]] as [number, number, string][],
      activeBranch: 0,
      length: 3,
    };
    expect(messagesOf(folded([saved(1, "[1]"), updated(1, all)]))).toMatchObject([
      { content: "new", branchesJson: "[[],[1]]", activeBranch: 0 },
    ]);
  });

  it("moves the time of the message, not the time of its making", () => {
    const [message] = messagesOf(folded([saved(1), saved(2), updated(1, { activeBranch: 0 })]));
    expect(message).toMatchObject({ createdAt: new Date(timeOf(0)), updatedAt: new Date(timeOf(2)) });
  });

  it("makes a text's content one of parts where it is one", () => {
    expect(messagesOf(folded([saved(1, parts)]))).toMatchObject([{ parts: [{ kind: "text", text: parts }] }]);
    expect(messagesOf(folded([saved(1, ""), updated(1, { content: [[0, 0, parts]] })]))).toMatchObject([
      { content: parts, parts: [{ kind: "text", text: "hi" }] },
    ]);
  });
});

describe("pushContent", () => {
  const push = (...contents: string[]): { branchesJson: string; activeBranch: number; content: string } => {
    const history: Happening[] = [saved(1, "")];
    for (const content of contents)
      history.push(
        updated(1, { content: [[0, history.length === 1 ? 0 : 2, content]] }),
        updated(1, { pushContent: true }),
      );
    const [message] = messagesOf(folded(history));
    if (message === undefined) throw new Error("there is no message");
    const { branchesJson, activeBranch } = message;
    return { branchesJson, activeBranch, content: message.content };
  };

  it.each([
    ["nothing where the content is empty", [""], "", 0],
    ["nothing where the content is []", ["[]"], "", 0],
    [
      "the content itself where it is JSON",
      ['[{"kind":"text","text":"a"}]'],
      '[[{"kind":"text","text":"a"}]]',
      1,
    ],
    ["a string where the content is no JSON", ["plain \ud83d"], '["plain \\ud83d"]', 1],
    ["one branch behind the other", ["[1]", "two", "[3]"], '[[1],"two",[3]]', 3],
  ])("keeps %s", (_what, contents, branchesJson, activeBranch) => {
    expect(push(...contents)).toEqual({ branchesJson, activeBranch, content: "[]" });
  });
});

describe("a deletion", () => {
  it("leaves nothing, and what comes after it begins anew", () => {
    const title: Happening = { type: "SessionUpdated", data: { title: "t", metadata: { a: 1 } } };
    const gone = folded([saved(1, "a", { externalId: "x" }), title, ...turn("t", 2), deleted]);
    expect(gone).toMatchObject({ exists: false, title: undefined, metadata: undefined, lastMessageId: 0 });
    expect(messagesOf(gone)).toEqual([]);
    expect(gone.messages.getByExternalId("x")).toBeUndefined();
    const again = folded([saved(1), deleted, saved(300)]);
    expect(again).toMatchObject({ exists: true, lastMessageId: 300 });
    expect(messagesOf(again)).toMatchObject([{ id: 300 }]);
  });

  it("is where a truncated stream begins, at any revision", () => {
    const state = folded([deleted, saved(300)], 17);
    expect(state).toMatchObject({ revision: 18, exists: true });
    expect(messagesOf(state)).toMatchObject([{ id: 300 }]);
  });

  it.each([
    ["a message", saved(1)],
    ["a title", { type: "SessionUpdated", data: { title: "t" } } satisfies Happening],
    ["a replacement", replaced(2)],
  ])("is the only such beginning: %s at revision 3 is damage", (_what, first) => {
    expect(() => folded([first], 3)).toThrow(
      expect.objectContaining({
        code: "revision-gap",
        message: expect.stringContaining('Stream "conversation-s" lacks events: after revision -1 comes 3'),
      }),
    );
  });
});

describe("title and metadata", () => {
  const update = (data: Extract<Happening, { type: "SessionUpdated" }>["data"]): Happening => ({
    type: "SessionUpdated",
    data,
  });

  it("change by themselves, and null clears", () => {
    const history = [
      update({ title: "t", metadata: { a: 1 } }),
      update({ title: "u" }),
      update({ metadata: null }),
    ];
    expect(folded(history.slice(0, 2))).toMatchObject({ title: "u", metadata: { a: 1 } });
    expect(folded(history)).toMatchObject({ title: "u", metadata: undefined });
    expect(folded([...history, update({ title: null })])).toMatchObject({ title: undefined });
  });
});

describe("a fold without contents", () => {
  it("counts and knows turns and ids as the whole fold does", () => {
    const history = [saved(1), ...turn("t", 2), updated(2, whole("[1]")), saved(3), replaced(4, { keep: 1 })];
    const light = emptyConversation({ keepsContents: false });
    for (const event of asEvents(history)) applyEvent(light, event);
    const full = folded(history);
    expect(light.messages.count).toBe(full.messages.count);
    expect([...light.unendedTurns.keys()]).toEqual(["t"]);
    expect(light.lastMessageId).toBe(full.lastMessageId);
    expect(light.messages.current().every(({ content }) => content.length === 0)).toBe(true);
  });
});
