import { readdir, stat, writeFile } from "node:fs/promises";
import { join } from "node:path";
import { describe, expect, it } from "@jest/globals";
import type { ConversationStore } from "../../src/store/conversation-store.ts";
import { run, withFolder, withStoreFile } from "./cli-support.ts";

describe("bad stores", () => {
  const reading = [["sessions"], ["show", "last"], ["events", "last"]];

  it.each(reading)("%s makes no store where there is none", async (...args) => {
    await withFolder(async (folder) => {
      const { code, stdout, stderr } = await run([...args, "--store", join(folder, "none.db")]);
      expect({ code, stdout }).toEqual({ code: 3, stdout: "" });
      expect(stderr).toMatch(/^turnlog: There is no store at .*none\.db.*\n$/);
      expect(await readdir(folder)).toEqual([]);
    });
  });

  it.each([...reading, ["record", "s"]])(
    "%s refuses a folder and a text file, and leaves them alone",
    async (...args) => {
      await withFolder(async (folder) => {
        const file = join(folder, "notes.txt");
        await writeFile(file, "not a store\n".repeat(500));
        const { mtimeMs } = await stat(file);
        for (const store of [folder, file]) {
          const { code, stderr } = await run([...args, "--store", store]);
          expect({ code, stderr }).toEqual({
            code: 3,
            stderr: expect.stringMatching(/^turnlog: .* is no turnlog store.*\n$/),
          });
        }
        expect((await stat(file)).mtimeMs).toBe(mtimeMs);
        expect(await readdir(folder)).toEqual(["notes.txt"]);
      });
    },
  );

  it("says which URLs there are", async () => {
    const { code, stderr } = await run(["sessions", "--store", "http://example.org/"]);
    expect({ code, stderr }).toEqual({
      code: 2,
      stderr: expect.stringMatching(/scheme http: is unknown.*esdb/),
    });
  });
});

describe("what a command prints of strangers' text", () => {
  const evil = "\u001b]0;owned\u0007\u009b31m\u202e\r\u2028\u200b";

  it("never acts on a terminal: contents, names, titles, errors, JSON", async () => {
    const fillEvil = async (store: ConversationStore): Promise<void> => {
      await store.saveMessage("s\u202e", "user", `text ${evil}`);
      await store.updateSession("s\u202e", { title: `title ${evil}` });
      const turn = await store.beginTurn("s\u202e", { model: evil });
      void turn.reasoningDelta(evil);
      void turn.toolCall({ toolId: "t", name: `tool ${evil}`, input: evil });
      void turn.toolError("t", evil);
      void turn.source({ url: `https://x/${evil}` });
      await turn.fail({ message: evil, code: evil });
    };
    await withStoreFile(fillEvil, async (store) => {
      for (const args of [
        ["sessions"],
        ["sessions", "--json"],
        ["show", "last", "--reasoning"],
        ["show", "last", "--json"],
        ["events", "last"],
        ["events", "last", "--json"],
        ["show", `no\u202esuch`],
        ["show", "last", "--at", evil],
        ["sho\u001bw"],
        ["show", "last", `--\u009bx`],
      ]) {
        const { stdout, stderr } = await run([...args, "--store", store]);
        expect(stdout + stderr).not.toBe("");
        expect(stdout + stderr).not.toMatch(/[\u0000-\u0009\u000b-\u001f\u007f-\u009f\u200b\u2028-\u202e]/);
      }
    });
  });
});

describe("usage", () => {
  it.each([
    [["shwo"], "turnlog: unknown command 'shwo' (Did you mean show?)\n"],
    [["show", "s", "--stoer", "x"], "turnlog: unknown option '--stoer' (Did you mean --store?)\n"],
    [["show"], "turnlog: missing required argument 'session' (turnlog --help shows what there is)\n"],
    [
      ["sessions", "--limit", "many"],
      "turnlog: option '--limit <n>' argument 'many' is invalid. It must be an integer from 0. (turnlog --help shows what there is)\n",
    ],
    [["record", "s", "--pace", "-1"], expect.stringMatching(/--pace.*milliseconds/)],
    [["record", "s", "--protocol", "smtp"], expect.stringMatching(/Allowed choices are auto, openai-chat/)],
    [["show", "s", "--at", "noon"], expect.stringMatching(/"noon" is no point/)],
    [["show", "s", "extra"], expect.stringMatching(/too many arguments/)],
    [["demo", "--store", "memory:"], expect.stringMatching(/two processes/)],
  ])("%j is refused in one line with exit 2", async (args, stderr) => {
    const result = await run(args);
    expect(result).toEqual({ code: 2, stdout: "", stderr });
    expect(result.stderr.trimEnd()).not.toContain("\n");
  });

  it("prints help and the version on stdout", async () => {
    const { version } = (await import("../../package.json", { with: { type: "json" } })).default as {
      version: string;
    };
    expect(await run(["--version"])).toEqual({ code: 0, stdout: `${version}\n`, stderr: "" });
    for (const command of ["record", "sessions", "show", "events", "demo"]) {
      const help = await run([command, "--help"]);
      expect(help).toMatchObject({ code: 0, stderr: "" });
      expect(help.stdout).toMatch(new RegExp(`^Usage: turnlog ${command} `));
      expect(help.stdout).toMatch(new RegExp(`Examples?:\\n( +\\$ .*\\n)* +\\$ .*turnlog ${command} `));
      expect((await run(["help", command])).stdout).toBe(help.stdout);
      expect((await run(["--help"])).stdout).toMatch(new RegExp(`^  ${command} `, "m"));
    }
  });

  it("without a command shows help on stderr and exits 2", async () => {
    expect(await run([])).toMatchObject({ code: 2, stdout: "", stderr: expect.stringMatching(/^Usage: /) });
  });
});
