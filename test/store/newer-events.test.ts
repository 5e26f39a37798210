import { describe, expect, it } from "@jest/globals";
import type { NewEvent } from "../../src/log/event-log.ts";
import { asForeign, withFaultyStore } from "../support/faulty-store.ts";
import { saved } from "../support/conversation-history.ts";

/** An event as a later turnlog may write it. */
function later(metadata: Record<string, unknown> = {}, type = "MessagePinned"): NewEvent {
  const [event] = asForeign(saved(1));
  return { ...event!, type, data: { messageId: 1 }, metadata: { ...event!.metadata, ...metadata } as never };
}

describe("an event of a newer turnlog in the middle of a session", () => {
  it("that may be skipped is skipped: what is around it is read, and commands go on behind it", () =>
    withFaultyStore(async (store, log) => {
      const id = await store.saveMessage("s", "user", "before");
      await log.append("conversation-s", [later({ ignorable: true })], "any");
      const turn = await store.beginTurn("s");
      await log.append("conversation-s", [later({ ignorable: true })], "any");
      void turn.textDelta("after");
      await turn.finish();
      await store.updateBranches(id, "before, changed", "", 0);
      expect(await store.listMessages("s")).toMatchObject([
        { content: "before, changed" },
        { parts: [{ text: "after" }], status: "finished" },
      ]);
      expect(await store.listSessions()).toMatchObject([{ id: "s", messageCount: 2 }]);
    }));

  it.each([
    ["of an unknown type", later()],
    ["of a known type in a future version", later({ v: 99 }, "MessageSaved")],
  ])("%s is a clear error that names it, for that session", (_what, event) =>
    withFaultyStore(async (store, log) => {
      await store.saveMessage("s", "user", "before");
      await log.append("conversation-s", [event], "any");
      await store.saveMessage("other", "user", "fine");
      const refused = expect.objectContaining({
        code: "unknown-event",
        message: expect.stringContaining(`Event ${event.type} at revision 1 of stream "conversation-s"`),
      });
      await expect(store.listMessages("s")).rejects.toEqual(refused);
      await expect(store.saveMessage("s", "user", "after")).rejects.toEqual(refused);
      await expect(store.beginTurn("s")).rejects.toEqual(refused);
      expect(await store.listMessages("other")).toMatchObject([{ content: "fine" }]);
    }),
  );

  it("may be anything in streams that are no session's", () =>
    withFaultyStore(async (store, log) => {
      await log.append("something-else", [later()], "any");
      await store.saveMessage("s", "user", "fine");
      expect(await store.listSessions()).toMatchObject([{ id: "s" }]);
    }));
});
