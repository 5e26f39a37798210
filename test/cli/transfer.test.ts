import { spawn } from "node:child_process";
import { once } from "node:events";
import { readFileSync, readdirSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { text } from "node:stream/consumers";
import { createGzip, gunzipSync } from "node:zlib";
import { describe, expect, it } from "@jest/globals";
import { builtCli, fillChat, run, runBuilt, withFolder, withStoreFile } from "./cli-support.ts";

/** The commands export, import and copy; what they transfer is specified in test/forensics/transfer*. */

/** What fillChat writes: a writer's beginning and end, a block of ids, and the session's. */
const EVENTS = 12;

const shown = async (store: string): Promise<string> =>
  (await run(["show", "chat", "--json", "--store", store])).stdout;

async function withChat(
  use: (store: string, beside: (name: string) => string) => Promise<void>,
): Promise<void> {
  await withFolder((folder) => withStoreFile(fillChat, (store) => use(store, (name) => join(folder, name))));
}

describe("turnlog export and import", () => {
  it("write a file and make a store of it, and say what they did", () =>
    withChat(async (store, beside) => {
      const file = beside("chat.jsonl");
      const exported = await run(["export", "--out", file, "--store", store]);
      expect(exported).toEqual({ code: 0, stderr: "", stdout: `${EVENTS} events exported.\n` });
      expect(await run(["export", "--out", file, "--store", store])).toMatchObject({
        code: 0,
        stdout: `0 events exported; ${EVENTS} were there already.\n`,
      });
      const copy = beside("copy.db");
      expect(await run(["import", file, "--store", copy])).toEqual({
        code: 0,
        stderr: "",
        stdout: `${EVENTS} events appended, of 1 session.\n`,
      });
      expect(await run(["import", file, "--store", copy])).toMatchObject({
        stdout: `0 events appended, of 1 session; ${EVENTS} were there already.\n`,
      });
      expect(await shown(copy)).toBe(await shown(store));
    }));

  it("go on with an export that was cut short", () =>
    withChat(async (store, beside) => {
      const file = beside("chat.jsonl");
      await run(["export", "--out", file, "--store", store]);
      const whole = readFileSync(file, "utf8");
      writeFileSync(file, whole.slice(0, whole.length / 2));
      const { stdout } = await run(["export", "--out", file, "--json", "--store", store]);
      const told = JSON.parse(stdout) as { exported: number; alreadyThere: number };
      expect(told).toEqual({ file, exported: EVENTS - told.alreadyThere, alreadyThere: expect.any(Number) });
      expect(told.alreadyThere).toBeGreaterThan(0);
      expect(readFileSync(file, "utf8")).toBe(whole);
    }));

  it("tell with --json, and print nothing with --quiet", () =>
    withChat(async (store, beside) => {
      const { stdout: lines } = await run(["export", "--store", store]);
      const imported = await run(["import", "--json", "--store", beside("a.db")], { input: lines });
      expect(JSON.parse(imported.stdout)).toEqual({
        sourceLogId: (JSON.parse(lines.split("\n")[0] ?? "") as { logId: string }).logId,
        targetLogId: expect.any(String),
        sessions: 1,
        appended: EVENTS,
        alreadyThere: 0,
        renewedSessions: [],
      });
      const quiet = await run(["import", "-", "--quiet", "--store", beside("b.db")], { input: lines });
      expect(quiet).toEqual({ code: 0, stdout: "", stderr: "" });
      expect(await shown(beside("b.db"))).toBe(await shown(store));
    }));

  it("stop at a damaged line, with its number and what to think of it", () =>
    withChat(async (store, beside) => {
      const { stdout } = await run(["export", "--store", store]);
      const damaged = stdout.replace(/("revision":3,.*?)Let/, "$1LET");
      const target = beside("target.db");
      expect(await run(["import", "--store", target], { input: damaged })).toEqual({
        code: 1,
        stdout: "",
        stderr: expect.stringMatching(
          /^turnlog: Line \d+ of the export is damaged: its checksum is wrong\.\n$/,
        ),
      });
      expect(await run(["import", "--store", target], { input: stdout })).toMatchObject({ code: 0 });
      expect(await shown(target)).toBe(await shown(store));
    }));

  it("print what a terminal cannot act on, and what reads back the same", () =>
    withStoreFile(
      (store) => store.saveMessage("s", "user", "\u001b[2J \u009b31m \u202e \ud83d \0"),
      (store) =>
        withFolder(async (folder) => {
          const { stdout } = await run(["export", "--store", store]);
          expect(stdout).toMatch(/^[\x20-\x7e\n]*$/);
          const target = join(folder, "target.db");
          await run(["import", "--store", target], { input: stdout });
          const [before, after] = [store, target].map((each) =>
            run(["show", "s", "--json", "--store", each]),
          );
          expect((await after)?.stdout).toBe((await before)?.stdout);
        }),
    ));

  it("make nothing where there is nothing to make it of, and overwrite nothing that is no export", () =>
    withChat(async (store, beside) => {
      const none = beside("none.db");
      const empty = beside("empty.db");
      for (const [args, code, stderr] of [
        [["import", beside("none.jsonl"), "--store", none], 3, /cannot be read/],
        [["import", store, "--store", none], 1, /Line 1 of the export is damaged/],
        [["export", "--store", none], 3, /There is no store/],
        [["export", "--session", "none", "--store", store], 3, /no session "none"/],
        [
          ["export", "--session", "none", "--out", beside("x.jsonl"), "--store", store],
          3,
          /no session "none"/,
        ],
        [["copy", none, empty], 3, /There is no store/],
        [["copy", store, none, "--session", "none"], 3, /no session "none"/],
        [["export", "--out", store, "--store", store], 2, /is no export; it was not overwritten/],
        [["export", "--out", beside(""), "--store", store], 3, /cannot be written/],
        [["copy", store], 2, /missing required argument 'to'/],
        [["copy", store, none, "--as", "x"], 2, /select it with --session/],
        [["copy", store, none, "--session", "", "--as", "x"], 2, /A session id is/],
        [["export", "--since", "12", "--store", store], 2, /--since takes a time/],
      ] as const) {
        expect(await run(args)).toEqual({ code, stdout: "", stderr: expect.stringMatching(stderr) });
      }
      expect(readdirSync(beside(""))).toEqual([]);
    }));
});

describe("turnlog copy", () => {
  it("copies a session under another name, and says that its messages have new ids", () =>
    withChat(async (store, beside) => {
      const target = beside("target.db");
      const args = ["copy", store, target, "--session", "chat", "--as", "chat of old"];
      const { code, stdout } = await run(args);
      expect(code).toBe(0);
      expect(stdout).toMatch(/events appended, of 1 session\.\n.*new ones in 1 session: "chat of old"\.\n$/);
      expect((await run(["sessions", "--store", target])).stdout).toContain("chat of old");
    }));

  it("refuses a session that has another history, exit 1", () =>
    withChat(async (store, beside) => {
      const other = beside("other.db");
      await run(["record", "chat", "--store", other], { input: "" });
      const { code, stdout, stderr } = await run(["copy", store, other]);
      expect({ code, stdout }).toEqual({ code: 1, stdout: "" });
      expect(stderr).toMatch(/a session "chat" with another history.*--as/);
    }));
});

describe("the built commands in a pipe", () => {
  it("export | gzip > FILE, and zcat FILE | import", () =>
    withChat(async (store, beside) => {
      const child = spawn(process.execPath, [builtCli, "export", "--store", store]);
      const chunks: Buffer[] = [];
      for await (const chunk of child.stdout.pipe(createGzip())) chunks.push(chunk as Buffer);
      const target = beside("target.db");
      const input = gunzipSync(Buffer.concat(chunks)).toString();
      const { code, stdout } = await runBuilt(["import", "--store", target], { input });
      expect({ code, stdout }).toEqual({ code: 0, stdout: `${EVENTS} events appended, of 1 session.\n` });
      expect(await shown(target)).toBe(await shown(store));
    }));

  it("takes a reader that goes away for no error", () =>
    withStoreFile(
      async (store) => {
        for (let n = 0; n < 500; n++) void store.saveMessage("s", "user", `${n} ${"x".repeat(1000)}`);
      },
      async (path) => {
        const child = spawn(process.execPath, [builtCli, "export", "--store", path]);
        const stderr = text(child.stderr);
        child.stdout.once("data", () => child.stdout.destroy());
        const [code] = (await once(child, "close")) as [number | null];
        expect({ code, stderr: await stderr }).toEqual({ code: 0, stderr: "" });
      },
    ));

  it("is stopped by Ctrl-C in order, and goes on", () =>
    withStoreFile(
      async (store) => {
        for (let n = 0; n < 1500; n++) void store.saveMessage("chat", "user", String(n));
      },
      (store) =>
        withFolder(async (folder) => {
          const target = join(folder, "target.db");
          const { stdout } = await run(["export", "--store", store]);
          const child = spawn(process.execPath, [builtCli, "import", "--store", target]);
          const lines = stdout.split("\n");
          child.stdin.write(`${lines.slice(0, 1200).join("\n")}\n`);
          // It has begun once something is there; then it waits for more.
          while ((await run(["events", "chat", "--limit", "1", "--store", target])).code !== 0);
          child.kill("SIGINT");
          child.stdin.end(lines.slice(1200).join("\n"));
          const [code] = (await once(child, "close")) as [number | null];
          expect(code).toBe(130);
          expect(await run(["import", "--store", target], { input: stdout })).toMatchObject({ code: 0 });
          expect(await shown(target)).toBe(await shown(store));
        }),
    ));
});
