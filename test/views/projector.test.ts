import { describe, expect, it } from "@jest/globals";
import { MemoryEventLog } from "../../src/log/memory-event-log.ts";
import { type ConversationViews } from "../../src/projections/conversation-views.ts";
import { openViews } from "../../src/projections/open-views.ts";
import { Projector } from "../../src/projections/projector.ts";
import { ConversationStore } from "../../src/store/conversation-store.ts";
import { updated } from "../support/conversation-history.ts";
import { asForeign } from "../support/faulty-store.ts";
import { until } from "./support/until.ts";
import { allEvents, expectExactRows } from "./support/views-world.ts";

interface Setting {
  log: MemoryEventLog;
  store: ConversationStore;
  views: ConversationViews;
  warnings: string[];
  projector: Projector;
}

async function withProjector(
  options: { batchMs: number; intervalMs: number },
  use: (setting: Setting) => Promise<void>,
): Promise<void> {
  const log = new MemoryEventLog({});
  const store = new ConversationStore(log, { flushIntervalMs: 0 });
  const views = await openViews(log, { path: ":memory:" });
  const warnings: string[] = [];
  const onWarning = (message: string): number => warnings.push(message);
  const projector = new Projector(log, views, { ...options, onWarning });
  projector.start();
  try {
    await use({ log, store, views, warnings, projector });
  } finally {
    await projector.close();
    await store.close();
    views.close();
  }
}

const positionOf = (views: ConversationViews): number => views.current()?.checkpoint.position ?? -1;

/** Rows written since the connection was opened, checkpoints included. */
const changes = (views: ConversationViews): number => views.database.number("SELECT total_changes()");

describe("the projector", () => {
  it("follows the log, with exact rows at each moment", async () => {
    await withProjector({ batchMs: 1, intervalMs: 3 }, async ({ log, store, views }) => {
      for (let round = 0; round < 20; round++) {
        const turn = await store.beginTurn(`s${round % 3}`, { user: `question ${round}` });
        for (let delta = 0; delta < 10; delta++) {
          await turn.textDelta(`${delta} `);
          await turn.flush();
          expectExactRows(views, views.current()?.generation ?? 0, await allEvents(log));
        }
        if (round % 2 === 0) await turn.finish();
      }
      const head = await log.head();
      await until(() => positionOf(views) === head);
      expectExactRows(views, views.current()?.generation ?? 0, await allEvents(log));
    });
  });

  it("writes what begins and ends at once, and a growing message neither for each delta nor for others' writes", async () => {
    const never = 2 ** 30;
    await withProjector({ batchMs: 0, intervalMs: never }, async ({ log, store, views }) => {
      const turn = await store.beginTurn("a", { user: "a long answer, please" });
      const begun = await log.head();
      await until(() => positionOf(views) === begun);
      const before = changes(views);
      for (let delta = 0; delta < 2000; delta++) {
        await turn.textDelta("word ");
        await turn.flush();
      }
      expect(changes(views)).toBe(before);
      // Another session's events are written, without this one's.
      await store.saveMessage("b", "user", "hello");
      await until(() => views.rows(1).placeOf("b") !== undefined);
      expect(views.rows(1).placeOf("a")?.revision).toBeLessThan(10);
      expect(positionOf(views)).toBe(begun);
      await turn.finish();
      const head = await log.head();
      await until(() => positionOf(views) === head);
      // For the two sessions: their rows and messages, once or twice, and the checkpoint with each write.
      expect(changes(views) - before).toBeLessThan(20);
    });
  });

  it("writes a message that streams at most once an interval", async () => {
    await withProjector({ batchMs: 0, intervalMs: 0 }, async ({ log, store, views }) => {
      const turn = await store.beginTurn("a");
      await turn.textDelta("in the middle of ");
      await turn.flush();
      const head = await log.head();
      await until(() => positionOf(views) === head);
      expect(
        views.rows(1).load("a")?.conversation.messages.newestOf("assistant")?.content.toString(),
      ).toContain("in the middle of");
      await turn.finish();
    });
  });

  it("writes batch by batch while it catches up, so that what it holds is bounded", async () => {
    const log = new MemoryEventLog({});
    const saved = Array.from({ length: 45_000 }, (_, n) => ({
      type: "SessionUpdated" as const,
      data: { title: `title ${n}` },
    }));
    for (let first = 0; first < saved.length; first += 5_000)
      await log.append("conversation-a", asForeign(...saved.slice(first, first + 5_000)), "any");
    const views = await openViews(log, { path: ":memory:" });
    const positions: number[] = [];
    const save = views.saveCheckpoint.bind(views);
    views.saveCheckpoint = (generation, checkpoint, highest) => {
      positions.push(checkpoint.position);
      save(generation, checkpoint, highest);
    };
    const projector = new Projector(log, views, { batchMs: 2 ** 30, intervalMs: 2 ** 30 });
    projector.start();
    await until(() => positionOf(views) === 44_999);
    await projector.close();
    expect(positions).toEqual([19_999, 39_999, 44_999]);
    views.close();
    await log.close();
  });

  it("writes many streaming sessions a few at a time, and all of them before it closes", async () => {
    const never = 2 ** 30;
    await withProjector({ batchMs: never, intervalMs: 0 }, async ({ log, store, views, projector }) => {
      const turns = await Promise.all(
        Array.from({ length: 100 }, (_, index) => store.beginTurn(`s${index}`, { user: "go on" })),
      );
      for (const turn of turns) void turn.textDelta("in the middle of ");
      await Promise.all(turns.map((turn) => turn.flush()));
      const head = await log.head();
      // A write ends before the next begins, each with a checkpoint that passes nothing that is not written.
      const seen = new Set<number>();
      await until(() => {
        seen.add(positionOf(views));
        return positionOf(views) === head;
      });
      expect(seen.size).toBeGreaterThan(1);
      expectExactRows(views, 1, await allEvents(log));
      for (const turn of turns) void turn.textDelta("a sentence");
      await Promise.all(turns.map((turn) => turn.flush()));
      await projector.close();
      expect(positionOf(views)).toBeGreaterThanOrEqual(head);
      expectExactRows(views, 1, await allEvents(log));
      expect(projector.isActive).toBe(false);
    });
  });

  it("buries a session that cannot be folded, says why, and goes on with the others", async () => {
    await withProjector({ batchMs: 0, intervalMs: 0 }, async ({ log, store, views, warnings }) => {
      await store.saveMessage("bad", "user", "before");
      await log.append("conversation-bad", asForeign(updated(99_999, { length: 3 })), "any");
      await log.append(
        "conversation-bad",
        asForeign({ type: "SessionUpdated", data: { title: "late" } }),
        "any",
      );
      await store.saveMessage("good", "user", "hello");
      const head = await log.head();
      await until(() => positionOf(views) === head);
      expect(views.rows(1).deadLetters()).toMatchObject([
        {
          sessionId: "bad",
          deadLetter: {
            stream: "conversation-bad",
            revision: 1,
            type: "BranchesUpdated",
            code: "unfoldable-event",
            message: expect.stringContaining("99999"),
          },
        },
      ]);
      expect(warnings).toHaveLength(1);
      expect(warnings[0]).toMatch(/"bad" can be projected no further.*turnlog rebuild/s);
      expect(views.rows(1).load("good")?.conversation.messages.count).toBe(1);
    });
  });

  it("leaves views alone that another version of turnlog has put in the place of its own", async () => {
    await withProjector({ batchMs: 0, intervalMs: 0 }, async ({ log, store, views, projector, warnings }) => {
      await store.saveMessage("a", "user", "hello");
      const head = await log.head();
      await until(() => positionOf(views) === head);
      views.write(() => {
        const generation = views.createGeneration(log.logId, "building");
        views.database.exec(`UPDATE generations SET fold_version = 99 WHERE generation = ${generation}`);
        views.promote(generation);
      });
      await store.saveMessage("a", "user", "after");
      await until(() => !projector.isActive);
      expect(positionOf(views)).toBe(-1);
      expect(warnings).toEqual([]);
    });
  });
});
