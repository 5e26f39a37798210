import { execFileSync } from "node:child_process";
import { fdatasync, fdatasyncSync, mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { stat } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { promisify } from "node:util";
import { afterAll, afterEach, describe, expect, it, jest } from "@jest/globals";
import type { Durability, EventLog } from "../../../src/log/event-log.ts";
import { Database } from "../../../src/log/sqlite/engine.ts";
import { openWritable } from "../../../src/log/sqlite/open-database.ts";
import { openSqliteEventLog } from "../../../src/log/sqlite/sqlite-event-log.ts";
import { resolveStorePath } from "../../../src/log/sqlite/store-path.ts";
import { checkLogIntegrity, gather } from "../../../src/testing/check-log-integrity.ts";
import { sampleEvent, sampleEvents } from "./sample-log.ts";
import { tempFolders } from "./temp-folder.ts";

const newFolder = tempFolders();
const newPath = async (): Promise<string> => join(await newFolder(), "log.db");
const realFdatasync = promisify(fdatasync);
const noSync = (): never => {
  throw new Error("must not be called");
};

describe("an append that is to survive a loss of power", () => {
  it("is in the files, as another process sees them, when the sync that vouches for it starts", async () => {
    const path = await newPath();
    const copies = await newFolder();
    let syncs = 0;
    let finishedSyncs = 0;
    const copyFiles = (): void => {
      const copy = join(copies, `${syncs++}.db`);
      execFileSync("cp", [path, copy]);
      execFileSync("cp", [`${path}-wal`, `${copy}-wal`]);
    };
    const log = await openSqliteEventLog(path, {
      internals: {
        fdatasync: {
          later: async (descriptor) => {
            copyFiles();
            await realFdatasync(descriptor);
            finishedSyncs += 1;
          },
          now: (descriptor) => {
            copyFiles();
            fdatasyncSync(descriptor);
            finishedSyncs += 1;
          },
        },
      },
    });
    const acknowledged: { id: string; bySync: number }[] = [];
    const writer = async (stream: string): Promise<void> => {
      for (let n = 0; n < 12; n++) {
        const event = sampleEvent();
        await log.append(stream, [event], "any", { durability: "power" });
        // The newest sync that had finished: an earlier one may have vouched for it, a later one not.
        acknowledged.push({ id: event.id, bySync: finishedSyncs - 1 });
        // Deltas ride along.
        void log.append(stream, sampleEvents(20), "any");
      }
    };
    await Promise.all(["a", "b", "c"].map(writer));
    await log.close();
    expect(acknowledged).toHaveLength(36);
    // Several appends share a sync.
    expect(syncs).toBeLessThan(36);
    for (let sync = 0; sync < syncs; sync++) {
      const survivor = await openSqliteEventLog(join(copies, `${sync}.db`));
      await checkLogIntegrity(survivor);
      const ids = new Set((await gather(survivor.readAll())).map((event) => event.id));
      await survivor.close();
      expect(acknowledged.filter(({ id, bySync }) => bySync <= sync && !ids.has(id))).toEqual([]);
    }
  });

  it("waits for a sync that starts after its commit, one at a time", async () => {
    const started: (() => void)[] = [];
    const log = await openSqliteEventLog(await newPath(), {
      internals: {
        fdatasync: { later: () => new Promise((resolve) => void started.push(resolve)), now: noSync },
      },
    });
    const settled: string[] = [];
    const append = (name: string): Promise<void> =>
      log.append(name, [sampleEvent()], "any", { durability: "power" }).then(() => void settled.push(name));
    const first = append("first");
    while (started.length === 0) await new Promise(setImmediate);
    // Two that wait together are left to a thread.
    const second = Promise.all([append("second"), append("with second")]);
    await log.append("committed after second", [sampleEvent()], "any");
    expect([settled, started.length]).toEqual([[], 1]);
    started[0]?.();
    await first;
    expect(settled).toEqual(["first"]);
    while (started.length === 1) await new Promise(setImmediate);
    started[1]?.();
    await second;
    await log.close();
  });

  it("does not wait where only the process must not matter", async () => {
    const log = await openSqliteEventLog(await newPath(), {
      internals: { fdatasync: { later: async () => noSync(), now: noSync } },
    });
    await log.append("a", [sampleEvent()], "any");
    expect(await log.append("a", [sampleEvent()], "any", { durability: "process" })).toMatchObject({
      ok: true,
    });
    await log.close();
  });

  it("is not told to be safe after a failed sync, before a checkpoint has written all anew", async () => {
    const path = await newPath();
    let isBroken = true;
    const log = await openSqliteEventLog(path, {
      busyTimeoutMs: 20,
      internals: {
        fdatasync: {
          later: (descriptor) => (isBroken ? Promise.reject(new Error("EIO")) : realFdatasync(descriptor)),
          now: fdatasyncSync,
        },
      },
    });
    const event = sampleEvent();
    const power = { durability: "power" } as const;
    await expect(log.append("a", [event], "no-stream", power)).rejects.toMatchObject({
      code: "durability-unknown",
    });
    expect(await gather(log.readStream("a"))).toHaveLength(1);

    isBroken = false;
    // A reader that holds the WAL keeps the checkpoint from finishing.
    const reader = new Database(path);
    reader.exec("BEGIN; SELECT count(*) FROM hot");
    await expect(log.append("a", [event], "no-stream", power)).rejects.toMatchObject({
      code: "durability-unknown",
    });
    reader.exec("COMMIT");
    reader.close();

    expect(await log.append("a", [event], "no-stream", power)).toEqual({
      ok: true,
      revision: 0,
      position: 0,
    });
    expect((await stat(`${path}-wal`)).size).toBe(0);
    expect(await log.append("a", [sampleEvent()], 0, power)).toEqual({ ok: true, revision: 1, position: 1 });
    // The doubt is over: this one was synced, not checkpointed.
    expect((await stat(`${path}-wal`)).size).toBeGreaterThan(0);
    await log.close();
  });

  it("is synced at once where it is waited for alone and this disk is fast, else by a thread", async () => {
    const calls = { later: 0, now: 0 };
    const log = await openSqliteEventLog(await newPath(), {
      internals: {
        fdatasync: { later: async () => void (calls.later += 1), now: () => void (calls.now += 1) },
      },
    });
    const append = (stream: string): Promise<unknown> =>
      log.append(stream, [sampleEvent()], "any", { durability: "power" });
    await append("a");
    // The first one also opens the WAL and syncs its folder.
    expect(calls).toEqual({ later: 1, now: 0 });
    await append("a");
    expect(calls).toEqual({ later: 1, now: 1 });
    await Promise.all(["a", "b", "c"].map(append));
    expect(calls).toEqual({ later: 2, now: 1 });
    await log.close();
  });

  it("is in doubt as well where the sync that failed was done at once", async () => {
    let isBroken = false;
    const log = await openSqliteEventLog(await newPath(), {
      internals: {
        fdatasync: {
          later: realFdatasync,
          now: (descriptor) => {
            if (isBroken) throw new Error("EIO");
            fdatasyncSync(descriptor);
          },
        },
      },
    });
    const power = { durability: "power" } as const;
    await log.append("a", [sampleEvent()], "no-stream", power);
    isBroken = true;
    await expect(log.append("a", [sampleEvent()], 0, power)).rejects.toMatchObject({
      code: "durability-unknown",
    });
    // By a checkpoint: a sync would fail again.
    expect(await log.append("a", [sampleEvent()], 1, power)).toMatchObject({ revision: 2 });
    await log.close();
  });

  it("keeps close waiting for its answer", async () => {
    const log = await openSqliteEventLog(await newPath());
    let isAnswered = false;
    void log.append("a", [sampleEvent()], "any", { durability: "power" }).then(() => {
      isAnswered = true;
    });
    await log.close();
    expect(isAnswered).toBe(true);
  });
});

describe("a connection that writes", () => {
  it("syncs where a checkpoint must, and leaves checkpoints to those who time them", async () => {
    const path = await newPath();
    for (const create of [true, false]) {
      const opened = await openWritable(await resolveStorePath(path), {
        create,
        busyTimeoutMs: 1_000,
        packSpan: 100,
      });
      const pragma = (name: string): number => opened.database.number(`PRAGMA ${name}`);
      expect(["synchronous", "checkpoint_fullfsync", "wal_autocheckpoint"].map(pragma)).toEqual([1, 1, 0]);
      await opened.dispose();
    }
  });
});

describe("a clock that is set back", () => {
  afterEach(() => void jest.restoreAllMocks());

  it("does not set the log's times back, for this process or the next", async () => {
    const path = await newPath();
    const now = Date.now();
    const clock = jest.spyOn(Date, "now");
    const times = async (log: EventLog): Promise<number[]> =>
      (await gather(log.readAll())).map(({ recordedAt }) => recordedAt - now);
    clock.mockReturnValue(now);
    const log = await openSqliteEventLog(path);
    await log.append("a", [sampleEvent()], "any");
    clock.mockReturnValue(now - 3_600_000);
    await log.append("a", [sampleEvent()], "any");
    const other = await openSqliteEventLog(path, { internals: { ownConnection: true } });
    await other.append("b", [sampleEvent()], "any", { seal: true });
    clock.mockReturnValue(now + 1_000);
    await log.append("a", [sampleEvent()], "any", { seal: true });
    clock.mockReturnValue(now);
    await other.append("b", [sampleEvent()], "any");
    expect(await times(log)).toEqual([0, 0, 0, 1_000, 1_000]);
    await Promise.all([log.close(), other.close()]);
    const again = await openSqliteEventLog(path);
    await again.append("a", [sampleEvent()], "any");
    expect((await times(again)).at(-1)).toBe(1_000);
    await again.close();
  });
});

describe("a lock that another process holds", () => {
  it("stops neither the event loop nor the order of appends", async () => {
    const path = await newPath();
    const log = await openSqliteEventLog(path);
    const other = new Database(path);
    other.exec("BEGIN IMMEDIATE");
    const appends = Array.from({ length: 5 }, (_, n) =>
      log.append("a", [sampleEvent(n)], n === 0 ? "no-stream" : n - 1),
    );
    let turns = 0;
    while (turns < 50) {
      await new Promise((resolve) => void setTimeout(resolve, 1));
      turns += 1;
    }
    expect(await gather(log.readStream("a"))).toEqual([]);
    other.exec("COMMIT");
    other.close();
    expect((await Promise.all(appends)).map((result) => result.ok)).toEqual([true, true, true, true, true]);
    expect((await gather(log.readStream("a"))).map((event) => event.data)).toEqual([0, 1, 2, 3, 4]);
    await log.close();
  });

  it("for too long is told as log-busy, writes nothing and does not spoil the next append", async () => {
    const path = await newPath();
    const log = await openSqliteEventLog(path, { busyTimeoutMs: 20 });
    const other = new Database(path);
    other.exec("BEGIN IMMEDIATE");
    await expect(log.append("a", [sampleEvent()], "any")).rejects.toMatchObject({ code: "log-busy" });
    await expect(log.truncate("a", 1)).rejects.toMatchObject({ code: "log-busy" });
    expect(() => log.appendSync?.("a", [sampleEvent()], "any")).toThrow(
      expect.objectContaining({ code: "log-busy" }),
    );
    other.exec("COMMIT");
    other.close();
    expect(await log.append("a", [sampleEvent()], "no-stream")).toEqual({
      ok: true,
      revision: 0,
      position: 0,
    });
    await log.close();
  });
});

/** A file system of 1 MB, undefined where this user may not mount one. */
function mountSmallDisk(folder: string): (() => void) | undefined {
  try {
    execFileSync("mount", ["-t", "tmpfs", "-o", "size=1m", "tmpfs", folder], { stdio: "ignore" });
  } catch {
    return undefined;
  }
  return () => void execFileSync("umount", ["--lazy", folder]);
}

describe("a full disk", () => {
  /** Appends until it fails, and checks that what was acknowledged is there. */
  async function fill(log: EventLog, durability: Durability = "process"): Promise<number> {
    let acknowledged = 0;
    let failure: unknown;
    while (failure === undefined && acknowledged < 10_000) {
      try {
        await log.append(`s${acknowledged % 3}`, [sampleEvent("x".repeat(5_000))], "any", {
          durability,
        });
        acknowledged += 1;
      } catch (error) {
        failure = error;
      }
    }
    expect(failure).toMatchObject({ code: "disk-full" });
    expect(acknowledged).toBeGreaterThan(10);
    expect(await gather(log.readAll())).toHaveLength(acknowledged);
    await checkLogIntegrity(log);
    return acknowledged;
  }

  it("is told, and nothing is lost or half-written, now or when it is opened again", async () => {
    const path = await newPath();
    const log = await openSqliteEventLog(path, { internals: { mostPages: 120 } });
    const acknowledged = await fill(log);
    await expect(log.append("a", [sampleEvent("x".repeat(500_000))], "any")).rejects.toMatchObject({
      code: "disk-full",
    });
    await log.close();
    const again = await openSqliteEventLog(path);
    expect(await again.append("a", [sampleEvent()], "no-stream")).toMatchObject({ position: acknowledged });
    await checkLogIntegrity(again);
    await again.close();
  });

  const folder = mkdtempSync(join(tmpdir(), "turnlog-disk-"));
  const unmount = mountSmallDisk(folder);
  afterAll(() => {
    unmount?.();
    rmSync(folder, { recursive: true });
  });
  const where = unmount === undefined ? " (skipped: this user may not mount a small disk)" : "";
  (unmount === undefined ? it.skip : it).each<Durability>(["process", "power"])(
    `that gets room again is written again by the same handle, at durability %s${where}`,
    async (durability) => {
      const ballast = join(folder, "ballast");
      writeFileSync(ballast, Buffer.alloc(300_000));
      const log = await openSqliteEventLog(join(folder, "log.db"));
      const acknowledged = await fill(log, durability);
      rmSync(ballast);
      expect(await log.append("after", [sampleEvent()], "no-stream")).toMatchObject({
        position: acknowledged,
      });
      expect(await gather(log.readAll())).toHaveLength(acknowledged + 1);
      await log.close();
      rmSync(join(folder, "log.db"));
    },
  );
});
