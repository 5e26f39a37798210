import { readFileSync, readdirSync } from "node:fs";
import { dirname, join } from "node:path";
import { describe, expect, it } from "@jest/globals";
import { openConversationStore } from "../../src/store/open-conversation-store.ts";
import { type CliResult, run, runBuilt, withFolder, withStoreFile } from "../cli/cli-support.ts";
import { scriptNight, scriptTurn } from "./autopsy-support.ts";
import { startScenario, untilDead } from "./zoo-support.ts";

/** `turnlog autopsy` and `turnlog repair` as commands: exits, shapes, and that looking changes nothing. */

const elsewhere = { bootId: "another boot" };

interface Repaired {
  dryRun: boolean;
  repaired: { sessionId: string; revision: number | null; tools?: object[] }[];
  refused: { sessionId: string; writer: { verdict: string } }[];
  damage: object[];
}

async function repair(path: string, ...args: string[]): Promise<CliResult & { report: Repaired }> {
  const result = await run(["repair", ...args, "--json", "--store", path]);
  return { ...result, report: JSON.parse(result.stdout) as Repaired };
}

/** Every byte of the store's files but of those that readers share a lock by. */
function contentOf(path: string): Map<string, Buffer> {
  const folder = dirname(path);
  const names = readdirSync(folder).filter((name) => !name.endsWith("-shm"));
  return new Map(
    names
      .map((name) => [name, readFileSync(join(folder, name))] as const)
      .filter(([, { length }]) => length > 0),
  );
}

describe("turnlog autopsy", () => {
  it("exits 0 for a store without unended turns, 1 for a crashed one, 3 where there is no store", async () => {
    await withStoreFile(
      (store) => store.saveMessage("s", "user", "hi"),
      async (path) => {
        const { code, stdout } = await run(["autopsy", "--store", path]);
        expect({ code, stdout }).toEqual({ code: 0, stdout: "CLEAN  every turn that began has ended\n" });
      },
    );
    await withStoreFile(scriptNight, async (path) => {
      for (const args of [[], ["last"], ["support-42"], ["--json"]])
        expect(await run(["autopsy", ...args, "--store", path])).toMatchObject({ code: 1, stderr: "" });
      expect(await run(["autopsy", "no-such", "--store", path])).toMatchObject({ code: 3, stdout: "" });
    });
    await withFolder(async (folder) => {
      const path = join(folder, "none.db");
      for (const args of [["autopsy"], ["repair", "--all"], ["stats"], ["tail"]])
        expect(await run([...args, "--store", path])).toMatchObject({ code: 3, stdout: "" });
      expect(readdirSync(folder)).toEqual([]);
    });
  });

  it("takes ages and times for --since, and refuses what is none", async () => {
    await withStoreFile(scriptNight, async (path) => {
      const since = (time: string): Promise<CliResult> => run(["autopsy", "--since", time, "--store", path]);
      expect(await since("2026-11-24T02:13:02Z")).toMatchObject({ code: 1 });
      expect(await since("2026-11-24T02:13:03Z")).toMatchObject({ code: 0 });
      for (const bad of ["120", "yesterday"])
        expect(await since(bad)).toMatchObject({ code: 2, stdout: "", stderr: expect.stringContaining(bad) });
    });
  });

  it("prints events of the last second as `events --json` does", async () => {
    await withStoreFile(scriptNight, async (path) => {
      const { stdout } = await run(["autopsy", "--json", "--store", path]);
      const { turns } = JSON.parse(stdout) as { turns: { lastSecond: { revision: number }[] }[] };
      const events = await run(["events", "support-42", "--from", "6", "--json", "--store", path]);
      expect(turns[0]?.lastSecond).toEqual(
        events.stdout
          .trimEnd()
          .split("\n")
          .map((line) => JSON.parse(line) as unknown),
      );
    });
  });

  it("with --wait watches a writer on another machine until it is known to be dead", async () => {
    await withStoreFile(
      (store) => scriptTurn(store, 1, { ...elsewhere, heartbeatMs: 10 }),
      async (path) => {
        const unknown = await run(["autopsy", "--store", path]);
        expect(unknown).toMatchObject({ code: 0, stdout: expect.stringMatching(/^UNKNOWN {2}1 turn/) });
        expect(unknown.stdout).toMatch(/\n {2}turnlog autopsy s1 --wait --store .*\n$/);
        const waited = await run(["autopsy", "--wait", "--store", path]);
        expect(waited).toMatchObject({ code: 1, stdout: expect.stringMatching(/^CRASHED {2}1 turn/) });
        // Who repairs has not watched.
        expect(waited.stdout).toMatch(/\n {2}turnlog repair s1 --force --store .*\n$/);
      },
    );
  });

  it("tells as many as --limit says, and how to see the rest", async () => {
    await withStoreFile(
      async (store) => {
        for (let index = 1; index <= 12; index++) await scriptTurn(store, index);
      },
      async (path) => {
        const { stdout } = await run(["autopsy", "--store", path]);
        expect(stdout).toContain("CRASHED  12 turns began");
        expect(stdout).toContain("… 2 more turns; --limit 12 tells all");
        expect(stdout.trimEnd().split("\n").at(-1)).toBe(`  turnlog repair --all --store ${path}`);
        const { stdout: json } = await run(["autopsy", "--json", "--store", path]);
        expect((JSON.parse(json) as { turns: [] }).turns).toHaveLength(12);
      },
    );
  });

  it("leaves every byte of the store as it was, and so do stats and a repair that writes nothing", async () => {
    await withStoreFile(
      async (store) => {
        await scriptNight(store);
        await scriptTurn(store, 1, elsewhere);
      },
      async (path) => {
        const before = contentOf(path);
        for (const args of [
          ["autopsy"],
          ["autopsy", "last", "--json"],
          ["stats"],
          ["repair", "--all", "--dry-run"],
          ["repair", "s1"],
        ]) {
          expect(await runBuilt([...args, "--store", path])).toMatchObject({ stderr: "" });
          expect(contentOf(path)).toEqual(before);
        }
      },
    );
  });

  it("leaves database and WAL of a process that was killed as they were", async () => {
    await withFolder(async (folder) => {
      const path = join(folder, "store.db");
      await untilDead(await startScenario(path, "mid-text"), "SIGKILL");
      const before = contentOf(path);
      expect([...before.keys()]).toContain("store.db-wal");
      for (const args of [["autopsy"], ["stats"], ["repair", "--all", "--dry-run"]]) {
        await runBuilt([...args, "--store", path]);
        expect(contentOf(path)).toEqual(before);
      }
    });
  });
});

describe("turnlog repair", () => {
  it("ends a crashed turn, says what it wrote and what is safe to repeat, and finds nothing the second time", async () => {
    await withStoreFile(scriptNight, async (path) => {
      const plan = await repair(path, "support-42", "--dry-run");
      expect(plan).toMatchObject({
        code: 1,
        report: { dryRun: true, repaired: [{ sessionId: "support-42", messageId: 259, revision: null }] },
      });
      const done = await repair(path, "support-42");
      expect(done).toMatchObject({
        code: 0,
        stderr: "",
        report: {
          dryRun: false,
          repaired: [
            {
              sessionId: "support-42",
              messageId: 259,
              turnId: "turn-2",
              revision: 9,
              tools: [{ tool_id: "call-2", verdict: "outcome-unknown" }],
            },
          ],
          refused: [],
        },
      });
      const events = await run(["events", "support-42", "--from", "9", "--json", "--store", path]);
      expect(JSON.parse(events.stdout)).toMatchObject({
        type: "TurnEnded",
        data: { outcome: "interrupted", turnId: "turn-2" },
        metadata: { cause: "repair" },
      });
      expect(await repair(path, "support-42")).toMatchObject({ code: 0, report: { repaired: [] } });
      expect(await run(["autopsy", "--store", path])).toMatchObject({ code: 0 });
    });
  });

  it("says it for people with the next command last", async () => {
    await withStoreFile(scriptNight, async (path) => {
      const { stdout } = await run(["repair", "--all", "--store", path]);
      expect(stdout).toBe(
        [
          "1 turn ended as interrupted",
          "  support-42  message #259 · TurnEnded at revision 9 · 36 characters of text kept",
          "    ask_carrier call-2: outcome unknown: look what it has done before calling it again",
          "",
          "Next, look at what is left of it:",
          `  turnlog show support-42 --store ${path}`,
          "",
        ].join("\n"),
      );
    });
  });

  it("refuses a turn whose writer is not known to be dead, unless it is forced", async () => {
    await withStoreFile(
      (store) => scriptTurn(store, 1, elsewhere),
      async (path) => {
        const refused = { code: 1, report: { repaired: [], refused: [{ writer: { verdict: "unknown" } }] } };
        expect(await repair(path, "s1")).toMatchObject(refused);
        expect(await repair(path, "--all")).toMatchObject(refused);
        expect(await repair(path, "--all", "--force")).toMatchObject({
          code: 0,
          report: { repaired: [{ sessionId: "s1" }], refused: [] },
        });
      },
    );
  });

  it("never ends a turn whose writer lives, and counts it as nothing to do only with --all", async () => {
    await withFolder(async (folder) => {
      const path = join(folder, "store.db");
      const store = await openConversationStore(path);
      try {
        const turn = await store.beginTurn("live", { user: "hi" });
        const refused = { repaired: [], refused: [{ sessionId: "live", writer: { verdict: "alive" } }] };
        expect(await repair(path, "live", "--force")).toMatchObject({ code: 1, report: refused });
        expect(await repair(path, "--all", "--force")).toMatchObject({ code: 0, report: refused });
        void turn.textDelta("goes on");
        await turn.finish();
      } finally {
        await store.close();
      }
    });
  });

  it.each([[[]], [["s", "--all"]]])("refuses %j as wrong usage", async (args: string[]) => {
    expect(await run(["repair", ...args, "--store", "memory:"])).toMatchObject({
      code: 2,
      stdout: "",
      stderr: "turnlog: Name one session to repair, or --all.\n",
    });
  });
});
