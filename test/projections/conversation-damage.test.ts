import { describe, expect, it } from "@jest/globals";
import { DamageError } from "../../src/errors.ts";
import { applyEvent, skipEvent } from "../../src/projections/conversation.ts";
import {
  type Happening,
  asEvents,
  ended,
  folded,
  messagesOf,
  saved,
  started,
  stub,
  turn,
  updated,
} from "../support/conversation-history.ts";

describe("events that are missing, doubled or out of place", () => {
  it("a missing revision is damage and is named", () => {
    const state = folded([saved(1), saved(2)]);
    const [late] = asEvents([saved(3)], 5);
    expect(() => applyEvent(state, late!)).toThrow(
      expect.objectContaining({
        code: "revision-gap",
        details: { stream: "conversation-s", revision: 5, after: 1 },
      }),
    );
    expect(state.revision).toBe(1);
  });

  it("what is in the state already is skipped", () => {
    const state = folded([saved(1), stub(2)]);
    const before = messagesOf(state);
    for (const event of asEvents([saved(1, "other"), stub(2)])) applyEvent(state, event);
    expect(messagesOf(state)).toEqual(before);
    expect(state.revision).toBe(1);
  });

  it("an event that may be skipped leaves no gap", () => {
    const state = folded([saved(1)]);
    skipEvent(state, { revision: 1 });
    for (const event of asEvents([saved(2)], 2)) applyEvent(state, event);
    expect(messagesOf(state)).toHaveLength(2);
    expect(state.revision).toBe(2);
  });

  it("skipping does not hide a gap, and does not go back", () => {
    const state = folded([saved(1)]);
    skipEvent(state, { revision: 5 });
    skipEvent(state, { revision: 0 });
    expect(state.revision).toBe(0);
  });

  const one = updated(1, { content: [[1, 0, "a"]], length: 3 });
  const two = updated(1, { content: [[2, 0, "b"]], length: 4 });
  it.each([
    ["a missing delta", [stub(1), two]],
    ["a doubled delta", [stub(1), one, one]],
    ["deltas in the wrong order", [stub(1), two, one]],
  ])("%s is noticed by the length that the next one states", (_what, history) => {
    expect(() => folded(history)).toThrow(/its content should be \d units long and is \d|beyond|outside/);
  });

  it.each<[string, Happening[], string]>([
    ["a message of an id that is taken", [saved(1), saved(1)], "message 1 exists already"],
    [
      "a message of an id that is taken, and not the newest",
      [saved(2), saved(1), saved(2)],
      "message 2 exists already",
    ],
    ["an update of no message", [saved(1), updated(2, { activeBranch: 0 })], "there is no message 2"],
    [
      "the end of a turn that is not open",
      [stub(1), ended(1, "finished", { turnId: "t" })],
      "turn t is not open",
    ],
    [
      "a second end of a turn",
      [...turn("t", 1), ended(1, "finished", { turnId: "t" }), ended(1, "interrupted", { turnId: "t" })],
      "turn t is not open",
    ],
    ["a turn on no message", [started("t", 1)], "there is no message 1"],
    ["a splice beyond the text", [saved(1, "ab"), updated(1, { content: [[1, 2, ""]] })], "reaches beyond"],
    ["a splice outside the text", [saved(1, "ab"), updated(1, { content: [[3, 0, "x"]] })], "outside"],
    [
      "an event of another kind of stream",
      [{ type: "MessageIdsReserved", data: { sessionId: "s" } }],
      "does not belong into a session's stream",
    ],
  ])("%s is damage, and the error names stream, revision and type", (_what, history, why) => {
    const last = history.at(-1)!;
    const revision = history.length - 1;
    const fails = (): unknown => folded(history);
    expect(fails).toThrow(DamageError);
    expect(fails).toThrow(
      expect.objectContaining({
        code: "unfoldable-event",
        message: expect.stringMatching(
          new RegExp(`Event ${last.type} at revision ${revision} of stream "conversation-s" .*${why}`),
        ),
        details: { stream: "conversation-s", revision, type: last.type },
      }),
    );
  });
});

describe("a fork", () => {
  const forked: Happening = {
    type: "SessionForked",
    data: { origin: { logId: "l", sessionId: "o", revision: 3 }, total: 3 },
  };

  it("is not whole until all that it announced have followed", () => {
    expect(
      [0, 1, 2, 3].map(
        (count) => folded([forked, saved(1), saved(2), saved(3)].slice(0, count + 1)).missingForkEvents,
      ),
    ).toEqual([3, 2, 1, 0]);
  });

  it("counts an event that may be skipped as one of them", () => {
    const state = folded([forked, saved(1), saved(2)]);
    skipEvent(state, { revision: 3 });
    expect(state.missingForkEvents).toBe(0);
  });

  it("of an empty session is whole at once", () => {
    const empty: Happening = { ...forked, data: { ...forked.data, total: 0 } } as Happening;
    expect(folded([empty])).toMatchObject({ missingForkEvents: 0, exists: true });
  });
});
