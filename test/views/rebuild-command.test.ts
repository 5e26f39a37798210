import { spawn } from "node:child_process";
import { once } from "node:events";
import { join } from "node:path";
import { describe, expect, it } from "@jest/globals";
import { builtCli, run } from "../cli/cli-support.ts";
import { tempFolders } from "../log/sqlite/temp-folder.ts";
import { updated } from "../support/conversation-history.ts";
import { asForeign } from "../support/faulty-store.ts";
import { expectRebuilt, makeHistory, project, withLog, withViews } from "./support/histories.ts";

const newFolder = tempFolders();

async function newLog(): Promise<string> {
  const path = join(await newFolder(), "log.db");
  await makeHistory(path, 31, 40);
  await project(path);
  return path;
}

const forgeOneMessage = (path: string): Promise<void> =>
  withViews(path, (views) =>
    views.database.exec(
      "UPDATE messages_1 SET content = 'forged' WHERE id = (SELECT max(id) FROM messages_1)",
    ),
  );

describe("turnlog rebuild", () => {
  it("rebuilds, compares, and says so", async () => {
    const path = await newLog();
    const { code, stdout, stderr } = await run(["rebuild", "--store", path]);
    expect({ code, stderr }).toEqual({ code: 0, stderr: "" });
    expect(stdout).toMatch(/^[\d,]+ events up to position [\d,]+ in .* events\/s\)\.$/m);
    expect(stdout).toMatch(/^The same as before: \d+ sessions?, \d+ messages?\.$/m);
    expect(stdout).toMatch(/^The new views are in service\.$/m);
    await expectRebuilt(path);
  });

  it("prints what is different and exits with 1 in a dry run, which changes nothing", async () => {
    const path = await newLog();
    await forgeOneMessage(path);
    const dry = await run(["rebuild", "--dry-run", "--quiet", "--store", path]);
    expect(dry.code).toBe(1);
    expect(dry.stdout).toMatch(/^Different: 1 of \d+ sessions/m);
    expect(dry.stdout).toMatch(/the row of message \d+ is not what its checksum says/);
    expect((await run(["rebuild", "--quiet", "--store", path])).code).toBe(0);
    expect(await run(["rebuild", "--dry-run", "--quiet", "--store", path])).toEqual({
      code: 0,
      stdout: "",
      stderr: "",
    });
  });

  it("prints JSON lines", async () => {
    const path = await newLog();
    const { stdout } = await run(["rebuild", "--json", "--store", path]);
    const lines = stdout
      .trim()
      .split("\n")
      .map((line) => JSON.parse(line) as { kind: string });
    expect(lines.slice(0, -1).every(({ kind }) => kind === "progress")).toBe(true);
    expect(lines.at(-1)).toEqual({
      kind: "report",
      session: null,
      ceiling: expect.any(Number),
      position: expect.any(Number),
      resumedFrom: null,
      startedAnew: null,
      events: expect.any(Number),
      buildMs: expect.any(Number),
      elapsedMs: expect.any(Number),
      setAside: [],
      verification: expect.objectContaining({ differingSessions: 0 }),
      isInService: true,
    });
  });

  it("rebuilds one session; an unknown one is 3, a wrong name 2", async () => {
    const path = await newLog();
    await forgeOneMessage(path);
    for (const session of ["a", "b 😀", "a/1"])
      expect((await run(["rebuild", session, "--quiet", "--store", path])).code).toBe(0);
    await expectRebuilt(path);
    expect(await run(["rebuild", "nobody", "--store", path])).toMatchObject({
      code: 3,
      stderr: expect.stringContaining('no session "nobody"'),
    });
    expect((await run(["rebuild", "", "--store", path])).code).toBe(2);
    expect((await run(["rebuild", "--store", `${path}.none`])).code).toBe(3);
  });

  it("names the event that cannot be folded, in one line; --skip-poison goes on without its session", async () => {
    const path = await newLog();
    await withLog(path, (log) =>
      log.append("conversation-bad", asForeign(updated(99_999, { length: 3 })), "any"),
    );
    const failed = await run(["rebuild", "--store", path]);
    expect(failed).toMatchObject({ code: 1, stdout: "" });
    expect(failed.stderr.trim().split("\n")).toHaveLength(1);
    expect(failed.stderr).toMatch(
      /BranchesUpdated at revision 0 of stream "conversation-bad".*--skip-poison/,
    );
    const skipped = await run(["rebuild", "--skip-poison", "--store", path]);
    expect(skipped).toMatchObject({ code: 1, stderr: expect.stringMatching(/set aside: "bad"/) });
  });

  it("stops in order at Ctrl-C, and the next one goes on", async () => {
    const path = await newLog();
    await makeHistory(path, 32, 60);
    for (let round = 0; round < 3; round++) {
      const child = spawn(process.execPath, [builtCli, "rebuild", "--json", "--store", path], {
        stdio: ["ignore", "ignore", "inherit"],
      });
      setImmediate(() => child.kill("SIGINT"));
      const [code, signal] = (await once(child, "exit")) as [number | null, string | null];
      expect([0, 130, "SIGINT"]).toContain(code ?? signal);
    }
    expect((await run(["rebuild", "--store", path])).code).toBe(0);
    await expectRebuilt(path);
  });

  it("refuses a module that exports no such projection", async () => {
    const path = await newLog();
    const module = join(import.meta.dirname, "../../examples/tool-usage-per-day/tool-usage.js");
    expect(await run(["rebuild", "--projection", `${module}.none`, "--store", path])).toMatchObject({
      code: 2,
      stderr: expect.stringContaining("cannot be loaded"),
    });
  });
});
