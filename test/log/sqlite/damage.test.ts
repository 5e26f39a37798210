import { join } from "node:path";
import { describe, expect, it } from "@jest/globals";
import type { EventLog } from "../../../src/log/event-log.ts";
import { readRuns } from "../../../src/log/event-runs.ts";
import { Database } from "../../../src/log/sqlite/engine.ts";
import { openSqliteEventLog } from "../../../src/log/sqlite/sqlite-event-log.ts";
import { gather } from "../../../src/testing/check-log-integrity.ts";
import { appendOneByOne, sampleEvent, sampleEvents } from "./sample-log.ts";
import { tempFolders } from "./temp-folder.ts";

const newFolder = tempFolders();

/** A log with stream "a" packed in two rows and stream "b" hot, changed by SQL while nobody has it open. */
async function damagedLog(sql: string, body: (log: EventLog) => Promise<void>): Promise<void> {
  const path = join(await newFolder(), "log.db");
  const log = await openSqliteEventLog(path);
  await log.append("a", sampleEvents(64), "any");
  await log.append("a", sampleEvents(64), "any");
  await log.append("b", [sampleEvent({ text: "hot" })], "any");
  await log.close();
  const database = new Database(path);
  database.exec(sql);
  database.close();
  const damaged = await openSqliteEventLog(path);
  try {
    await body(damaged);
  } finally {
    await damaged.close();
  }
}

const FLIPPED = "CAST(substr(payload, 1, 20) || x'5a' || substr(payload, 22) AS BLOB)";

describe("a damaged row", () => {
  it.each([
    ["payload", `payload = ${FLIPPED}`],
    ["checksum", "crc = crc + 1"],
    ["encoding", "encoding = 9"],
    ["count", "count = count - 1"],
    ["first revision", "first_revision = first_revision + 1"],
    ["last position", "last_position = last_position + 1"],
    ["stream", "stream_id = (SELECT id FROM streams WHERE name = 'decoy')"],
  ])("of packed events, in its %s, is noticed by who reads it", async (_name, change) => {
    const decoy = "INSERT INTO streams (name, head_revision, first_revision) VALUES ('decoy', 127, 64)";
    await damagedLog(`${decoy}; UPDATE packed SET ${change} WHERE first_revision = 64`, async (log) => {
      await expect(gather(log.readAll())).rejects.toMatchObject({
        code: "damaged-row",
        details: { table: "packed", firstPosition: 64 },
      });
      // What is whole can still be read.
      expect(await gather(log.readStream("a", { limit: 64 }))).toHaveLength(64);
      expect(await gather(log.readStream("b"))).toHaveLength(1);
    });
  });

  it("of packed events does not keep other streams from being written", async () => {
    await damagedLog("UPDATE packed SET crc = crc + 1 WHERE first_revision = 64", async (log) => {
      const retried = log.append("a", [sampleEvent()], 100);
      const other = log.append("b", [sampleEvent()], 0);
      await expect(retried).rejects.toMatchObject({ code: "damaged-row" });
      expect(await other).toMatchObject({ ok: true, revision: 1 });
    });
  });

  it.each([
    ["payload", `payload = ${FLIPPED}`],
    ["checksum", "crc = crc + 1"],
    ["count", "count = 2"],
    ["position", "position = position + 1"],
  ])("of hot events, in its %s, is noticed by whoever uses the log", async (_name, change) => {
    await damagedLog(`UPDATE hot SET ${change}`, async (log) => {
      await expect(gather(log.readAll())).rejects.toMatchObject({
        code: "damaged-row",
        details: { table: "hot" },
      });
      // Nothing can be appended where it is not known what came last.
      await expect(log.append("b", [sampleEvent()], "any")).rejects.toMatchObject({ code: "damaged-row" });
    });
  });

  it("that is gone is noticed by who reads its stream", async () => {
    await damagedLog("DELETE FROM packed WHERE first_revision = 0", async (log) => {
      await expect(gather(log.readStream("a"))).rejects.toMatchObject({
        code: "missing-events",
        details: { stream: "a", revision: 0 },
      });
      await expect(gather(log.readStream("a", { direction: "backwards" }))).rejects.toMatchObject({
        code: "missing-events",
      });
    });
  });

  it("of hot events that is gone is noticed, and what is left is not numbered anew", async () => {
    const path = join(await newFolder(), "log.db");
    const log = await openSqliteEventLog(path);
    await appendOneByOne(log, "a", 5);
    await log.close();
    const database = new Database(path);
    database.exec("DELETE FROM hot WHERE position = 2");
    database.close();
    const damaged = await openSqliteEventLog(path);
    await expect(gather(damaged.readStream("a"))).rejects.toMatchObject({ code: "missing-events" });
    await expect(damaged.append("a", [sampleEvent()], "any", { seal: true })).rejects.toMatchObject({
      code: "missing-events",
    });
    expect(await damaged.append("b", [sampleEvent()], "no-stream")).toMatchObject({ ok: true, position: 5 });
    await damaged.close();
  });

  it.each(["runs", "byColumn"] as const)("ends reading by runs where it is reached, by %s", async (way) => {
    await damagedLog("UPDATE packed SET crc = crc + 1 WHERE first_revision = 64", async (log) => {
      let given = 0;
      const read = async (): Promise<void> => {
        for await (const pieces of readRuns(log))
          for (const run of pieces[way] ?? []) given += "count" in run ? run.count : run.length;
      };
      await expect(read()).rejects.toMatchObject({
        code: "damaged-row",
        details: { table: "packed", firstPosition: 64 },
      });
      expect(given).toBe(64);
    });
  });

  it("errors a subscription that reaches it", async () => {
    await damagedLog("UPDATE packed SET crc = crc + 1 WHERE first_revision = 64", async (log) => {
      let events = 0;
      const failure = await new Promise<unknown>((resolve) => {
        log
          .subscribe()
          .subscribe({ next: () => (events += 1), error: resolve, complete: () => resolve("completed") });
      });
      expect(failure).toMatchObject({ code: "damaged-row" });
      expect(events).toBeLessThanOrEqual(64);
    });
  });
});

describe("the end of the numbers", () => {
  it("is told, and no two events are given one", async () => {
    const path = join(await newFolder(), "log.db");
    const log = await openSqliteEventLog(path);
    await log.append("a", [sampleEvent()], "no-stream");
    await log.close();
    const database = new Database(path);
    database.exec(`UPDATE log_state SET highest_position = ${Number.MAX_SAFE_INTEGER - 2}`);
    database.close();
    const full = await openSqliteEventLog(path);
    const last = Number.MAX_SAFE_INTEGER;
    await expect(full.append("a", sampleEvents(3), 0)).rejects.toMatchObject({ code: "numbers-exhausted" });
    expect(await full.append("a", sampleEvents(2), 0)).toEqual({ ok: true, revision: 2, position: last });
    await expect(full.append("b", [sampleEvent()], "any")).rejects.toMatchObject({
      code: "numbers-exhausted",
    });
    expect(await full.head()).toBe(last);
    expect((await gather(full.readAll())).map(({ position }) => position)).toEqual([0, last - 1, last]);
    await full.close();
  });
});
