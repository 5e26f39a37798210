import { join } from "node:path";
import { describe, expect, it } from "@jest/globals";
import fc from "fast-check";
import { errorCode } from "../../src/errors.ts";
import { sessionOfStream } from "../../src/events/conversation-event.ts";
import { HolderLock } from "../../src/projections/holder-lock.ts";
import { rebuildViews } from "../../src/projections/rebuild.ts";
import type { ConversationStore } from "../../src/store/conversation-store.ts";
import { openConversationStore } from "../../src/store/open-conversation-store.ts";
import { query } from "../log/sqlite/sample-log.ts";
import { tempFolders } from "../log/sqlite/temp-folder.ts";
import { propertyRuns } from "../support/arbitraries.ts";
import { updated } from "../support/conversation-history.ts";
import { asForeign } from "../support/faulty-store.ts";
import { dump, expectRebuilt, makeHistory, project, withLog, withViews } from "./support/histories.ts";
import { until } from "./support/until.ts";

const newFolder = tempFolders();
const newPath = async (): Promise<string> => join(await newFolder(), "log.db");

/** What went wrong, or what came of it. */
const outcomeOf = (work: Promise<unknown>): Promise<unknown> =>
  work.then(
    () => "fine",
    (error: unknown) => errorCode(error) ?? error,
  );

async function withStore<Result>(
  path: string,
  use: (store: ConversationStore) => Promise<Result>,
): Promise<Result> {
  const store = await openConversationStore(path, { flushIntervalMs: 0, durability: "process" });
  try {
    return await use(store);
  } finally {
    await store.close();
  }
}

describe("rebuilding the views", () => {
  it("makes what the fold makes, and finds that the projector had made the same", async () => {
    await fc.assert(
      fc.asyncProperty(
        fc.nat(),
        fc.integer({ min: 1, max: 40 }),
        fc.integer({ min: 1, max: 20 }),
        async (...random) => {
          const [seed, steps, batchEvents] = random;
          const path = await newPath();
          await makeHistory(path, seed, steps);
          await project(path);
          const live = await dump(path);
          const report = await rebuildViews(path, { batchEvents });
          expect(report).toMatchObject({
            isInService: true,
            verification: { differingSessions: 0, differingMessages: 0, notComparable: 0, differences: [] },
          });
          await expectRebuilt(path);
          expect(await dump(path)).toEqual(live);
        },
      ),
      propertyRuns(12),
    );
  });

  it("compares each session at the revision of its old rows, however far the projector had come", async () => {
    const path = await newPath();
    await makeHistory(path, 7, 20);
    await project(path);
    await makeHistory(path, 8, 20);
    const { verification } = await rebuildViews(path);
    expect(verification).toMatchObject({ differingSessions: 0, notComparable: 0 });
    await expectRebuilt(path);
  });

  it("makes the first views of a log that had none", async () => {
    const path = await newPath();
    await makeHistory(path, 1, 10);
    expect(await rebuildViews(path)).toMatchObject({ verification: undefined, isInService: true });
    await expectRebuilt(path);
  });

  it("says message by message what is different, and in a dry run leaves it so", async () => {
    const path = await newPath();
    const [first, second] = await withStore(path, async (store) => [
      await store.saveMessage("a", "user", "as it was said"),
      await store.saveMessage("b", "user", "another"),
    ]);
    await withViews(path, (views) => views.drop(views.current()?.generation ?? 0));
    // An earlier fold that shouted.
    await project(path, (event) => {
      const data = event.data as { content?: string };
      return event.stream === "conversation-a" && data.content !== undefined
        ? { ...event, data: { ...data, content: "AS IT WAS SAID" } }
        : event;
    });
    const before = await dump(path);
    const dry = await rebuildViews(path, { dryRun: true });
    expect(dry).toMatchObject({ isInService: false });
    expect(dry.verification).toEqual({
      sessions: 2,
      messages: 2,
      differingSessions: 1,
      differingMessages: 1,
      notComparable: 0,
      differences: [
        {
          session: "a",
          messageId: first,
          field: "content",
          old: '"AS IT WAS SAID"',
          new: '"as it was said"',
        },
      ],
    });
    expect(await dump(path)).toEqual(before);
    await withViews(path, (views) => expect(views.records()).toHaveLength(1));
    await rebuildViews(path);
    await expectRebuilt(path);
    expect(second).toBeGreaterThan(0);
  });

  it("says which sessions only one side has", async () => {
    const path = await newPath();
    await withStore(path, async (store) => {
      for (const session of ["a", "b"]) await store.saveMessage(session, "user", "hello");
    });
    await withViews(path, (views) => views.drop(views.current()?.generation ?? 0));
    await project(path, (event) =>
      sessionOfStream(event.stream) === "a" ? { ...event, stream: "conversation-ghost" } : event,
    );
    const { verification } = await rebuildViews(path, { dryRun: true });
    expect(verification?.differences).toEqual([
      { session: "ghost", field: "session", old: "session" },
      { session: "a", field: "session", new: "session" },
    ]);
  });

  it("stops at an event that cannot be folded, names it, and leaves the old views in service", async () => {
    const path = await newPath();
    await makeHistory(path, 3, 20);
    await project(path);
    await withLog(path, (log) =>
      log.append("conversation-bad", asForeign(updated(99_999, { length: 3 })), "any"),
    );
    const before = await dump(path);
    await expect(rebuildViews(path)).rejects.toMatchObject({
      code: "unfoldable-event",
      message: expect.stringMatching(/BranchesUpdated at revision 0 of stream "conversation-bad".*99999/),
      details: { sessionId: "bad", revision: 0, type: "BranchesUpdated" },
    });
    expect(await dump(path)).toEqual(before);

    const report = await rebuildViews(path, { skipPoison: true });
    expect(report.setAside).toMatchObject([{ sessionId: "bad", revision: 0, code: "unfoldable-event" }]);
    await withStore(path, async (store) => {
      await expect(store.listMessages("bad")).rejects.toMatchObject({ code: "unfoldable-event" });
      expect(await outcomeOf(store.saveMessage("good", "user", "on we go"))).toBe("fine");
      expect((await store.listSessions()).map(({ id }) => id)).toContain("good");
    });
    // An upgrade that can fold it would clear it: a rebuild looks at it again.
    expect(await outcomeOf(rebuildViews(path))).toBe("unfoldable-event");
  });

  it("goes on where it was interrupted, unless what is there is of no use", async () => {
    const path = await newPath();
    await makeHistory(path, 5, 30);
    let reached = -1;
    const interrupt = async (): Promise<void> => {
      const controller = new AbortController();
      const interrupted = rebuildViews(path, {
        batchEvents: 10,
        signal: controller.signal,
        onProgress: ({ position }) => {
          reached = position;
          if (position >= 19) controller.abort(new Error("enough"));
        },
      });
      await expect(interrupted).rejects.toMatchObject({ code: "rebuild-interrupted" });
    };
    const tamper = (sql: string): Promise<void> => withViews(path, (views) => views.database.exec(sql));

    await interrupt();
    const resumed = await rebuildViews(path);
    expect(resumed).toMatchObject({ resumedFrom: reached, startedAnew: undefined });
    expect(reached).toBeLessThan(resumed.position);
    expect(resumed.events).toBeLessThanOrEqual(resumed.position - reached);
    await expectRebuilt(path);

    await interrupt();
    const scratch = await rebuildViews(path, { fromScratch: true });
    expect(scratch).toMatchObject({
      resumedFrom: undefined,
      startedAnew: "it was asked to start from scratch",
    });

    await interrupt();
    await tamper("UPDATE generations SET fold_version = 99 WHERE state = 'building'");
    expect((await rebuildViews(path)).startedAnew).toMatch(/another version/);

    await interrupt();
    await tamper("UPDATE generations SET log_id = 'x' WHERE state = 'building'");
    expect((await rebuildViews(path)).startedAnew).toMatch(/another log/);

    await interrupt();
    await tamper("UPDATE generations SET checkpoint_event = 'x' WHERE state = 'building'");
    expect((await rebuildViews(path)).startedAnew).toMatch(/lacks events/);
    await expectRebuilt(path);

    await interrupt();
    await withViews(path, (views) => {
      const building = views.records().find(({ state }) => state === "building");
      views.database.exec(`UPDATE sessions_${building?.generation} SET crc = 1`);
    });
    await rebuildViews(path);
    await expectRebuilt(path);
  });

  it("refuses a second one at the same time, and says who is at it", async () => {
    const path = await newPath();
    await makeHistory(path, 5, 10);
    const held = new HolderLock(`${path}.views-rebuild`);
    expect(held.tryAcquire()).toBe(true);
    await withViews(path, (views) => views.setHolder("rebuild", { pid: 4711, since: 1_700_000_000_000 }));
    await expect(rebuildViews(path)).rejects.toMatchObject({
      code: "rebuild-running",
      message: expect.stringContaining("process 4711, since 2023-11-14T22:13:20.000Z"),
      details: { pid: 4711, since: 1_700_000_000_000 },
    });
    held.release();

    const holders: unknown[] = [];
    await rebuildViews(path, {
      onProgress: () => holders.push(query(`${path}.views`, "SELECT role, pid FROM holders")),
    });
    expect(holders).toContainEqual([["rebuild", process.pid]]);
    await expectRebuilt(path);
    await withViews(path, (views) => expect(views.holder("rebuild")).toBeUndefined());
  });

  it("leaves readers and the projector of an open store undisturbed, and they go over to the new views", async () => {
    const path = await newPath();
    await makeHistory(path, 11, 30);
    await withStore(path, async (store) => {
      const id = await store.saveMessage("a", "user", "before");
      const expected = await store.listMessages("a", { limit: Infinity });
      const state = { isDone: false };
      let reads = 0;
      const reading = (async () => {
        while (!state.isDone) {
          expect(await store.listMessages("a", { limit: Infinity })).toEqual(expected);
          expect(await store.listMessages("a", { before: id, limit: 3 })).toHaveLength(
            Math.min(3, expected.length - 1),
          );
          reads++;
        }
      })();
      for (let round = 0; round < 5; round++) await rebuildViews(path, { batchEvents: 20 });
      state.isDone = true;
      await reading;
      expect(reads).toBeGreaterThan(5);
      await store.saveMessage("a", "user", "behind the swap");
      const head = await store.log.head();
      await withViews(path, (views) => until(() => views.current()?.checkpoint.position === head));
    });
    await project(path); // What the store wrote when it was closed.
    await expectRebuilt(path);
  });

  it("gives the space of the old views back", async () => {
    const path = await newPath();
    await withStore(path, async (store) => {
      for (let index = 0; index < 50; index++) await store.saveMessage("a", "user", "long ".repeat(1000));
    });
    const pages = (): Promise<number> =>
      withViews(path, (views) => views.database.number("PRAGMA page_count"));
    await rebuildViews(path);
    const once = await pages();
    for (let round = 0; round < 3; round++) await rebuildViews(path);
    expect(await pages()).toBeLessThanOrEqual(once);
    expect(await withViews(path, (views) => views.database.number("PRAGMA freelist_count"))).toBe(0);
  });

  it("needs views that last", async () => {
    expect(await outcomeOf(rebuildViews("memory:x"))).toBe("no-views");
    expect(await outcomeOf(rebuildViews(join(await newFolder(), "none.db")))).toBe("store-not-found");
  });
});

describe("rebuilding one session", () => {
  it("puts damaged rows right in place, under the projector of an open store", async () => {
    const path = await newPath();
    await withStore(path, async (store) => {
      for (let index = 0; index < 5; index++) await store.saveMessage("a", "user", `text ${index}`);
      await store.saveMessage("b", "user", "untouched");
    });
    await project(path);
    await withViews(path, (views) =>
      views.database.exec(
        `UPDATE messages_${views.current()?.generation} SET content = 'forged' WHERE content = 'text 3'`,
      ),
    );
    await withStore(path, async (store) => {
      const report = await rebuildViews(path, { session: "a" });
      expect(report).toMatchObject({ session: "a", events: 5, isInService: true });
      expect(report.verification?.differences).toMatchObject([{ session: "a", field: "row" }]);
      await store.saveMessage("a", "user", "text 5");
    });
    await project(path); // What the store wrote when it was closed.
    await expectRebuilt(path);
  });

  it("leaves the rows alone in a dry run, and knows no session that the log does not know", async () => {
    const path = await newPath();
    await makeHistory(path, 4, 20);
    await project(path);
    const before = await dump(path);
    expect(await rebuildViews(path, { session: "a", dryRun: true })).toMatchObject({
      isInService: false,
      verification: { sessions: 1, differingSessions: 0 },
    });
    expect(await dump(path)).toEqual(before);
    expect(await outcomeOf(rebuildViews(path, { session: "nobody" }))).toBe("session-not-found");
  });
});
