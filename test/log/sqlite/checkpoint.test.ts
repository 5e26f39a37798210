import { execFileSync } from "node:child_process";
import { randomBytes } from "node:crypto";
import { stat } from "node:fs/promises";
import { join } from "node:path";
import { setImmediate as nextTick } from "node:timers/promises";
import { describe, expect, it } from "@jest/globals";
import { Checkpointer, type WalBounds } from "../../../src/log/sqlite/checkpointer.ts";
import { Database } from "../../../src/log/sqlite/engine.ts";
import { FEWEST_PAGES } from "../../../src/log/sqlite/free-space.ts";
import { openSqliteEventLog } from "../../../src/log/sqlite/sqlite-event-log.ts";
import { checkLogIntegrity } from "../../../src/testing/check-log-integrity.ts";
import { SMALL_WAL_BOUNDS, sampleEvent } from "./sample-log.ts";
import { tempFolders } from "./temp-folder.ts";

const newFolder = tempFolders();
const MEGABYTE = 1_048_576;
/** Does not compress: what is appended is what is written. */
const noise = (): string => randomBytes(40_960).toString("base64");

describe("the WAL", () => {
  it("is moved into the database by a thread while the log is open, and the thread ends with the log", async () => {
    const path = join(await newFolder(), "log.db");
    const log = await openSqliteEventLog(path);
    const workers = (): number =>
      process.getActiveResourcesInfo().filter((name) => name === "MessagePort").length;
    const before = workers();
    let bytes = 0;
    while (bytes < 24 * MEGABYTE) {
      const text = noise();
      await log.append("a", [sampleEvent(text)], "any");
      bytes += text.length;
    }
    // Nothing else moves pages before 48 MB of them wait.
    while ((await stat(path)).size < 8 * MEGABYTE) await log.head();
    await checkLogIntegrity(log);
    await log.close();
    expect(workers()).toBe(before);
  });

  it("stays bounded under a writer that never pauses", async () => {
    const path = join(await newFolder(), "log.db");
    const log = await openSqliteEventLog(path);
    const text = noise();
    for (let bytes = 0; bytes < 160 * MEGABYTE; bytes += 16 * text.length) {
      await Promise.all(
        Array.from({ length: 16 }, (_, n) => log.append(`s${n}`, [sampleEvent(text)], "any")),
      );
    }
    expect((await stat(`${path}-wal`)).size).toBeLessThan(80 * MEGABYTE);
    await log.close();
    expect((await stat(path)).size).toBeGreaterThan(20 * MEGABYTE);
  });
});

/** A database in WAL mode, a writer that commits a page or two in each round of the event loop, and what it waited for. */
function busyWriter(path: string, threadsPath: string, bounds: WalBounds) {
  const database = new Database(path);
  database.exec(
    "PRAGMA journal_mode = WAL; PRAGMA wal_autocheckpoint = 0; CREATE TABLE t (n INTEGER PRIMARY KEY, x)",
  );
  const insert = database.prepare("INSERT INTO t (x) VALUES (?)");
  const wal = database.prepare("PRAGMA wal_checkpoint(NOOP)");
  let goOn: (() => void) | undefined;
  let paused: Promise<void> | undefined;
  const figures = { pauses: 0, resumes: 0, mostPending: 0, longest: 0, commits: 0 };
  const checkpointer = new Checkpointer(
    threadsPath,
    database,
    {
      pause() {
        figures.pauses += 1;
        const [, pages, moved] = wal.get() ?? [];
        figures.mostPending = Math.max(figures.mostPending, Number(pages) - Number(moved));
        paused = new Promise((resolve) => (goOn = resolve));
      },
      resume() {
        figures.resumes += 1;
        paused = undefined;
        goOn?.();
      },
    },
    bounds,
  );
  const pages = (): number => Number(wal.get()?.[1]);
  return {
    figures,
    async commit(): Promise<number> {
      if (paused !== undefined) await paused;
      insert.run("x".repeat(3_000));
      figures.commits += 1;
      const now = pages();
      figures.longest = Math.max(figures.longest, now);
      checkpointer.look();
      await nextTick();
      return now;
    },
    async close(): Promise<void> {
      await checkpointer.close();
      database.close();
    },
  };
}

/** All of a long WAL is few pages: the thread, whose disk may be slow, need not first catch up with a busy writer. */
const PAUSE_AT_ONCE: WalBounds = { ...SMALL_WAL_BOUNDS, perCheckpoint: 1_000, few: 1_000 };

describe("a WAL that has become long", () => {
  it("begins anew: the writer waits while the thread moves the last pages, and goes on", async () => {
    const path = join(await newFolder(), "wal.db");
    const writer = busyWriter(path, path, PAUSE_AT_ONCE);
    const afterPause: number[] = [];
    for (let resumes = 0; writer.figures.resumes < 3 && writer.figures.commits < 20_000;) {
      const pages = await writer.commit();
      if (writer.figures.resumes > resumes) afterPause.push(pages);
      resumes = writer.figures.resumes;
    }
    expect(writer.figures).toMatchObject({ pauses: 3, resumes: 3 });
    // The commit behind a pause is the first one of a new WAL.
    expect(Math.max(...afterPause)).toBeLessThan(PAUSE_AT_ONCE.long / 2);
    expect(writer.figures.mostPending).toBeLessThanOrEqual(PAUSE_AT_ONCE.few);
    await writer.close();
  });

  it("does not make the writer wait again and again where it cannot begin anew, since somebody reads", async () => {
    const path = join(await newFolder(), "wal.db");
    const writer = busyWriter(path, path, PAUSE_AT_ONCE);
    await writer.commit();
    const reader = new Database(path, { readOnly: true });
    reader.exec("BEGIN");
    while (writer.figures.commits < 1_000) {
      reader.exec("COMMIT; BEGIN; SELECT count(*) FROM t");
      await writer.commit();
    }
    expect(writer.figures.longest).toBeGreaterThan(1_000);
    expect(writer.figures.pauses).toBeGreaterThan(0);
    expect(writer.figures.pauses).toBeLessThanOrEqual(writer.figures.longest / PAUSE_AT_ONCE.betweenPauses);
    reader.close();
    await writer.close();
  });

  it("is moved by the writer itself where no thread can be started", async () => {
    const folder = await newFolder();
    const writer = busyWriter(join(folder, "wal.db"), join(folder, "missing", "wal.db"), SMALL_WAL_BOUNDS);
    let pages = 0;
    // Until the thread has failed nobody knows that it will.
    for (let before = 0; pages >= before && writer.figures.commits < 20_000; pages = await writer.commit())
      before = pages;
    expect(pages).toBeLessThan(SMALL_WAL_BOUNDS.few);
    writer.figures.longest = 0;
    for (let commits = 0; commits < 500; commits++) await writer.commit();
    expect(writer.figures.longest).toBeLessThan(SMALL_WAL_BOUNDS.long + SMALL_WAL_BOUNDS.few);
    expect(writer.figures.pauses).toBe(writer.figures.resumes);
    await writer.close();
  });

  it("loses, doubles and reorders nothing of what is appended meanwhile, and closing waits for it", async () => {
    const path = join(await newFolder(), "log.db");
    const log = await openSqliteEventLog(path, { internals: { walBounds: SMALL_WAL_BOUNDS } });
    const APPENDS = 500;
    const streams = Array.from({ length: 8 }, (_, index) => `s${index}`);
    const text = noise().slice(0, 3_000);
    await Promise.all(
      streams.map(async (stream) => {
        for (let n = 0; n < APPENDS; n++) {
          const result = await log.append(stream, [sampleEvent(text)], n === 0 ? "no-stream" : n - 1);
          expect(result).toMatchObject({ ok: true, revision: n });
        }
      }),
    );
    await checkLogIntegrity(log);
    const last = streams.map((stream) => log.append(stream, [sampleEvent(text)], APPENDS - 1));
    await log.close();
    expect(await Promise.all(last)).toEqual(
      streams.map(() => expect.objectContaining({ ok: true, revision: APPENDS })),
    );
  });

  /** A database with free pages and a WAL that the thread of the checkpointer moves. */
  async function withFreePages(): Promise<{ path: string; database: Database; checkpointer: Checkpointer }> {
    const path = join(await newFolder(), "wal.db");
    const database = new Database(path);
    database.exec(
      "PRAGMA auto_vacuum = INCREMENTAL; PRAGMA journal_mode = WAL; CREATE TABLE t (n INTEGER PRIMARY KEY, x)",
    );
    const checkpointer = new Checkpointer(path, database, undefined, SMALL_WAL_BOUNDS);
    const insert = database.prepare("INSERT INTO t (x) VALUES (?)");
    for (let row = 0; row < 400; row++) insert.run("x".repeat(3_000));
    database.exec("DELETE FROM t WHERE n > 100");
    expect(database.number("PRAGMA freelist_count")).toBeGreaterThan(FEWEST_PAGES);
    checkpointer.look();
    return { path, database, checkpointer };
  }

  it("is empty when the thread has ended, and free pages are given back: closing then stops for neither", async () => {
    const { path, database, checkpointer } = await withFreePages();
    await checkpointer.close();
    expect((await stat(`${path}-wal`)).size).toBe(0);
    expect(database.number("PRAGMA freelist_count")).toBe(0);
    expect(database.number("SELECT count(*) FROM t")).toBe(100);
    database.close();
  });

  it("is left to others where another process writes: the thread ends all the same", async () => {
    const { path, database, checkpointer } = await withFreePages();
    const other = new Database(path);
    other.exec("BEGIN IMMEDIATE; INSERT INTO t (x) VALUES ('theirs')");
    await checkpointer.close();
    other.exec("COMMIT");
    expect(database.number("SELECT count(*) FROM t")).toBe(101);
    other.close();
    database.close();
  });

  it("holds the process until the thread has gone, when it is closed while the writer waits", async () => {
    const child = join(import.meta.dirname, "children", "closing-while-paused.js");
    const path = join(await newFolder(), "wal.db");
    const printed = execFileSync(process.execPath, [child, path, JSON.stringify(PAUSE_AT_ONCE)], {
      encoding: "utf8",
    });
    expect(printed).toBe("closed\n");
  });
});
