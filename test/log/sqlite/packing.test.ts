import { join } from "node:path";
import { describe, expect, it } from "@jest/globals";
import type { EventLog } from "../../../src/log/event-log.ts";
import { DEFAULT_HOT_BOUNDS } from "../../../src/log/sqlite/packing.ts";
import { type SqliteEventLogOptions, openSqliteEventLog } from "../../../src/log/sqlite/sqlite-event-log.ts";
import { checkLogIntegrity, gather } from "../../../src/testing/check-log-integrity.ts";
import { appendOneByOne, crashedCopy, query, sampleEvent, sampleEvents } from "./sample-log.ts";
import { tempFolders } from "./temp-folder.ts";

const newFolder = tempFolders();

async function withLog(
  options: SqliteEventLogOptions,
  body: (log: EventLog, path: string) => Promise<void>,
): Promise<void> {
  const path = join(await newFolder(), "log.db");
  const log = await openSqliteEventLog(path, options);
  try {
    await body(log, path);
    await checkLogIntegrity(log);
  } finally {
    await log.close();
  }
}

const hotEvents = (path: string): number =>
  Number(query(path, "SELECT coalesce(sum(count), 0) FROM hot")[0]?.[0]);
const hotRows = (path: string): number => Number(query(path, "SELECT count(*) FROM hot")[0]?.[0]);
const packedRows = (path: string): number[] =>
  query(path, "SELECT count FROM packed ORDER BY first_position").map((row) => Number(row[0]));

/** The whole number comes to the bounds of a log as users have it; fewer, to bounds as many times smaller. */
const SLOW_STREAMS = process.env["TURNLOG_TEST_LONG"] === undefined ? 1_000 : 10_000;

describe("packing", () => {
  it("writes one hot row for all appends of a tick, whatever their streams", async () => {
    await withLog({}, async (log, path) => {
      await Promise.all(["a", "b", "c"].map((stream) => log.append(stream, sampleEvents(2), "any")));
      expect(query(path, "SELECT position, count FROM hot")).toEqual([[0, 6]]);
      expect(query(path, "SELECT count(*) FROM streams")).toEqual([[0]]);
    });
  });

  it("moves a stream's events into one row when 64 have come together, and drops their hot rows", async () => {
    await withLog({}, async (log, path) => {
      await appendOneByOne(log, "a", 63);
      expect([hotRows(path), packedRows(path)]).toEqual([63, []]);
      await appendOneByOne(log, "a", 1);
      expect([hotRows(path), packedRows(path)]).toEqual([0, [64]]);
      expect(query(path, "SELECT name, head_revision, first_revision FROM streams")).toEqual([["a", 63, 0]]);
    });
  });

  it("keeps a hot row until all its streams are packed", async () => {
    await withLog({}, async (log, path) => {
      await Promise.all([log.append("a", sampleEvents(1), "any"), log.append("b", sampleEvents(1), "any")]);
      await log.append("a", sampleEvents(1), "any", { seal: true });
      expect([hotEvents(path), packedRows(path)]).toEqual([2, [2]]);
      await log.append("b", sampleEvents(1), "any", { seal: true });
      expect([hotEvents(path), packedRows(path)]).toEqual([0, [2, 2]]);
    });
  });

  it("packs a sealed stream at once", async () => {
    await withLog({}, async (log, path) => {
      await appendOneByOne(log, "a", 5);
      await log.append("a", [sampleEvent()], 4, { seal: true });
      expect([hotRows(path), packedRows(path)]).toEqual([0, [6]]);
    });
  });

  it("cuts rows at 256 events, at 256 KiB, and at the span of positions that the file names", async () => {
    await withLog({ internals: { packSpan: 8 } }, async (log, path) => {
      await log.append("a", sampleEvents(70), "any");
      expect(Math.max(...packedRows(path))).toBe(8);
    });
    await withLog({}, async (log, path) => {
      await log.append("a", sampleEvents(600), "any");
      expect(packedRows(path)).toEqual([256, 256, 88]);
      const large = Array.from({ length: 64 }, () => sampleEvent("x".repeat(60_000)));
      await log.append("b", [...large, sampleEvent("y".repeat(300_000))], "any");
      expect(packedRows(path).slice(3)).toEqual([...Array.from({ length: 16 }, () => 4), 1]);
    });
  });

  it(`bounds what is hot with ${SLOW_STREAMS} streams that never come to 64 events`, async () => {
    const hotBounds = {
      ...DEFAULT_HOT_BOUNDS,
      events: Math.round((DEFAULT_HOT_BOUNDS.events * SLOW_STREAMS) / 10_000),
    };
    await withLog({ internals: { hotBounds } }, async (log, path) => {
      let most = 0;
      for (let first = 0; first < 8 * SLOW_STREAMS; first += 500) {
        const appends = Array.from({ length: 500 }, (_, index) =>
          log.append(`slow-${(first + index) % SLOW_STREAMS}`, [sampleEvent()], "any"),
        );
        await Promise.all(appends);
        most = Math.max(most, hotEvents(path));
      }
      expect(most).toBeGreaterThan(hotBounds.events / 2);
      expect(most).toBeLessThanOrEqual(hotBounds.events);
      expect(await log.head()).toBe(8 * SLOW_STREAMS - 1);
    });
  });

  it("packs few streams in one commit, and the others in the next ones", async () => {
    await withLog({}, async (log, path) => {
      const all = (count: number): Promise<unknown> =>
        Promise.all(Array.from({ length: 60 }, (_, n) => log.append(`s${n}`, sampleEvents(count), "any")));
      await all(63);
      expect(packedRows(path)).toEqual([]);
      await all(1);
      expect(packedRows(path)).toHaveLength(8);
      for (let commit = 0; commit < 7; commit++) await log.append("last", [sampleEvent()], "any");
      expect(packedRows(path)).toHaveLength(60);
    });
  });

  it("stops the event loop for no more events than a commit may have", async () => {
    await withLog({}, async (log, path) => {
      const streams = Array.from({ length: 1_200 }, (_, n) => `s${n}`);
      await Promise.all(streams.map((stream) => log.append(stream, [sampleEvent()], "any")));
      const commits = query(path, "SELECT count FROM hot ORDER BY position").flat();
      expect(commits).toEqual([...Array.from({ length: 18 }, () => 64), 48]);
    });
  });

  it("begins to pack the oldest a little before the bounds, a few streams in a commit", async () => {
    const bounds = { rows: 1_000, events: 1_000, bytes: 1_000_000_000 };
    await withLog({ internals: { hotBounds: bounds } }, async (log, path) => {
      const appendTo = (streams: number, name: string): Promise<unknown> =>
        Promise.all(
          Array.from({ length: streams }, (_, n) => log.append(`${name}-${n}`, [sampleEvent()], "any")),
        );
      const packed = (): unknown => query(path, "SELECT count(*) FROM packed")[0]?.[0];
      await appendTo(800, "first");
      expect(packed()).toBe(0);
      await appendTo(160, "second");
      expect(packed()).toBe(10);
      await appendTo(1, "third");
      expect(packed()).toBe(11);
    });
  });

  it("bounds the number of hot rows", async () => {
    const bounds = { rows: 20, events: 1_000_000, bytes: 1_000_000_000 };
    await withLog({ internals: { hotBounds: bounds } }, async (log, path) => {
      for (let n = 0; n < 200; n++) await log.append(`slow-${n % 50}`, [sampleEvent()], "any");
      expect(hotRows(path)).toBeLessThanOrEqual(20);
    });
  });

  it("bounds the bytes of hot rows", async () => {
    const bounds = { rows: 1_000, events: 1_000_000, bytes: 100_000 };
    await withLog({ internals: { hotBounds: bounds } }, async (log, path) => {
      for (let n = 0; n < 60; n++) await log.append(`slow-${n}`, [sampleEvent("x".repeat(9_000))], "any");
      expect(Number(query(path, "SELECT sum(length(payload)) FROM hot")[0]?.[0])).toBeLessThanOrEqual(
        100_000,
      );
    });
  });

  it("goes on with the hot rows that a dead process has left", async () => {
    await withLog({}, async (log, path) => {
      await appendOneByOne(log, "a", 40);
      await appendOneByOne(log, "b", 10);
      const copy = crashedCopy(path, await newFolder());
      const survivor = await openSqliteEventLog(copy);
      expect(await gather(survivor.readAll())).toEqual(await gather(log.readAll()));
      expect(await survivor.append("a", sampleEvents(24), 39)).toEqual({
        ok: true,
        revision: 63,
        position: 73,
      });
      expect([hotEvents(copy), packedRows(copy)]).toEqual([10, [64]]);
      await checkLogIntegrity(survivor);
      await survivor.close();
    });
  });

  it("of another process is taken in: nothing is doubled, lost, or packed twice", async () => {
    await withLog({}, async (log, path) => {
      const other = await openSqliteEventLog(path, { internals: { ownConnection: true } });
      await appendOneByOne(log, "a", 30);
      await appendOneByOne(other, "a", 30);
      await log.append("a", sampleEvents(1), 59, { seal: true });
      expect(await gather(other.readStream("a"))).toHaveLength(61);
      await other.append("a", sampleEvents(1), 60, { seal: true });
      expect(packedRows(path)).toEqual([61, 1]);
      expect((await gather(other.readAll())).map((event) => event.revision)).toEqual(
        Array.from({ length: 62 }, (_, n) => n),
      );
      await other.close();
    });
  });

  it.each([
    ["a commit is packed without ever being hot", 100, DEFAULT_HOT_BOUNDS],
    ["a commit's row is packed and dropped by the same commit", 1, { rows: 0, events: 100, bytes: 100_000 }],
  ])("keeps highest position and revision when %s", async (_when, count, hotBounds) => {
    await withLog({ internals: { hotBounds } }, async (log, path) => {
      await log.append("a", sampleEvents(count), "no-stream");
      expect(hotRows(path)).toBe(0);
      const survivor = await openSqliteEventLog(crashedCopy(path, await newFolder()));
      expect(await survivor.head()).toBe(count - 1);
      expect(await survivor.append("b", [sampleEvent()], "no-stream")).toMatchObject({ position: count });
      expect(await survivor.append("a", [sampleEvent()], "any")).toMatchObject({ revision: count });
      await checkLogIntegrity(survivor);
      await survivor.close();
    });
  });

  it("keeps highest position and revision when all that carried them is packed, truncated and reopened", async () => {
    await withLog({}, async (log, path) => {
      await log.append("a", sampleEvents(100), "any");
      await log.truncate("a", 99);
      const copy = crashedCopy(path, await newFolder());
      const survivor = await openSqliteEventLog(copy);
      expect(await survivor.head()).toBe(99);
      expect(await survivor.append("a", [sampleEvent()], 99)).toEqual({
        ok: true,
        revision: 100,
        position: 100,
      });
      await survivor.close();
    });
  });
});

describe("truncation", () => {
  it("leaves the text of removed events in no row, hot or packed", async () => {
    await withLog({}, async (log, path) => {
      const secret = (n: number) => sampleEvent({ text: `secret-${n}` });
      await log.append(
        "a",
        Array.from({ length: 70 }, (_, n) => secret(n)),
        "any",
      );
      await Promise.all([
        log.append("a", [secret(70), secret(71)], "any"),
        log.append("b", [sampleEvent({ text: "kept" })], "any"),
      ]);
      await log.truncate("a", 71);
      const events = await gather(log.readAll());
      expect(events.map((event) => event.data)).toEqual([{ text: "secret-71" }, { text: "kept" }]);
      expect(query(path, "SELECT first_revision, count FROM packed")).toEqual([[71, 1]]);
      const hot = query(path, "SELECT payload FROM hot").map((row) =>
        Buffer.from(row[0] as Uint8Array).toString(),
      );
      expect(hot).toHaveLength(1);
      expect(hot[0]).toContain("kept");
      expect(hot[0]).not.toContain("secret");
    });
  });

  it("of hot events is seen by another process that remembers them", async () => {
    await withLog({}, async (log, path) => {
      const other = await openSqliteEventLog(path, { internals: { ownConnection: true } });
      await appendOneByOne(log, "a", 5);
      expect(await gather(other.readAll())).toHaveLength(5);
      await log.truncate("a", 4);
      for (const events of [other.readAll(), other.readStream("a")]) {
        expect((await gather(events)).map((event) => event.revision)).toEqual([4]);
      }
      await other.close();
    });
  });
});
