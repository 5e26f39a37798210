import { execFileSync } from "node:child_process";
import { closeSync, openSync, statSync } from "node:fs";
import { join } from "node:path";
import { describe, expect, it } from "@jest/globals";
import type { EventLog } from "../../../src/log/event-log.ts";
import { Database } from "../../../src/log/sqlite/engine.ts";
import { openSqliteEventLog } from "../../../src/log/sqlite/sqlite-event-log.ts";
import { WalRoom } from "../../../src/log/sqlite/wal-room.ts";
import { checkLogIntegrity, gather } from "../../../src/testing/check-log-integrity.ts";
import { crashedCopy, query, sampleEvent } from "./sample-log.ts";
import { tempFolders } from "./temp-folder.ts";

/** Zeros behind the end of the WAL, so that a sync need not wait for the file system's own journal. */

const newFolder = tempFolders();
const newPath = async (): Promise<string> => join(await newFolder(), "log.db");

/** Past SQLite, and by another process: opening and closing the file here would drop this process's locks. */
const sizeOf = (path: string): number => statSync(`${path}-wal`).size;
const bytesFrom = (path: string, start: number): Buffer =>
  execFileSync("tail", ["-c", `+${start + 1}`, `${path}-wal`], { maxBuffer: 64 * 1024 * 1024 });

const FRAME_BYTES = 4_096 + 24;
const usedBytes = (path: string): number =>
  32 + Number(query(path, "PRAGMA wal_checkpoint(NOOP)")[0]?.[1]) * FRAME_BYTES;

async function appendSynced(log: EventLog, count: number): Promise<string[]> {
  const ids: string[] = [];
  for (let n = 0; n < count; n++) {
    const event = sampleEvent("x".repeat(3_000));
    await log.append("a", [event], "any", { durability: "power" });
    ids.push(event.id);
  }
  return ids;
}

describe("the WAL of a process that syncs", () => {
  it("ends with zeros after some syncs, and not before", async () => {
    const path = await newPath();
    const log = await openSqliteEventLog(path);
    await appendSynced(log, 4);
    expect(sizeOf(path)).toBe(usedBytes(path));
    await appendSynced(log, 4);
    expect(sizeOf(path)).toBeGreaterThan(usedBytes(path) + 64 * 1024);
    expect(bytesFrom(path, usedBytes(path)).every((byte) => byte === 0)).toBe(true);
    await log.close();
  });

  it("gets no zeros for what need only survive the process", async () => {
    const path = await newPath();
    const log = await openSqliteEventLog(path);
    for (let n = 0; n < 20; n++) await log.append("a", [sampleEvent()], "any");
    expect(sizeOf(path)).toBe(usedBytes(path));
    await log.close();
  });

  it("gets more when they are used up, about as much as was written", async () => {
    const path = await newPath();
    const log = await openSqliteEventLog(path);
    const sizes = new Set<number>();
    for (let n = 0; n < 30; n++) {
      await appendSynced(log, 10);
      sizes.add(sizeOf(path));
    }
    expect(sizes.size).toBeGreaterThan(3);
    expect(sizeOf(path)).toBeLessThan(3 * usedBytes(path));
    await checkLogIntegrity(log);
    await log.close();
  });

  it("holds everything for who opens it after a crash, beside the zeros", async () => {
    const path = await newPath();
    const log = await openSqliteEventLog(path);
    const ids = await appendSynced(log, 25);
    const copy = crashedCopy(path, await newFolder());
    await log.close();
    const survivor = await openSqliteEventLog(copy);
    expect((await gather(survivor.readAll())).map(({ id }) => id)).toEqual(ids);
    await appendSynced(survivor, 10);
    await checkLogIntegrity(survivor);
    await survivor.close();
  });

  it("gets none while another writes, and some when it has done so", async () => {
    const path = await newPath();
    const log = await openSqliteEventLog(path);
    await log.append("a", [sampleEvent()], "any");
    const [one, other] = [new Database(path), new Database(path)];
    const descriptor = openSync(`${path}-wal`, "r+");
    const room = new WalRoom(one);
    const before = sizeOf(path);
    other.exec("BEGIN IMMEDIATE");
    for (let sync = 0; sync < 10; sync++) expect(room.make(descriptor)).toBe(false);
    expect(sizeOf(path)).toBe(before);
    other.exec("COMMIT");
    expect([room.make(descriptor), room.make(descriptor)]).toEqual([true, false]);
    expect(sizeOf(path)).toBeGreaterThan(before);
    closeSync(descriptor);
    one.close();
    other.close();
    await log.close();
  });

  it("is shared by two writers that both put zeros behind it", async () => {
    const path = await newPath();
    const internals = { ownConnection: true };
    const logs = [
      await openSqliteEventLog(path, { internals }),
      await openSqliteEventLog(path, { internals }),
    ];
    const written = await Promise.all(logs.map((log) => appendSynced(log, 60)));
    for (const log of logs) {
      const ids = (await gather(log.readAll())).map(({ id }) => id);
      expect(ids.toSorted()).toEqual(written.flat().toSorted());
      await checkLogIntegrity(log);
    }
    const copy = crashedCopy(path, await newFolder());
    await Promise.all(logs.map((log) => log.close()));
    const survivor = await openSqliteEventLog(copy);
    expect(await gather(survivor.readAll())).toHaveLength(120);
    await survivor.close();
  });
});
