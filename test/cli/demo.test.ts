import { spawnSync } from "node:child_process";
import { join } from "node:path";
import { describe, expect, it } from "@jest/globals";
import { openConversationStore } from "../../src/store/open-conversation-store.ts";
import { hasOpenssl, makeCertificate } from "../support/eventstoredb-fixture/certificate.ts";
import { FixtureNode } from "../support/eventstoredb-fixture/fixture-node.ts";
import { builtCli, runBuilt, withFolder } from "./cli-support.ts";

/** `turnlog demo`, the main job: what `npm start` runs, at a faster pace. */

const hasScript = spawnSync("script", ["--version"]).status === 0;

async function withDemoStore(
  folder: string,
  check: (store: Awaited<ReturnType<typeof openConversationStore>>) => Promise<void>,
): Promise<void> {
  const store = await openConversationStore(join(folder, "turnlog-demo.db"), { readOnly: true });
  try {
    await check(store);
  } finally {
    await store.close();
  }
}

describe("turnlog demo", () => {
  it("kills a turn in the middle, shows what survived, goes on, and can be run again", async () => {
    await withFolder(async (cwd) => {
      const { code, stdout, stderr } = await runBuilt(["demo", "--pace", "8"], { cwd });
      expect({ code, stderr }).toEqual({ code: 0, stderr: "" });
      expect(stdout).not.toMatch(/[\u0000-\u0009\u000b-\u001f\u007f-\u009f]/); // Plain lines: no terminal here.
      expect(stdout).toMatch(/✂ kill -9 \d+, .* after chunk \d+ of 255\n/);
      expect(stdout).toMatch(/deltas +\d+ +\d+\n/);
      expect(stdout).toMatch(/▸ disk_usage input-streaming: \{"/);
      expect(stdout).toContain("✔ All that the log had shown before the kill is there");
      expect(stdout).toMatch(/▸ disk_usage not-started: safe to call again\./);
      expect(stdout).toMatch(/\d+\.\d KB +in the log, \d+ events\n/);
      expect(stdout).toMatch(/\d+\.\d KB +had the whole message been saved at each change, \d+ writes\n/);
      expect(stdout).toMatch(/\d+\.\d KB +the file turnlog-demo\.db/);

      await withDemoStore(cwd, async (store) => {
        const messages = await store.listMessages("demo-1");
        expect(messages.map(({ role, status }) => [role, status])).toEqual([
          ["user", "saved"],
          ["assistant", "interrupted"],
          ["user", "saved"],
          ["assistant", "finished"],
        ]);
        expect(messages[1]?.parts.at(-1)).toMatchObject({
          kind: "tool",
          name: "disk_usage",
          state: "input-streaming",
        });
        expect(await store.unendedTurns()).toEqual([]);
      });

      // The commands that it suggests work as they stand.
      const suggested = [...stdout.matchAll(/^ {2}npx turnlog (.+?) +# /gm)].map(([, line = ""]) => line);
      expect(suggested).toHaveLength(3);
      for (const line of suggested) {
        expect(await runBuilt(line.split(" "), { cwd })).toMatchObject({ code: 0, stderr: "" });
      }
      const atCrash = suggested.find((line) => line.includes("--at")) ?? "";
      expect((await runBuilt(atCrash.split(" "), { cwd })).stdout).toMatch(/assistant open /);

      expect((await runBuilt(["demo", "--pace", "0"], { cwd })).code).toBe(0);
      await withDemoStore(cwd, async (store) => {
        expect((await store.listSessions()).map(({ id }) => id).toSorted()).toEqual(["demo-1", "demo-2"]);
      });
    });
  });

  it("uses $TURNLOG_STORE and suggests commands that rely on it", async () => {
    await withFolder(async (cwd) => {
      const env = { TURNLOG_STORE: "file:./elsewhere.db" };
      const { code, stdout } = await runBuilt(["demo", "--pace", "0"], { cwd, env });
      expect(code).toBe(0);
      expect(stdout).toMatch(/npx turnlog show demo-1 --reasoning +# /);
      expect((await runBuilt(["show", "demo-1"], { cwd, env })).code).toBe(0);
    });
  });

  it("runs on a server that $TURNLOG_STORE names, as npm start does", async () => {
    const node = await FixtureNode.start();
    const env = { TURNLOG_STORE: node.url };
    const { code, stdout, stderr } = await runBuilt(["demo", "--pace", "0"], { env });
    expect({ code, stderr }).toEqual({ code: 0, stderr: "" });
    expect(stdout).toContain(`read back from the log, ${node.url}, by another process`);
    expect(stdout).toContain("✔ All that the log had shown before the kill is there");
    expect((await runBuilt(["show", "demo-1"], { env })).stdout).toMatch(
      /assistant interrupted[^]*assistant finished/,
    );
    await node.close();
  });

  const needsTls = hasOpenssl() ? it : it.skip;
  needsTls("shows no password of a store's URL (needs openssl)", async () => {
    const made = makeCertificate();
    const { key, certificate } = made;
    const node = await FixtureNode.start({ security: { key, certificate, user: "ops", password: "secret" } });
    const url = `${node.url}&tlsCaFile=${made.file}`;
    const { code, stdout } = await runBuilt(["demo", "--pace", "0", "--store", url]);
    expect(code).toBe(0);
    expect(stdout).not.toContain("secret");
    expect(stdout).toContain("--store 'esdb://USER:PASSWORD@localhost:");
    await node.close();
    made.remove();
  });

  it("is no error for a reader that goes away, and leaves no process behind", async () => {
    await withFolder(async (cwd) => {
      const command = `"${process.execPath}" "${builtCli}" demo --pace 8 | head -5; exit "\${PIPESTATUS[0]}"`;
      // Without a time limit of its own: a child that is left behind keeps the pipe open, and this from returning.
      const { status, stdout, stderr } = spawnSync("bash", ["-c", command], { cwd, encoding: "utf8" });
      expect({ status, stderr, lines: stdout.trimEnd().split("\n").length }).toEqual({
        status: 0,
        stderr: "",
        lines: 5,
      });
    });
  });

  it("says in one line when its store cannot be used", async () => {
    await withFolder(async (cwd) => {
      const { code, stdout, stderr } = await runBuilt(["demo", "--store", cwd]);
      expect({ code, stdout }).toEqual({ code: 3, stdout: "" });
      expect(stderr).toMatch(/^turnlog: .* is no turnlog store.*\n$/);
    });
  });

  (hasScript ? it : it.skip)(
    "has colours on a terminal, unless NO_COLOR says otherwise (needs script)",
    async () => {
      await withFolder(async (cwd) => {
        const demo = `"${process.execPath}" "${builtCli}" demo --pace 0`;
        const onTerminal = (env: NodeJS.ProcessEnv): { status: number | null; stdout: string } =>
          spawnSync("script", ["-qec", demo, "/dev/null"], {
            cwd,
            encoding: "utf8",
            env: {
              ...process.env,
              TERM: "xterm-256color",
              FORCE_COLOR: undefined,
              CI: undefined, // Node takes a terminal on a build machine for one without colours.
              TURNLOG_STORE: undefined,
              ...env,
            },
          });
        const coloured = onTerminal({ NO_COLOR: undefined });
        expect(coloured.status).toBe(0);
        expect(coloured.stdout).toContain("\u001b[1m── What survived\u001b[22m");
        const plain = onTerminal({ NO_COLOR: "1" });
        expect(plain.status).toBe(0);
        expect(plain.stdout).toContain("── What survived");
        expect(plain.stdout).not.toContain("\u001b");
      });
    },
  );
});
