import { spawn } from "node:child_process";
import { join } from "node:path";
import { createInterface } from "node:readline";
import { describe, expect, it } from "@jest/globals";
import { rebuildViews } from "../../src/projections/rebuild.ts";
import { tempFolders } from "../log/sqlite/temp-folder.ts";
import { dump, expectRebuilt, makeHistory, project, withLog, withViews } from "./support/histories.ts";
import { allEvents, expectExactRows } from "./support/views-world.ts";

const newFolder = tempFolders();
const KILLS = process.env["TURNLOG_TEST_LONG"] === undefined ? 12 : 200;
const CHILDREN = join(import.meta.dirname, "children");

/** Runs a child until it has written so many lines, kills it `afterMs` later, and returns its last line. */
async function runAndKill(script: string, args: string[], lines: number, afterMs: number): Promise<string> {
  const child = spawn(process.execPath, [join(CHILDREN, script), ...args], {
    stdio: ["ignore", "pipe", "inherit"],
  });
  let count = 0;
  let last = "";
  for await (const line of createInterface({ input: child.stdout })) {
    last = line;
    // The delay only scatters the moment between two reports; nothing waits for it.
    if (++count === lines) setTimeout(() => child.kill("SIGKILL"), afterMs);
  }
  return last;
}

/** Whatever is in service is exact, and nothing is half swapped. Returns the generation in service. */
async function expectSound(path: string): Promise<number> {
  const events = await withLog(path, allEvents);
  return withViews(path, (views) => {
    const current = views.records().filter(({ state }) => state === "current");
    expect(current).toHaveLength(1);
    const generation = current[0]?.generation ?? 0;
    expectExactRows(views, generation, events);
    return generation;
  });
}

describe("a rebuild that is killed", () => {
  it(
    `goes on from what it has written, and ends equal to one that was not, in ${KILLS} kills`,
    async () => {
      const path = join(await newFolder(), "log.db");
      await makeHistory(path, 21, 120);
      await project(path);
      const expected = await dump(path);
      const head = await withLog(path, (log) => log.head());
      let swapped = await expectSound(path);
      let finished = 0;
      let resumed = 0;
      for (let kill = 0; kill < KILLS; kill++) {
        const batchEvents = 3 + (kill % 7);
        const lines = 1 + ((kill * 5) % (Math.ceil(head / batchEvents) + 2));
        const building = await withViews(path, (views) =>
          views.records().find(({ state }) => state === "building"),
        );
        // Every other one dies by itself, since a kill from outside may come too late on a busy machine.
        const last =
          kill % 2 === 0
            ? await runAndKill("rebuilding-process.js", [path, `${batchEvents}`, `${1 + (kill % 3)}`], 0, 0)
            : await runAndKill("rebuilding-process.js", [path, `${batchEvents}`], lines, kill % 5);
        if (last.startsWith("done")) finished++;
        if (building !== undefined && building.checkpoint.position >= 0) resumed++;
        const current = await expectSound(path);
        if (current !== swapped) swapped = current;
        expect(await dump(path)).toEqual(expected);
      }
      expect(KILLS - finished).toBeGreaterThan(KILLS / 3);
      expect(resumed).toBeGreaterThan(KILLS / 4);
      const { verification } = await rebuildViews(path);
      expect(verification).toMatchObject({ differingSessions: 0, differingMessages: 0 });
      await expectRebuilt(path);
      expect(await dump(path)).toEqual(expected);
    },
    KILLS * 30_000,
  );
});

describe("a projector that is killed", () => {
  const kills = KILLS / 2;

  it(
    `leaves exact rows and an honest checkpoint, from which another process goes on, in ${kills} kills`,
    async () => {
      const path = join(await newFolder(), "log.db");
      for (let kill = 0; kill < kills; kill++) {
        const last = await runAndKill(
          "projecting-process.js",
          [path, `s${kill % 4}`],
          2 + ((kill * 7) % 40),
          kill % 4,
        );
        expect(Number(last)).toBeGreaterThanOrEqual(0);
        await expectSound(path);
      }
      await project(path);
      await expectRebuilt(path);
    },
    kills * 60_000,
  );
});
