import { spawn, spawnSync } from "node:child_process";
import { once } from "node:events";
import { readFileSync, readdirSync } from "node:fs";
import { readdir } from "node:fs/promises";
import { join } from "node:path";
import { fileURLToPath } from "node:url";
import { describe, expect, it } from "@jest/globals";
import { openConversationStore } from "../../src/store/open-conversation-store.ts";
import { builtCli, run, runBuilt, streamOf, withFolder, withStoreFile } from "./cli-support.ts";

/** The compiled command, in processes of its own (`npm run build` first; `npm test` does). */

const samples = fileURLToPath(new URL("../samples/", import.meta.url));

describe("the built command", () => {
  it.each(readdirSync(samples))("records the sample %s and shows what the summary says", async (name) => {
    await withFolder(async (cwd) => {
      const input = readFileSync(join(samples, name), "utf8");
      const recorded = await runBuilt(["record", "s", "--json"], { input, cwd });
      const summary = JSON.parse(recorded.stdout) as { outcome: string; parts: number; messageId: number };
      const failed = name.includes("error");
      expect(recorded.code).toBe(failed ? 1 : 0);
      expect(summary.outcome).toBe(failed ? "failed" : "finished");
      const { stdout } = await run(["show", "s", "--json", "--store", join(cwd, "turnlog.db")]);
      const { messages } = JSON.parse(stdout) as { messages: { id: number; parts: unknown[] }[] };
      expect(messages.map(({ id, parts }) => [id, parts.length])).toEqual([
        [summary.messageId, summary.parts],
      ]);
    });
  });

  it("loads no database and no schemas for help and for wrong usage", () => {
    for (const args of [["--help"], ["show", "--help"], ["--version"], ["shwo"]]) {
      const { stderr } = spawnSync(process.execPath, [builtCli, ...args], {
        env: { ...process.env, NODE_DEBUG: "esm" },
        encoding: "utf8",
      });
      expect(stderr).not.toMatch(/node_modules\/(zod|rxjs|@photostructure)/);
    }
  });

  it("reading leaves a store's content as it was and makes nothing where there is none", async () => {
    await withStoreFile(
      (store) => store.saveMessage("s", "user", "hi"),
      async (path) => {
        const before = readFileSync(path);
        for (const args of [["sessions"], ["show", "last"], ["events", "last"]]) {
          expect(await runBuilt([...args, "--store", path])).toMatchObject({ code: 0, stderr: "" });
        }
        expect(readFileSync(path).equals(before)).toBe(true);
      },
    );
    await withFolder(async (cwd) => {
      for (const args of [["sessions"], ["show", "last"], ["events", "last"]]) {
        expect(await runBuilt(args, { cwd })).toMatchObject({ code: 3 });
      }
      expect(await readdir(cwd)).toEqual([]);
    });
  });

  it("reads while a writer is at work, and sees what it has acknowledged", async () => {
    await withFolder(async (folder) => {
      const path = join(folder, "store.db");
      const store = await openConversationStore(path);
      try {
        const turn = await store.beginTurn("live", { user: "hi" });
        void turn.textDelta("so far");
        await turn.flush();
        const { stdout } = await runBuilt(["show", "last", "--store", path]);
        expect(stdout).toMatch(/assistant open .*\n {2}so far\n/);
        void turn.textDelta(", and on");
        await turn.finish();
      } finally {
        await store.close();
      }
      expect((await runBuilt(["show", "last", "--store", path])).stdout).toContain("so far, and on");
    });
  });

  it.each([["events"], ["events", "--json"], ["show", "--all"], ["show", "--json"]])(
    "%s takes a reader that goes away for no error",
    async (command, ...flags) => {
      await withStoreFile(
        async (store) => {
          // More than a pipe holds.
          for (let n = 0; n < 1000; n++) void store.saveMessage("s", "user", `${n} ${"x".repeat(500)}`);
        },
        async (path) => {
          const child = spawn(process.execPath, [builtCli, command, "s", ...flags, "--store", path]);
          const stderr: string[] = [];
          child.stderr.setEncoding("utf8").on("data", (text: string) => stderr.push(text));
          child.stdout.once("data", () => child.stdout.destroy());
          const [code] = (await once(child, "close")) as [number | null];
          expect({ code, stderr: stderr.join("") }).toEqual({ code: 0, stderr: "" });
        },
      );
    },
  );

  it.each([
    ["SIGINT", 130],
    ["SIGTERM", 143],
  ] as const)("%s ends the turn as aborted, keeps what came, and exits %d", async (signal, expected) => {
    await withFolder(async (cwd) => {
      const child = spawn(process.execPath, [builtCli, "record", "s", "--json"], {
        cwd,
        env: { ...process.env, TURNLOG_STORE: undefined },
      });
      const closed = once(child, "close");
      const printed: string[] = [];
      child.stdout.setEncoding("utf8").on("data", (text: string) => printed.push(text));
      child.stdin.write(streamOf("one two three").split("\n").slice(0, 4).join("\n") + "\n");
      // Its stdin stays open and silent, as a model's stream that hangs.
      await untilShown(cwd, "two");
      child.kill(signal);
      const [code] = (await closed) as [number | null];
      expect(code).toBe(expected);
      expect(JSON.parse(printed.join(""))).toMatchObject({
        outcome: "aborted",
        error: { message: `stopped by ${signal}` },
      });
      const { stdout } = await runBuilt(["show", "s"], { cwd });
      expect(stdout).toMatch(/assistant aborted .*\n {2}one two\n/);
    });
  });

  it("shows where a failure comes from when asked", async () => {
    await withFolder(async (cwd) => {
      const env = { TURNLOG_DEBUG: "1" };
      const { code, stderr } = await runBuilt(["sessions", "--store", cwd], { env });
      expect(code).toBe(3);
      expect(stderr).toMatch(/^turnlog: StoreError: .*\n +at /);
    });
  });
});

/** Polls: the condition lies in another process. The test's own time limit ends it. */
async function untilShown(cwd: string, text: string): Promise<void> {
  for (;;) {
    const { stdout } = await run(["show", "s", "--store", join(cwd, "turnlog.db")]);
    if (stdout.includes(text)) return;
  }
}
