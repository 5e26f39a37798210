import { describe, expect, it, jest } from "@jest/globals";
import { withStores } from "../support/memory-store.ts";

describe("one session that cannot be read", () => {
  it("does not hide the others, nor keep them from being recovered", () =>
    withStores(2, async (dying, store) => {
      await dying.beginTurn("bad");
      await dying.beginTurn("good");
      await store.log.append(
        "conversation-bad",
        [
          {
            id: "00000000-0000-8000-8000-00000000000a",
            type: "FromTheFuture",
            data: {},
            metadata: { v: 1, writer: "w", n: 0, time: 1 },
          },
        ],
        "any",
      );
      await dying.close();
      const warn = jest.spyOn(process, "emitWarning").mockImplementation(() => undefined);
      try {
        expect((await store.listSessions()).map(({ id }) => id).toSorted()).toEqual(["bad", "good"]);
        expect(await store.recoverInterruptedTurns()).toMatchObject([{ sessionId: "good" }]);
        expect(String(warn.mock.calls[0]?.[0])).toMatch(/"bad" cannot be read.*FromTheFuture/);
        await expect(store.recoverInterruptedTurns({ sessionId: "bad" })).rejects.toMatchObject({
          code: "unknown-event",
        });
        await expect(store.listMessages("bad")).rejects.toMatchObject({ code: "unknown-event" });
      } finally {
        warn.mockRestore();
      }
    }));
});
