import { describe, expect, it } from "@jest/globals";
import { conversationStream } from "../../src/events/conversation-event.ts";
import type { EventLog, RecordedEvent } from "../../src/log/event-log.ts";
import type { Conversation } from "../../src/projections/conversation.ts";
import { type Point, foldTo } from "../../src/projections/point.ts";
import type { ConversationStore } from "../../src/store/conversation-store.ts";
import { allMessagesOf } from "../support/conversation-history.ts";
import { asForeign, missingCounts, withFaultyStore } from "../support/faulty-store.ts";
import { withStore, withStores } from "../support/memory-store.ts";
import { fillRichly } from "../support/rich-session.ts";

async function eventsOf(log: EventLog, sessionId: string): Promise<RecordedEvent[]> {
  const events: RecordedEvent[] = [];
  for await (const event of log.readStream(conversationStream(sessionId))) events.push(event);
  return events;
}

const foldOf = (store: ConversationStore, sessionId: string, at?: Point): Promise<Conversation> =>
  foldTo(store.log.readStream(conversationStream(sessionId)), at);

/** All that a conversation shows, replaced messages included, without what a fork has of its own: ids, and how open turns end. */
function shown(state: Conversation): unknown {
  const endedNow = new Set(["open", "superseded", "interrupted"]);
  return {
    title: state.title,
    metadata: state.metadata,
    current: state.messages.current().map((message) => state.messages.all().indexOf(message)),
    all: allMessagesOf(state).map(({ id: _id, status, updatedAt, ...message }) =>
      endedNow.has(status) ? { ...message, status: "interrupted" } : { ...message, status, updatedAt },
    ),
  };
}

/** Every point inside a session's stream: after each revision, and after each mark. */
function pointsOf(events: readonly RecordedEvent[]): Point[] {
  return events.flatMap(({ revision, data }): Point[] => {
    const { marks = [] } = data as { marks?: unknown[] };
    const inside = marks.map((_mark, index) => ({ kind: "revision" as const, revision, marks: index + 1 }));
    return [{ kind: "revision", revision, marks: 0 }, ...inside, { kind: "revision", revision }];
  });
}

const SMALL = 20;
const MANY = 1300;

async function isListed(store: ConversationStore, sessionId: string): Promise<boolean> {
  return (await store.listSessions({ limit: Infinity })).some(({ id }) => id === sessionId);
}

/** So many events that a fork takes several appends. */
async function fillLong(store: ConversationStore, sessionId = "s"): Promise<void> {
  await store.saveMessage(sessionId, "user", "q");
  const id = await store.appendAssistantStub(sessionId);
  for (let update = 1; update <= MANY; update++) {
    if (update % 4 === 0) await store.saveMessage(sessionId, "tool", `${update}`);
    else await store.updateBranches(id, `${update}`);
  }
}

describe("a fork", () => {
  it("shows at every point, to the delta, what its origin showed there", () =>
    withStore(async (store) => {
      await fillRichly(store, "s");
      const before = await eventsOf(store.log, "s");
      const points = pointsOf(before);
      expect(points.length).toBeGreaterThan(before.length * 2);
      let forks = 0;
      for (const [index, at] of points.entries()) {
        const then = await foldOf(store, "s", at);
        if (!then.exists) {
          await expect(store.fork("s", { at, as: `f${index}` })).rejects.toMatchObject({
            code: "nothing-to-fork",
          });
          continue;
        }
        const fork = await store.fork("s", { at, as: `f${index}` });
        const made = await foldOf(store, fork.sessionId);
        expect({ at, ...(shown(made) as object) }).toEqual({ at, ...(shown(then) as object) });
        expect(fork).toMatchObject({ outcome: "made", events: made.revision, messages: made.messages.count });
        expect(made).toMatchObject({ missingForkEvents: 0, unendedTurns: new Map() });
        forks++;
      }
      expect(forks).toBeGreaterThan(SMALL);
      expect(await eventsOf(store.log, "s")).toEqual(before);
    }));

  it("has event and message ids of its own, and times and places of the origin", () =>
    withStore(async (store) => {
      await fillRichly(store, "s");
      const { sessionId, origin } = await store.fork("s", { at: 18, as: "f" });
      const [forked, ...copies] = await eventsOf(store.log, sessionId);
      const origins = await eventsOf(store.log, "s");
      expect(forked).toMatchObject({ type: "SessionForked", data: { origin, total: copies.length } });
      expect(origin).toEqual({ logId: store.log.logId, sessionId: "s", revision: 18 });
      const copied = copies.filter(({ metadata }) => metadata["origin"] !== undefined);
      expect(copied.length).toBeGreaterThan(10);
      for (const { id, type, metadata } of copied) {
        const from = metadata["origin"] as { stream: string; revision: number; id: string; logId: string };
        const source = origins[from.revision]!;
        expect(from).toEqual({
          logId: store.log.logId,
          stream: "conversation-s",
          revision: source.revision,
          id: source.id,
        });
        expect(id).not.toBe(source.id);
        expect({
          type,
          time: metadata["time"],
          turnId: metadata["turnId"],
          cause: metadata["cause"],
        }).toEqual({
          type: source.type,
          time: source.metadata["time"],
          turnId: source.metadata["turnId"],
          cause: source.metadata["cause"],
        });
      }
      const ids = async (session: string): Promise<number[]> =>
        (await store.listMessages(session, { includeReplaced: true, limit: Infinity })).map(({ id }) => id);
      const all = [...(await ids("s")), ...(await ids("f"))];
      expect(new Set(all).size).toBe(all.length);
    }));

  it("is a session like any other: its messages are found by their ids, and new ones go on with its ids", () =>
    withStore(async (store) => {
      const [id] = [await store.saveMessage("s", "assistant", "as it was")];
      const { sessionId } = await store.fork("s", { at: 0 });
      expect(sessionId).toBe("s-fork-0");
      const [copy] = await store.listMessages(sessionId);
      await store.updateBranches(copy!.id, "changed");
      const next = await store.saveMessage(sessionId, "user", "go on");
      expect(next).toBe(copy!.id + 1);
      expect(await store.listMessages(sessionId)).toMatchObject([
        { content: "changed" },
        { content: "go on" },
      ]);
      expect(await store.listMessages("s")).toMatchObject([{ id, content: "as it was" }]);
    }));

  it("keeps the deltas up to a mark, with their times, and ends the open turn as interrupted", () =>
    withStore(async (store) => {
      await fillRichly(store, "s");
      const source = (await eventsOf(store.log, "s")).at(-1)!;
      const { marks } = source.data as { marks: [number, number][] };
      expect(marks.length).toBe(3);
      const { sessionId, origin } = await store.fork("s", { at: `${source.revision}+2` });
      expect({ sessionId, origin }).toEqual({
        sessionId: `s-fork-${source.revision}+2`,
        origin: { logId: store.log.logId, sessionId: "s", revision: source.revision - 1, marks: 2 },
      });
      const last = await store.lastAssistantMessage(sessionId);
      expect(last).toMatchObject({ status: "interrupted", parts: [{ kind: "text", text: "never to be " }] });
      const [update, ...ends] = (await eventsOf(store.log, sessionId)).slice(-3);
      expect(update).toMatchObject({ data: { marks: marks.slice(0, 2) } });
      // The one that was superseded, and this one.
      const interrupted = {
        type: "TurnEnded",
        data: { outcome: "interrupted" },
        metadata: { cause: "repair" },
      };
      expect(ends).toMatchObject([interrupted, interrupted]);
      expect(await store.unendedTurns({ sessionId })).toEqual([]);
      expect(await store.unendedTurns({ sessionId: "s" })).not.toEqual([]);
    }));

  it("can be looked at, and forked, at the times of its origin", () =>
    withStore(async (store) => {
      await store.log.append(
        "conversation-s",
        asForeign(
          { type: "MessageSaved", data: { messageId: 1, role: "user", format: "text", content: "old" } },
          { type: "MessageSaved", data: { messageId: 2, role: "user", format: "text", content: "newer" } },
        ).map((event, index) => ({ ...event, metadata: { ...event.metadata, time: 1000 + index * 1000 } })),
        "no-stream",
      );
      await store.fork("s", { at: 1, as: "f" });
      const at = new Date(1500);
      expect((await store.history("f", { at })).messages).toMatchObject([{ content: "old" }]);
      await store.fork("f", { at, as: "g" });
      expect(await store.listMessages("g")).toMatchObject([{ content: "old", createdAt: new Date(1000) }]);
    }));

  it("leaves out what it does not know, and keeps the order of what it does", () =>
    withStore(async (store) => {
      const first = await store.saveMessage("s", "user", "one");
      const [event] = asForeign({ type: "SessionDeleted", data: {} });
      const unknown = { ...event!, type: "MessagePinned", metadata: { ...event!.metadata, ignorable: true } };
      await store.log.append("conversation-s", [unknown], "any");
      await store.saveMessage("s", "user", "two");
      await store.replaceMessages("s", [{ keep: first }]);
      await store.saveMessage("s", "user", "three");
      await store.fork("s", { at: 4, as: "f" });
      expect(await store.listMessages("f")).toMatchObject([{ content: "one" }, { content: "three" }]);
      expect(shown(await foldOf(store, "f"))).toEqual(shown(await foldOf(store, "s")));
    }));

  it("stays when its origin is purged", () =>
    withStore(async (store) => {
      await fillRichly(store, "s");
      await store.fork("s", { at: 18, as: "f" });
      const before = await store.listMessages("f");
      await store.purgeSession("s");
      expect(await store.listMessages("f")).toEqual(before);
      expect(await store.countMessages("s")).toBe(0);
    }));
});

describe("a fork that is interrupted", () => {
  it.each(["append-fails", "answer-lost"] as const)("is finished by the next call, whichever %s", (kind) =>
    withFaultyStore(async (store, log) => {
      await fillLong(store);
      const whole = shown(await foldOf(store, "s"));
      const at = (await store.readSession("s")).revision;
      const outcomes = new Set<string>();
      for (let skip = 0; ; skip++) {
        const as = `f${skip}`;
        log.inject({ kind, error: new Error("gone") }, { streamPrefix: `conversation-${as}`, skip });
        try {
          await store.fork("s", { at, as });
          log.clear();
          break;
        } catch (error) {
          expect(error).toMatchObject({ message: "gone" });
        }
        const { exists, missingForkEvents } = await foldOf(store, as);
        expect(await isListed(store, as)).toBe(exists && missingForkEvents === 0);
        const { outcome } = await store.fork("s", { at, as });
        expect(outcome).toBe(!exists ? "made" : missingForkEvents > 0 ? "resumed" : "found");
        outcomes.add(outcome);
        expect(shown(await foldOf(store, as))).toEqual(whole);
        expect(await isListed(store, as)).toBe(true);
      }
      expect(outcomes).toEqual(new Set(kind === "append-fails" ? ["made", "resumed"] : ["resumed", "found"]));
      const ids: number[] = [];
      for (const { id } of await store.listSessions({ limit: Infinity })) {
        ids.push(...(await store.listMessages(id, { limit: Infinity })).map((message) => message.id));
      }
      expect(new Set(ids).size).toBe(ids.length);
      // A fault of no code is of unknown outcome: only what may have landed may be missing.
      if (kind === "answer-lost") expect(await missingCounts(log)).toEqual({});
    }),
  );

  it("takes no commands but its deletion, is not recovered, and says what it is", () =>
    withFaultyStore(async (store, log) => {
      await fillRichly(store, "s");
      await fillLong(store);
      log.inject({ kind: "append-fails" }, { streamPrefix: "conversation-f", skip: 2 });
      await expect(store.fork("s", { at: 900, as: "f" })).rejects.toThrow();
      const unfinished = {
        code: "unfinished-fork",
        message: expect.stringMatching(/fork again to finish it/),
      };
      await expect(store.saveMessage("f", "user", "?")).rejects.toMatchObject(unfinished);
      await expect(store.beginTurn("f")).rejects.toMatchObject(unfinished);
      expect((await store.unendedTurns()).map(({ sessionId }) => sessionId)).not.toContain("f");
      await expect(store.fork("s", { at: 901, as: "f" })).rejects.toMatchObject({
        code: "session-exists",
        message: expect.stringMatching(/unfinished fork of "s" at 900: fork it there again/),
      });
      await store.deleteSession("f");
      expect(await store.fork("s", { at: 901, as: "f" })).toMatchObject({ outcome: "made" });
      expect(shown(await foldOf(store, "f"))).toEqual(
        shown(await foldOf(store, "s", { kind: "revision", revision: 901 })),
      );
    }));

  it("is not finished over what others have written into it", () =>
    withFaultyStore(async (store, log) => {
      await fillLong(store);
      log.inject({ kind: "append-fails" }, { streamPrefix: "conversation-f", skip: 2 });
      await expect(store.fork("s", { at: 1000, as: "f" })).rejects.toThrow();
      const [foreign] = asForeign({ type: "SessionUpdated", data: { title: "mine" } });
      await log.append("conversation-f", [foreign!], "any");
      await expect(store.fork("s", { at: 1000, as: "f" })).rejects.toMatchObject({ code: "fork-damaged" });
    }));
});

describe("a fork whose copies fill whole appends", () => {
  it.each([511, 512, 513])("ends its open turn once, after %i copies, wherever it is interrupted", (copies) =>
    withFaultyStore(async (store, log) => {
      for (let saved = 0; saved < copies - 2; saved++) await store.saveMessage("s", "tool", `${saved}`);
      await store.beginTurn("s");
      const whole = shown(await foldOf(store, "s"));
      for (let skip = 1; skip <= (copies > 512 ? 2 : 1); skip++) {
        const as = `f${skip}`;
        log.inject({ kind: "append-fails" }, { streamPrefix: `conversation-${as}`, skip });
        await expect(store.fork("s", { at: copies - 1, as })).rejects.toThrow();
        expect(await store.fork("s", { at: copies - 1, as })).toMatchObject({
          outcome: "resumed",
          events: copies + 1,
        });
        expect(shown(await foldOf(store, as))).toEqual(whole);
        expect((await eventsOf(log, as)).filter(({ type }) => type === "TurnEnded")).toHaveLength(1);
      }
    }),
  );
});

describe("forking at once", () => {
  it("gives one fork, whoever writes which part of it", () =>
    withStores(3, async (...stores) => {
      await fillLong(stores[0]!);
      const forks = await Promise.all(stores.map((store) => store.fork("s", { at: 1000, as: "f" })));
      expect(forks.map(({ events }) => events)).toEqual([1001, 1001, 1001]);
      const [store] = stores;
      expect(shown(await foldOf(store!, "f"))).toEqual(
        shown(await foldOf(store!, "s", { kind: "revision", revision: 1000 })),
      );
      expect((await eventsOf(store!.log, "f")).length).toBe(1002);
    }));
});

describe("forking", () => {
  it("again at the same point finds the fork that is there", () =>
    withStore(async (store) => {
      await store.saveMessage("s", "user", "hello");
      expect(await store.fork("s", { at: 0 })).toMatchObject({ outcome: "made" });
      expect(await store.fork("s", { at: 0 })).toMatchObject({ outcome: "found", sessionId: "s-fork-0" });
      expect((await eventsOf(store.log, "s-fork-0")).length).toBe(2);
    }));

  it("can take a name that was deleted", () =>
    withStore(async (store) => {
      await store.saveMessage("s", "user", "hello");
      await store.saveMessage("f", "user", "gone");
      await store.deleteSession("f");
      await store.fork("s", { at: 0, as: "f" });
      expect(await store.listMessages("f")).toMatchObject([{ content: "hello" }]);
    }));

  it.each([
    [{ at: 0, as: "taken" }, "session-exists"],
    [{ at: 7 }, "point-not-found"],
    [{ at: "noon" }, "invalid-point"],
    [{ at: "0+0" }, "nothing-to-fork"],
    [{ at: new Date(0) }, "nothing-to-fork"],
    [{ at: 0, as: "" }, "invalid-session-id"],
    [{ at: 0, as: "s" }, "session-exists"],
  ])("%j is refused as %s, and nothing is written", (options, code) =>
    withStore(async (store) => {
      await store.saveMessage("s", "user", "hello");
      await store.saveMessage("taken", "user", "mine");
      const head = await store.log.head();
      await expect(store.fork("s", options)).rejects.toMatchObject({ code });
      expect(await store.log.head()).toBe(head);
    }),
  );

  it("an unknown session is refused", () =>
    withStore(async (store) => {
      await expect(store.fork("none", { at: 0 })).rejects.toMatchObject({ code: "point-not-found" });
    }));

  it("needs a name where the origin's is too long to make one of", () =>
    withStore(async (store) => {
      const long = "s".repeat(510);
      await store.saveMessage(long, "user", "hello");
      await expect(store.fork(long, { at: 0 })).rejects.toMatchObject({ code: "invalid-session-id" });
    }));
});
