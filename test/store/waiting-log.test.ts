import { describe, expect, it } from "@jest/globals";
import { setImmediate as nextTick } from "node:timers/promises";
import { StoreError } from "../../src/errors.ts";
import type { AppendResult } from "../../src/log/event-log.ts";
import { MemoryEventLog } from "../../src/log/memory-event-log.ts";
import { ConversationStore } from "../../src/store/conversation-store.ts";
import { type Deferred, deferred } from "../../src/store/deferred.ts";
import { asForeign, withFaultyStore } from "../support/faulty-store.ts";
import { saved } from "../support/conversation-history.ts";

const MEBI = 1_048_576;

/** Whether a promise has been settled once everything that needs no waiting is done. */
async function isSettled(promise: Promise<unknown>): Promise<boolean> {
  let settled = false;
  const note = (): void => void (settled = true);
  promise.then(note, note);
  for (let tick = 0; tick < 20; tick++) await nextTick();
  return settled;
}

describe("a log that does not answer", () => {
  it("makes deltas wait from about a mebi of text on, and lets them go on when it answers", () =>
    withFaultyStore(async (store, log) => {
      const turn = await store.beginTurn("s");
      const hung = deferred();
      log.inject({ kind: "append-waits", until: hung.promise }, { streamPrefix: "conversation-" });
      const piece = "x".repeat(4096);
      let accepted = 0;
      let waiting: Promise<void> | undefined;
      while (waiting === undefined && accepted < 4 * MEBI) {
        const taken = turn.textDelta(piece);
        accepted += piece.length;
        if (accepted % (16 * piece.length) === 0 && !(await isSettled(taken))) waiting = taken;
      }
      expect(accepted).toBeGreaterThanOrEqual(MEBI);
      expect(accepted).toBeLessThan(MEBI + 3 * 65_536);
      expect(await isSettled(turn.textDelta("more"))).toBe(false);
      hung.resolve();
      await waiting;
      await turn.textDelta("!");
      await turn.finish();
      expect((await store.lastAssistantMessage("s")).parts).toEqual([
        { kind: "text", text: "x".repeat(accepted) + "more!" },
      ]);
    }));

  it("lets waiting deltas go when it fails for good: they resolve, and what comes after them throws", () =>
    withFaultyStore(async (store, log) => {
      const turn = await store.beginTurn("s");
      const hung = deferred();
      const target = { streamPrefix: "conversation-" };
      log.inject({ kind: "append-waits", until: hung.promise }, target);
      log.inject(
        { kind: "append-fails", error: new StoreError("disk-full", "full") },
        { ...target, times: 1 },
      );
      void turn.textDelta("first");
      const flushed = turn.flush();
      for (let taken = 0; taken < 2 * MEBI; taken += 65_536) void turn.textDelta("x".repeat(65_536));
      const waiting = turn.textDelta("last");
      expect(await isSettled(waiting)).toBe(false);
      hung.resolve();
      await flushed;
      await waiting;
      await expect(turn.finish()).rejects.toMatchObject({ code: "disk-full" });
      expect((await store.lastAssistantMessage("s")).parts).toEqual([{ kind: "text", text: "first" }]);
    }));

  it("keeps structural calls waiting for their acknowledgement, in their order", () =>
    withFaultyStore(async (store, log) => {
      const turn = await store.beginTurn("s");
      const hung = deferred();
      log.inject({ kind: "append-waits", until: hung.promise }, { streamPrefix: "conversation-" });
      const done: string[] = [];
      void turn.toolCall({ toolId: "t", name: "n", input: "{}" }).then(() => done.push("call"));
      void turn.toolStarted("t").then(() => done.push("start"));
      const finished = turn.finish().then(() => done.push("finish"));
      expect(await isSettled(finished)).toBe(false);
      expect(done).toEqual([]);
      hung.resolve();
      await finished;
      expect(done).toEqual(["call", "start", "finish"]);
    }));

  it("is waited for by close, which writes what was buffered", () =>
    withFaultyStore(async (store, log) => {
      const turn = await store.beginTurn("s");
      const hung = deferred();
      log.inject({ kind: "append-waits", until: hung.promise }, { streamPrefix: "conversation-" });
      void turn.textDelta("first");
      const flushed = turn.flush();
      void turn.textDelta(" second");
      const saved = store.saveMessage("s", "user", "third");
      expect(await isSettled(saved)).toBe(false);
      hung.resolve();
      await Promise.all([flushed, saved]);
      await turn.flush();
      expect(await store.listMessages("s")).toMatchObject([
        { parts: [{ text: "first second" }] },
        { content: "third" },
      ]);
    }));
});

/** A log whose answers to appends of turns come when they are let go; the appends are made at once. */
class SlowToAnswer extends MemoryEventLog {
  readonly held: Deferred[] = [];
  isHolding = false;

  override async append(...args: Parameters<MemoryEventLog["append"]>): Promise<AppendResult> {
    const result = await super.append(...args);
    if (this.isHolding && args[0].startsWith("conversation-")) {
      const answer = deferred();
      this.held.push(answer);
      await answer.promise;
    }
    return result;
  }
}

describe("a turn of which another writer hears first", () => {
  it.each([
    ["superseded", { type: "AssistantStubAppended" as const, data: { messageId: 999_999, content: "[]" } }],
    ["deleted with its session", { type: "SessionDeleted" as const, data: {} }],
  ])("is lost when it was %s before its own writer had the answer", async (_what, theirs) => {
    const log = new SlowToAnswer({});
    const store = new ConversationStore(log, { flushIntervalMs: 0 });
    await store.saveMessage("s", "user", "q");
    log.isHolding = true;
    const begun = store.beginTurn("s");
    while (log.held.length === 0) await nextTick();
    log.isHolding = false;
    await log.append("conversation-s", asForeign(theirs), "any");
    await store.listMessages("s"); // Reads both, while the turn waits for its answer.
    for (const answer of log.held) answer.resolve();
    const turn = await begun;
    const before = await store.listMessages("s", { includeReplaced: true });
    void turn.textDelta("late");
    await expect(turn.flush()).rejects.toMatchObject({ code: "turn-lost" });
    expect(await store.listMessages("s", { includeReplaced: true })).toEqual(before);
    await store.close();
  });
});

describe("a session that others keep changing", () => {
  it("makes a command give up after a thousand conflicts, with nothing written", async () => {
    let others = 0;
    class Contended extends MemoryEventLog {
      override async append(...args: Parameters<MemoryEventLog["append"]>): Promise<AppendResult> {
        if (args[0] === "conversation-s" && others > 0) {
          const id = 1_000_000 + others++;
          await super.append("conversation-s", asForeign(saved(id, "theirs")), "any");
        }
        return super.append(...args);
      }
    }
    const store = new ConversationStore(new Contended({}), { flushIntervalMs: 0 });
    await store.saveMessage("s", "user", "before");
    others = 1;
    await expect(store.saveMessage("s", "user", "mine")).rejects.toMatchObject({ code: "conflict" });
    const theirs = others - 1;
    expect(theirs).toBeGreaterThan(990); // An attempt or two goes for ids of a new block.
    others = 0;
    const contents = (await store.listMessages("s", { limit: Infinity })).map(({ content }) => content);
    expect(contents).toEqual(["before", ...Array.from({ length: theirs }, () => "theirs")]);
    await store.close();
  });
});
