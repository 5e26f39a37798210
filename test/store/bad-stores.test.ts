import { type ChildProcess, execFileSync, spawn } from "node:child_process";
import { chmodSync, mkdirSync, mkdtempSync, readFileSync, readdirSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { createInterface } from "node:readline";
import { fileURLToPath } from "node:url";
import { DatabaseSync } from "@photostructure/sqlite";
import { afterEach, beforeEach, describe, expect, it } from "@jest/globals";
import { TurnlogError } from "../../src/errors.ts";
import { openConversationStore } from "../../src/store/open-conversation-store.ts";
import { checkLogIntegrity } from "../../src/testing/index.ts";

const CHILD = fileURLToPath(new URL("../crash/bad-store-child.js", import.meta.url));

let folder: string;
let path: string;
let child: ChildProcess | undefined;
beforeEach(() => {
  folder = mkdtempSync(join(tmpdir(), "turnlog-bad-"));
  path = join(folder, "conversations.db");
});
afterEach(() => {
  child?.kill("SIGKILL"); // One that a failed test left waiting.
  child = undefined;
  chmodSync(folder, 0o755);
  rmSync(folder, { recursive: true, force: true });
});

/** A good store at the path, with these messages. */
async function store(...messages: string[]): Promise<void> {
  const made = await openConversationStore(path);
  for (const message of messages) await made.saveMessage("s", "user", message);
  await made.close();
}

function sql(statement: string): void {
  const database = new DatabaseSync(path);
  database.exec(statement);
  // Into the file now: the connection of a closed store may be collected later, and would move it then.
  database.exec("PRAGMA wal_checkpoint(TRUNCATE)");
  database.close();
}

/** Demands that opening fails with this code, clearly, and changes nothing that is there. */
async function refuses(url: string, code: string, options = {}): Promise<void> {
  const files = readdirSync(folder).toSorted();
  const before = files.includes("conversations.db") ? readFileSync(path) : undefined;
  const failure = await openConversationStore(url, options).then(
    () => undefined,
    (error: unknown) => error,
  );
  expect(failure).toBeInstanceOf(TurnlogError);
  expect(failure).toMatchObject({ code, message: expect.stringMatching(/^[A-Z/].{20,}\.$/s) });
  // Nothing is added. The files of a connection that was closed before may go: the driver ends it when it is collected.
  expect(readdirSync(folder).filter((file) => !files.includes(file))).toEqual([]);
  if (before !== undefined) expect(readFileSync(path).equals(before)).toBe(true);
}

describe("a store that cannot be opened", () => {
  it.each([
    "postgres://localhost/x",
    "http://example.org",
    "sqlite:x.db",
    "",
    " ",
    ":memory:",
    "file:",
    "a\0b",
  ])("because nothing is known of %p", (url) => refuses(url, "unknown-store-url"));

  it("because it is a folder", async () => {
    mkdirSync(path);
    const failure = openConversationStore(path);
    await expect(failure).rejects.toMatchObject({ code: "not-a-turnlog-file" });
    expect(readdirSync(path)).toEqual([]);
    expect(readdirSync(folder)).toEqual(["conversations.db"]);
  });

  it.each([
    ["a text", "Dear diary,\n"],
    ["a long text", "no database ".repeat(10_000)],
    ["what begins like a database", `SQLite format 3\0${"x".repeat(5000)}`],
  ])("because its file is %s", (_what, content) => {
    writeFileSync(path, content);
    return refuses(path, "not-a-turnlog-file");
  });

  it("because its file is another program's database", () => {
    sql("CREATE TABLE recipes (name TEXT); INSERT INTO recipes VALUES ('soup')");
    return refuses(path, "not-a-turnlog-file");
  });

  it("because its format is of a newer turnlog", async () => {
    await store("kept");
    sql("PRAGMA user_version = 1000");
    await refuses(path, "newer-format");
    await refuses(path, "newer-format", { readOnly: true });
  });

  it("because its folder is not there", () => refuses(join(folder, "none", "a.db"), "store-not-found"));

  it("because it is only to be read and is not there", () =>
    refuses(path, "store-not-found", { readOnly: true }));
});

/** The lines that the child prints, parsed; it may be spoken to on its standard input. */
async function* reportsOf(child: ChildProcess): AsyncGenerator<Record<string, unknown>> {
  const ended = new Promise((resolve) => child.once("exit", resolve));
  for await (const line of createInterface({ input: child.stdout! })) yield JSON.parse(line);
  expect(await ended).toBe(0);
}

describe("a store that cannot be written", () => {
  const cases: [what: string, folderMode: number, fileMode: number][] = [
    ["whose file is read-only", 0o777, 0o444],
    ["whose folder is read-only", 0o555, 0o666],
    ["of which both are", 0o555, 0o444],
  ];

  it.each(cases)(
    "%s says so, is read all the same, and is not changed",
    async (_what, folderMode, fileMode) => {
      await store("one", "two");
      writeFileSync(`${path}.warm`, "");
      rmSync(`${path}.warm`);
      const before = readFileSync(path);
      for (const name of readdirSync(folder)) chmodSync(join(folder, name), fileMode);
      chmodSync(folder, folderMode);
      child = spawn(process.execPath, [CHILD, "withoutRights", path], {
        stdio: ["ignore", "pipe", "inherit"],
      });
      const reports: unknown[] = [];
      for await (const report of reportsOf(child)) reports.push(report);
      expect(reports).toEqual([
        { writable: "read-only" },
        { contents: ["one", "two"], sessions: 1 },
        { saving: "read-only" },
        { turn: "read-only" },
        { recovering: [] },
        { contents: ["one", "two"] },
      ]);
      expect(readFileSync(path).equals(before)).toBe(true);
    },
  );
});

const canLimit = ((): boolean => {
  try {
    execFileSync("prlimit", ["--version"], { stdio: "ignore" });
    return process.platform === "linux";
  } catch {
    return false;
  }
})();

describe("a store without room", () => {
  // prlimit (util-linux) is the way to give a running process room again without the rights to mount a disk.
  (canLimit ? it : it.skip)(
    "says so, keeps what it had acknowledged, and goes on when there is room again",
    async () => {
      const limited = 'ulimit -S -f 400; exec "$@"';
      child = spawn("bash", ["-c", limited, "bash", process.execPath, CHILD, "untilFull", path], {
        stdio: ["pipe", "pipe", "inherit"],
      });
      const reports = reportsOf(child);
      const next = async (): Promise<Record<string, unknown>> => (await reports.next()).value ?? {};
      const full = await next();
      const saved = Number(full["saved"]);
      const numbered = (count: number): unknown[] =>
        Array.from({ length: count }, (_, index) => expect.stringMatching(`^${index} `));
      expect(saved).toBeGreaterThan(0);
      expect(full).toEqual({ saved, failure: "disk-full", contents: numbered(saved) });
      expect(await next()).toEqual({ turn: "disk-full", finish: "disk-full" });
      execFileSync("prlimit", ["--pid", String(child.pid), "--fsize=unlimited"]);
      child.stdin!.write("go on\n");
      expect(await next()).toEqual({ id: "number" });
      expect(await next()).toEqual({
        contents: numbered(saved + 1),
        answer: [{ kind: "text", text: "kept" }],
      });
      expect((await reports.next()).done).toBe(true);

      const again = await openConversationStore(path);
      expect(await again.countMessages("s")).toBe(saved + 1);
      expect(await again.lastAssistantMessage("t")).toMatchObject({
        status: "failed",
        parts: [{ text: "kept" }],
      });
      await checkLogIntegrity(again.log);
      await again.close();
    },
  );
});
