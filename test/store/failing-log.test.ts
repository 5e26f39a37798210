import { describe, expect, it } from "@jest/globals";
import { StoreError } from "../../src/errors.ts";
import type { AppendResult } from "../../src/log/event-log.ts";
import { MemoryEventLog } from "../../src/log/memory-event-log.ts";
import { ConversationStore } from "../../src/store/conversation-store.ts";
import { BLOCK_SIZE } from "../../src/store/message-ids.ts";
import { saved } from "../support/conversation-history.ts";
import { asForeign, missingCounts, withFaultyStore } from "../support/faulty-store.ts";

const SESSION = { streamPrefix: "conversation-" };
const IDS = { streamPrefix: "message-ids" };
const WRITER = { streamPrefix: "writer-" };
const lost = expect.objectContaining({ code: "injected-fault" });
const diskFull = (): StoreError => new StoreError("disk-full", "The disk is full.");

const contents = async (store: ConversationStore): Promise<string[]> =>
  (await store.listMessages("s", { limit: Infinity })).map(({ content }) => content);

/** An engine that tries again by itself, and then takes the events of its first attempt for another's. */
class ForgetfulLog extends MemoryEventLog {
  #forgets = false;

  forgetOnce(): void {
    this.#forgets = true;
  }

  override async append(...call: Parameters<MemoryEventLog["append"]>): Promise<AppendResult> {
    const result = await super.append(...call);
    if (!this.#forgets || !result.ok) return result;
    this.#forgets = false;
    return { ok: false, actualRevision: result.revision };
  }
}

describe("an append that the engine calls a conflict although it was made", () => {
  it("is found by its events: there once, and the turn goes on", async () => {
    const log = new ForgetfulLog({});
    const store = new ConversationStore(log, { flushIntervalMs: 0 });
    await store.saveMessage("s", "user", "one");
    log.forgetOnce();
    const id = await store.saveMessage("s", "user", "two");
    expect(await contents(store)).toEqual(["one", "two"]);
    expect((await store.listMessages("s")).at(-1)?.id).toBe(id);
    const turn = await store.beginTurn("s");
    log.forgetOnce();
    await turn.toolCall({ toolId: "t", name: "n", input: "{}" });
    await turn.toolResult("t", 1);
    await turn.finish();
    expect(await store.lastAssistantMessage("s")).toMatchObject({
      status: "finished",
      parts: [{ output: 1 }],
    });
    await store.close();
  });
});

describe("an append whose answer is lost after it was made", () => {
  it("fails, is there once, and the store goes on", () =>
    withFaultyStore(async (store, log) => {
      await store.saveMessage("s", "user", "one");
      log.inject({ kind: "answer-lost" }, SESSION);
      await expect(store.saveMessage("s", "user", "two")).rejects.toEqual(lost);
      await store.saveMessage("s", "user", "three");
      expect(await contents(store)).toEqual(["one", "two", "three"]);
      expect(await missingCounts(log)).toEqual({});
    }));

  it("is found by its external id: saving again gives its id and doubles nothing", () =>
    withFaultyStore(async (store, log) => {
      log.inject({ kind: "answer-lost" }, SESSION);
      const save = (): Promise<number> => store.saveMessage("s", "user", "one", { externalId: "x" });
      await expect(save()).rejects.toEqual(lost);
      const id = await save();
      expect(await store.listMessages("s")).toMatchObject([{ id, externalId: "x" }]);
    }));

  it("has used up its message ids: none is given out twice, even blocks later", () =>
    withFaultyStore(async (store, log) => {
      log.inject({ kind: "answer-lost" }, SESSION);
      await expect(store.saveMessage("s", "user", "0")).rejects.toEqual(lost);
      for (let i = 1; i < BLOCK_SIZE + 10; i++) await store.saveMessage("s", "user", `${i}`);
      const messages = await store.listMessages("s", { limit: Infinity });
      expect(messages.map(({ content }) => content)).toEqual(
        Array.from({ length: BLOCK_SIZE + 10 }, (_, index) => `${index}`),
      );
      expect(new Set(messages.map(({ id }) => id)).size).toBe(BLOCK_SIZE + 10);
    }));

  it("has used up its message ids, in a session that is deleted too", () =>
    withFaultyStore(async (store, log) => {
      log.inject({ kind: "answer-lost" }, SESSION);
      await expect(store.saveMessage("s", "user", "gone")).rejects.toEqual(lost);
      const [gone] = await store.listMessages("s");
      await store.deleteSession("s");
      expect(await store.saveMessage("s", "user", "new")).not.toBe(gone?.id);
    }));

  it("of a reservation leaves a hole in the ids, and the next call reserves anew", () =>
    withFaultyStore(async (store, log) => {
      log.inject({ kind: "answer-lost" }, IDS);
      await expect(store.saveMessage("s", "user", "one")).rejects.toEqual(lost);
      expect(await contents(store)).toEqual([]);
      expect(await store.saveMessage("s", "user", "one")).toBe(BLOCK_SIZE);
      expect(await missingCounts(log)).toEqual({});
    }));

  it("of the writer's beginning: it is there once, and its heartbeats follow", () =>
    withFaultyStore(
      async (store, log) => {
        log.inject({ kind: "answer-lost" }, WRITER);
        await expect(store.saveMessage("s", "user", "one")).rejects.toEqual(lost);
        const turn = await store.beginTurn("s");
        const types = new Set<string>();
        const writer = (await store.unendedTurns())[0]?.writer.id;
        while (!types.has("WriterHeartbeat")) {
          for await (const { type } of log.readStream(`writer-${writer}`)) types.add(type);
          await new Promise((resolve) => setImmediate(resolve));
        }
        expect([...types]).toEqual(["WriterStarted", "WriterHeartbeat"]);
        // No heartbeat comes after the turn, and one that was under way is in memory within the tick.
        await turn.finish();
        await new Promise((resolve) => setImmediate(resolve));
        expect(await missingCounts(log)).toEqual({});
      },
      { heartbeatMs: 5 },
    ));

  it("of an update: updating again with the same content writes nothing more", () =>
    withFaultyStore(async (store, log) => {
      const id = await store.appendAssistantStub("s");
      log.inject({ kind: "answer-lost" }, SESSION);
      await expect(store.updateBranches(id, "[1]", "", 0)).rejects.toEqual(lost);
      const head = await log.head();
      await store.updateBranches(id, "[1]", "", 0);
      expect(await log.head()).toBe(head);
      expect(await contents(store)).toEqual(["[1]"]);
    }));

  it("of a turn's beginning: the turn is there and open, and can be ended", () =>
    withFaultyStore(async (store, log) => {
      log.inject({ kind: "answer-lost" }, SESSION);
      await expect(store.beginTurn("s", { user: "q" })).rejects.toEqual(lost);
      const [, answer] = await store.listMessages("s");
      expect(answer).toMatchObject({ status: "open", content: "[]" });
      await store.endTurn(answer!.id, "failed");
      expect(await store.lastAssistantMessage("s")).toMatchObject({ status: "failed" });
    }));

  it("of a turn's delta ends the turn's writing: what landed is there once, nothing comes after it", () =>
    withFaultyStore(async (store, log) => {
      const turn = await store.beginTurn("s");
      log.inject({ kind: "answer-lost" }, SESSION);
      void turn.textDelta("one");
      await expect(turn.flush()).rejects.toEqual(lost);
      await expect(turn.textDelta("two")).rejects.toEqual(lost);
      await expect(turn.finish()).rejects.toEqual(lost);
      expect(await store.lastAssistantMessage("s")).toMatchObject({
        parts: [{ text: "one" }],
        status: "open",
      });
    }));
});

describe("an append that is refused for want of room", () => {
  it.each([
    ["the message", SESSION],
    ["the reservation of ids", IDS],
    ["the writer's beginning", WRITER],
  ])("at %s: nothing is there, nothing seems lost, and the next call succeeds", (_what, target) =>
    withFaultyStore(async (store, log) => {
      log.inject({ kind: "append-fails", error: diskFull() }, { ...target, times: 3 });
      for (let i = 0; i < 3; i++) {
        await expect(store.saveMessage("s", "user", "one")).rejects.toMatchObject({ code: "disk-full" });
        expect(await contents(store)).toEqual([]);
      }
      await store.saveMessage("s", "user", "one");
      await store.saveMessage("t", "user", "two");
      expect(await contents(store)).toEqual(["one"]);
      expect(await missingCounts(log)).toEqual({});
    }),
  );

  it("spoils neither the update nor the session", () =>
    withFaultyStore(async (store, log) => {
      const id = await store.appendAssistantStub("s");
      log.inject({ kind: "append-fails", error: diskFull() }, SESSION);
      await expect(store.updateBranches(id, "[1]", "", 0)).rejects.toMatchObject({ code: "disk-full" });
      expect(await contents(store)).toEqual(["[]"]);
      await store.updateBranches(id, "[1,2]", "", 0);
      expect(await contents(store)).toEqual(["[1,2]"]);
      expect(await missingCounts(log)).toEqual({});
    }));

  it("ends a turn's writing with that error, for all its later calls", () =>
    withFaultyStore(async (store, log) => {
      const turn = await store.beginTurn("s");
      void turn.textDelta("kept");
      await turn.flush();
      log.inject({ kind: "append-fails", error: diskFull() }, SESSION);
      void turn.textDelta("lost");
      const calls = [
        () => turn.flush(),
        () => turn.textDelta("x"),
        () => turn.reasoningDelta("x"),
        () => turn.toolCall({ toolId: "t", name: "n" }),
        () => turn.toolResult("t", 1),
        () => turn.stepFinish(),
        () => turn.abort(),
        () => turn.fail(new Error("x")),
        () => turn.finish(),
      ];
      for (const call of calls) await expect(call()).rejects.toMatchObject({ code: "disk-full" });
      expect(await store.lastAssistantMessage("s")).toMatchObject({ parts: [{ text: "kept" }] });
      const next = await store.regenerate("s");
      void next.textDelta("again");
      await next.finish();
      expect(await store.lastAssistantMessage("s")).toMatchObject({
        parts: [{ text: "again" }],
        branchesJson: '[[{"kind":"text","text":"kept"}]]',
      });
      expect(await missingCounts(log)).toEqual({});
    }));
});

describe("an append that was lost and was not made", () => {
  it("leaves a hole in the writer's counts, which proves it", () =>
    withFaultyStore(async (store, log) => {
      await store.saveMessage("s", "user", "one");
      log.inject({ kind: "append-fails" }, SESSION);
      await expect(store.saveMessage("s", "user", "two")).rejects.toEqual(lost);
      await store.saveMessage("s", "user", "three");
      expect(await contents(store)).toEqual(["one", "three"]);
      expect(Object.values(await missingCounts(log))).toEqual([[expect.any(Number)]]);
    }));
});

describe("another writer that gets in first", () => {
  const foreignMessage = (): { kind: "foreign-events"; events: ReturnType<typeof asForeign> } => ({
    kind: "foreign-events",
    events: asForeign(saved(1_000_000, "theirs")),
  });

  it("loses and doubles nothing with saveMessage", () =>
    withFaultyStore(async (store, log) => {
      await store.saveMessage("s", "user", "one");
      log.inject(foreignMessage(), SESSION);
      const id = await store.saveMessage("s", "user", "mine");
      expect(await contents(store)).toEqual(["one", "theirs", "mine"]);
      expect((await store.listMessages("s")).at(-1)?.id).toBe(id);
      expect(await missingCounts(log)).toEqual({});
    }));

  it("is heard before the command decides: an external id that it took is taken", () =>
    withFaultyStore(async (store, log) => {
      const events = asForeign(saved(1_000_000, "theirs", { externalId: "x" }));
      log.inject({ kind: "foreign-events", events }, SESSION);
      expect(await store.saveMessage("s", "user", "mine", { externalId: "x" })).toBe(1_000_000);
      expect(await contents(store)).toEqual(["theirs"]);
    }));

  it("does not mix with an update: the splice is computed anew against its content", () =>
    withFaultyStore(async (store, log) => {
      const id = await store.appendAssistantStub("s");
      const theirs = { messageId: id, content: [[0, 2, "theirs, longer"]], length: 14 };
      const update = asForeign({ type: "BranchesUpdated", data: theirs as never });
      log.inject({ kind: "foreign-events", events: update }, SESSION);
      await store.updateBranches(id, "mine", "", 0);
      expect(await contents(store)).toEqual(["mine"]);
      expect(await missingCounts(log)).toEqual({});
    }));

  it("may save messages into a turn that is being written", () =>
    withFaultyStore(async (store, log) => {
      const turn = await store.beginTurn("s");
      log.inject(foreignMessage(), SESSION);
      for (const text of ["a", "b"]) void turn.textDelta(text);
      await turn.flush();
      void turn.textDelta("c");
      await turn.finish();
      expect(await store.listMessages("s")).toMatchObject([
        { status: "finished", parts: [{ text: "abc" }] },
        { content: "theirs" },
      ]);
      expect(await missingCounts(log)).toEqual({});
    }));

  it("that ends the turn makes it lost: the delta in flight is not written behind the end", () =>
    withFaultyStore(async (store, log) => {
      const turn = await store.beginTurn("s");
      const { turnId, messageId } = turn;
      const content = { length: 2, crc32: 0 };
      const end = asForeign({
        type: "TurnEnded",
        data: { turnId, messageId, outcome: "interrupted", content },
      });
      log.inject({ kind: "foreign-events", events: end }, SESSION);
      void turn.textDelta("late");
      await expect(turn.flush()).rejects.toMatchObject({ code: "turn-lost" });
      await expect(turn.finish()).rejects.toMatchObject({ code: "turn-lost" });
      expect(await store.lastAssistantMessage("s")).toMatchObject({ content: "[]", status: "interrupted" });
    }));
});

describe("a read that fails", () => {
  it.each([0, 1, 2])("after %d events fails the query, and the next one is whole", (afterEvents) =>
    withFaultyStore(async (store, log) => {
      for (const text of ["a", "b", "c"])
        await log.append("conversation-s", asForeign(saved(text.charCodeAt(0), text)), "any");
      log.inject({ kind: "read-fails", afterEvents }, SESSION);
      await expect(store.listMessages("s")).rejects.toEqual(lost);
      expect(await contents(store)).toEqual(["a", "b", "c"]);
    }),
  );

  it("fails the list of sessions, and the next one is whole", () =>
    withFaultyStore(async (store, log) => {
      for (const id of ["a", "b", "c"]) await store.saveMessage(id, "user", "q");
      log.inject({ kind: "read-fails", afterEvents: 1 }, SESSION);
      await expect(store.listSessions()).rejects.toEqual(lost);
      expect(await store.listSessions()).toMatchObject([
        { messageCount: 1 },
        { messageCount: 1 },
        { messageCount: 1 },
      ]);
    }));

  it("after a conflict fails the command, which wrote nothing", () =>
    withFaultyStore(async (store, log) => {
      await store.saveMessage("s", "user", "one");
      log.inject({ kind: "foreign-events", events: asForeign(saved(1_000_000, "theirs")) }, SESSION);
      log.inject({ kind: "read-fails", afterEvents: 0 }, SESSION);
      await expect(store.saveMessage("s", "user", "mine")).rejects.toEqual(lost);
      expect(await contents(store)).toEqual(["one", "theirs"]);
      await store.saveMessage("s", "user", "mine");
      expect(await contents(store)).toEqual(["one", "theirs", "mine"]);
    }));
});
