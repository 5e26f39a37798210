import { execFileSync } from "node:child_process";
import { createHash } from "node:crypto";
import { chmod, mkdir, readFile, readdir, stat, symlink, writeFile } from "node:fs/promises";
import { dirname, join, relative } from "node:path";
import { describe, expect, it } from "@jest/globals";
import { DatabaseSync } from "@photostructure/sqlite";
import { Database } from "../../../src/log/sqlite/engine.ts";
import { openSqliteEventLog } from "../../../src/log/sqlite/sqlite-event-log.ts";
import { checkFileSystem } from "../../../src/log/sqlite/store-path.ts";
import { gather } from "../../../src/testing/check-log-integrity.ts";
import { appendOneByOne, crashedCopy, query, sampleEvent, sampleEvents } from "./sample-log.ts";
import { tempFolders } from "./temp-folder.ts";

const newFolder = tempFolders();
const newPath = async (name = "log.db"): Promise<string> => join(await newFolder(), name);

/** Only for files that nobody has open. */
const digest = async (path: string): Promise<string> =>
  createHash("sha256")
    .update(await readFile(path))
    .digest("hex");

/** By the driver alone: a connection with prepared statements is not closed before they are collected, and writes then. */
async function foreignDatabase(path: string, sql: string): Promise<void> {
  const database = new DatabaseSync(path);
  database.exec(sql);
  database.close();
}

describe("opening a log", () => {
  it("makes it where there is none, in WAL mode, with incremental vacuum", async () => {
    const path = await newPath();
    const log = await openSqliteEventLog(path);
    await log.append("a", [sampleEvent()], "no-stream");
    await log.close();
    const database = new Database(path, { readOnly: true });
    const pragmas = ["journal_mode", "auto_vacuum", "page_size", "application_id", "user_version"];
    const values = pragmas.map((pragma) => database.prepare(`PRAGMA ${pragma}`).get()?.[0]);
    database.close();
    expect(values).toEqual(["wal", 2, 4_096, 0x746c6f67, 1]);
  });

  it("leaves all in one file when the last handle is closed", async () => {
    const path = await newPath();
    const [first, second] = [await openSqliteEventLog(path), await openSqliteEventLog(path)];
    await first.append("a", sampleEvents(3), "any");
    await first.close();
    expect(await gather(second.readAll())).toHaveLength(3);
    await second.close();
    // The engine removes the emptied WAL when it has collected its statements: at the latest, at the process's end.
    const wal = await stat(`${path}-wal`).catch(() => ({ size: 0 }));
    expect(wal.size).toBe(0);
  });

  it("by several at once makes one log", async () => {
    const path = await newPath();
    const logs = await Promise.all(
      Array.from({ length: 6 }, (_, index) =>
        openSqliteEventLog(path, { internals: { ownConnection: index % 2 === 0 } }),
      ),
    );
    await Promise.all(logs.map((log, index) => log.append(`s${index}`, [sampleEvent()], "no-stream")));
    expect(new Set(logs.map((log) => log.logId)).size).toBe(1);
    expect(await logs[0]?.head()).toBe(5);
    await Promise.all(logs.map((log) => log.close()));
  });

  it("puts a copy that VACUUM INTO has made back into WAL mode, so that its appends survive a loss of power", async () => {
    const path = await newPath();
    const copy = join(dirname(path), "copy.db");
    const log = await openSqliteEventLog(path);
    await log.append("a", sampleEvents(3), "no-stream");
    await foreignDatabase(path, `VACUUM INTO '${copy}'`);
    await log.close();
    const copied = await openSqliteEventLog(copy);
    expect(await copied.append("a", [sampleEvent()], 2, { durability: "power" })).toMatchObject({ ok: true });
    await copied.close();
    expect(query(copy, "PRAGMA journal_mode")).toEqual([["wal"]]);
  });

  it("finds the same log by any path that leads to the file", async () => {
    const path = await newPath();
    const first = await openSqliteEventLog(path);
    await first.append("a", [sampleEvent()], "any");
    await symlink(dirname(path), join(await newFolder(), "link"));
    const linked = join(await newFolder(), "link.db");
    await symlink(path, linked);
    for (const other of [relative(process.cwd(), path), linked]) {
      const log = await openSqliteEventLog(other);
      expect([log.logId, await log.head()]).toEqual([first.logId, 0]);
      await log.close();
    }
    await first.close();
  });

  it("takes names that mean something in URLs", async () => {
    const path = await newPath("a log #1 50%?.db");
    const log = await openSqliteEventLog(path);
    await log.append("a", [sampleEvent()], "any");
    await log.close();
    expect(await readdir(dirname(path))).toContain("a log #1 50%?.db");
    const reader = await openSqliteEventLog(path, { readOnly: true });
    expect(await reader.head()).toBe(0);
    await reader.close();
  });

  it("again while the last handle is being closed waits for it", async () => {
    const path = await newPath();
    const first = await openSqliteEventLog(path);
    await first.append("a", sampleEvents(3), "any");
    const closing = first.close();
    const second = await openSqliteEventLog(path);
    await closing;
    expect(await second.head()).toBe(2);
    await second.close();
  });
});

describe("a path that is no log", () => {
  it.each(["", ":memory:", "a\0b"])("%j is refused as a path", async (path) => {
    await expect(openSqliteEventLog(path)).rejects.toMatchObject({ code: "invalid-store-path" });
  });

  it("nothing, where it is not to be made", async () => {
    const path = await newPath();
    await expect(openSqliteEventLog(path, { create: false })).rejects.toMatchObject({
      code: "store-not-found",
    });
    await expect(openSqliteEventLog(path, { readOnly: true })).rejects.toMatchObject({
      code: "store-not-found",
    });
    await expect(openSqliteEventLog(join(path, "deeper", "log.db"))).rejects.toMatchObject({
      code: "store-not-found",
    });
    await writeFile(path, "");
    await expect(openSqliteEventLog(path, { create: false })).rejects.toMatchObject({
      code: "store-not-found",
    });
    await expect(openSqliteEventLog(path, { readOnly: true })).rejects.toMatchObject({
      code: "store-not-found",
    });
    expect(await readdir(dirname(path))).toEqual(["log.db"]);
  });

  it("a folder", async () => {
    const path = await newPath();
    await mkdir(path);
    await expect(openSqliteEventLog(path)).rejects.toMatchObject({ code: "not-a-turnlog-file" });
  });

  it.each<[name: string, make: (path: string) => Promise<void>]>([
    ["a text file", (path) => writeFile(path, "Dear diary,\n".repeat(1_000))],
    ["a short text file", (path) => writeFile(path, "hi")],
    [
      "another application's database",
      (path) => foreignDatabase(path, "CREATE TABLE notes (text); INSERT INTO notes VALUES ('x')"),
    ],
    [
      "another application's database in WAL mode",
      (path) => foreignDatabase(path, "PRAGMA journal_mode = WAL; CREATE TABLE notes (text)"),
    ],
    [
      "an empty database with another application's id",
      (path) => foreignDatabase(path, "PRAGMA application_id = 7"),
    ],
  ])("%s, which stays as it is", async (_name, make) => {
    const path = await newPath();
    await make(path);
    const before = await digest(path);
    await expect(openSqliteEventLog(path)).rejects.toMatchObject({ code: "not-a-turnlog-file" });
    await expect(openSqliteEventLog(path, { readOnly: true })).rejects.toMatchObject({
      code: "not-a-turnlog-file",
    });
    expect(await digest(path)).toBe(before);
  });

  it("a log of a newer format, which stays as it is", async () => {
    const path = await newPath();
    await (await openSqliteEventLog(path)).close();
    // Into the file at once: else the log's connection moves it there from the WAL, whenever it is collected.
    await foreignDatabase(path, "PRAGMA user_version = 2; PRAGMA wal_checkpoint(TRUNCATE)");
    const before = await digest(path);
    await expect(openSqliteEventLog(path)).rejects.toMatchObject({ code: "newer-format" });
    await expect(openSqliteEventLog(path, { readOnly: true })).rejects.toMatchObject({
      code: "newer-format",
    });
    expect(await digest(path)).toBe(before);
  });

  it("a log that another process upgrades while it is open takes no more appends", async () => {
    const path = await newPath();
    const log = await openSqliteEventLog(path);
    await log.append("a", [sampleEvent()], "any");
    await foreignDatabase(path, "PRAGMA user_version = 2");
    await expect(log.append("a", [sampleEvent()], "any")).rejects.toMatchObject({ code: "newer-format" });
    await log.close();
    await foreignDatabase(path, "PRAGMA user_version = 1");
    const again = await openSqliteEventLog(path);
    expect(await again.head()).toBe(0);
    await again.close();
  });
});

describe("a log opened read-only", () => {
  it("reads and follows a log that others write, and refuses to write", async () => {
    const path = await newPath();
    const writer = await openSqliteEventLog(path, { internals: { ownConnection: true } });
    await writer.append("a", sampleEvents(70), "any");
    const reader = await openSqliteEventLog(path, { readOnly: true });
    expect(await gather(reader.readAll())).toHaveLength(70);
    await writer.append("a", sampleEvents(5), "any");
    expect(await gather(reader.readStream("a", { from: 69 }))).toHaveLength(6);
    await expect(reader.append("a", [sampleEvent()], "any")).rejects.toMatchObject({ code: "read-only" });
    expect(() => reader.appendSync?.("a", [sampleEvent()], "any")).toThrow(
      expect.objectContaining({ code: "read-only" }),
    );
    await expect(reader.truncate("a", 5)).rejects.toMatchObject({ code: "read-only" });
    await Promise.all([reader.close(), writer.close()]);
  });

  it("changes neither database nor WAL", async () => {
    const path = await newPath();
    const writer = await openSqliteEventLog(path);
    await appendOneByOne(writer, "a", 100);
    const copy = crashedCopy(path, await newFolder());
    await writer.close();
    const before = [await digest(copy), await digest(`${copy}-wal`)];
    const reader = await openSqliteEventLog(copy, { readOnly: true });
    expect(await gather(reader.readAll())).toHaveLength(100);
    await reader.close();
    expect([await digest(copy), await digest(`${copy}-wal`)]).toEqual(before);
  });

  it("joins the connection of a writer in the same process", async () => {
    const path = await newPath();
    const writer = await openSqliteEventLog(path);
    const reader = await openSqliteEventLog(path, { readOnly: true });
    await writer.append("a", [sampleEvent()], "any");
    await writer.close();
    expect(await gather(reader.readAll())).toHaveLength(1);
    await expect(reader.append("a", [sampleEvent()], "any")).rejects.toMatchObject({ code: "read-only" });
    await reader.close();
  });
});

interface Outcome {
  events?: number;
  code?: string;
  writing: string;
  /** What is left in the folder of temporary files. */
  temporary: string[];
}

/** Tries a log as a user who owns nothing: root is not bound by permissions. */
async function asNobody(path: string): Promise<Outcome> {
  const script = join(import.meta.dirname, "children", "read-as-nobody.js");
  const temporary = await newFolder();
  await chmod(temporary, 0o777);
  const env = { ...process.env, TMPDIR: temporary };
  const printed = execFileSync(process.execPath, [script, path], { encoding: "utf8", env });
  return { ...(JSON.parse(printed) as Omit<Outcome, "temporary">), temporary: await readdir(temporary) };
}

describe("in a folder that cannot be written, a log", () => {
  const makeReadOnly = (folder: string): void => {
    execFileSync("chmod", ["-R", "a+rX,a-w", folder]);
  };

  it("that was closed is read, and refuses to be opened for writing", async () => {
    const path = await newPath();
    const log = await openSqliteEventLog(path);
    await log.append("a", sampleEvents(70), "any");
    await log.append("a", sampleEvents(3), "any");
    await log.close();
    const copy = join(await newFolder(), "log.db");
    execFileSync("cp", [path, copy]);
    makeReadOnly(dirname(copy));
    expect(await asNobody(copy)).toEqual({ events: 73, writing: "read-only", temporary: [] });
    expect(await readdir(dirname(copy))).toEqual(["log.db"]);
  });

  it("whose writer was killed is read with what only its WAL holds, and no copy stays behind", async () => {
    const path = await newPath();
    const log = await openSqliteEventLog(path);
    await appendOneByOne(log, "a", 73);
    const copy = crashedCopy(path, await newFolder());
    await log.close();
    const before = [await digest(copy), await digest(`${copy}-wal`)];
    makeReadOnly(dirname(copy));
    expect(await asNobody(copy)).toEqual({ events: 73, writing: "read-only", temporary: [] });
    expect([await digest(copy), await digest(`${copy}-wal`)]).toEqual(before);
  });

  it("that is not there is not made", async () => {
    const path = await newPath();
    makeReadOnly(dirname(path));
    expect(await asNobody(path)).toEqual({ code: "store-not-found", writing: "read-only", temporary: [] });
  });
});

describe("a network file system", () => {
  const place = async (type: number | undefined, readOnly: boolean): Promise<string[]> => {
    const warnings: string[] = [];
    await checkFileSystem(
      "/somewhere/log.db",
      readOnly,
      (message) => warnings.push(message),
      async () => type,
    );
    return warnings;
  };

  it.each([
    ["NFS", 0x6969],
    ["SMB2", 0xfe534d42],
    ["CIFS", 0xff534d42],
  ])("%s is refused for writing, and warned about for reading", async (name, type) => {
    await expect(place(type, false)).rejects.toMatchObject({
      code: "network-file-system",
      details: { fileSystem: name },
    });
    expect(await place(type, true)).toEqual([expect.stringContaining(name)]);
  });

  it("is warned about where it cannot be told, and not where there is none", async () => {
    expect(await place(0x65735546, false)).toEqual([expect.stringContaining("FUSE")]);
    expect(await place(0xef53, false)).toEqual([]);
    expect(await place(undefined, false)).toEqual([]);
  });
});
