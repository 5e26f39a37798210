import { execFile } from "node:child_process";
import { fileURLToPath } from "node:url";
import { promisify } from "node:util";
import { describe, expect, test } from "@jest/globals";

/**
 * The benchmark is run by hand and seldom. Its quick mode does the same work in small, so that it cannot rot unseen:
 * every candidate of ours still runs, and what it stored still reads back as it was streamed (else it exits with 1).
 */

/** A dozen processes one after the other: seconds, and minutes on a machine that is busy with other things. */
const TIMEOUT_MS = 300_000;

const MAIN = fileURLToPath(new URL("../../bench/main.js", import.meta.url));

interface Result {
  parameters: { candidate?: string };
  rounds: Record<string, unknown>[];
}

interface BenchRecord {
  versions: Record<string, string>;
  workloads: { name: string; results: Result[]; targets: { what: string }[] }[];
}

async function bench(...only: string[]): Promise<BenchRecord> {
  const args = [MAIN, "--quick", "--json", ...only.flatMap((one) => ["--only", one])];
  const { stdout } = await promisify(execFile)(process.execPath, args, { maxBuffer: 64 * 1024 * 1024 });
  return JSON.parse(stdout) as BenchRecord;
}

describe("npm run bench, in its quick mode", () => {
  test(
    "streams a turn into each store that needs no other package",
    async () => {
      const names = [
        "turn-writer",
        "awaited-updates",
        "update-per-delta",
        "full-content-events",
        "jsonl-append",
      ];
      const { workloads, versions } = await bench(
        ...names.map((name) => `one-turn:candidate=${name}:durability=process`),
      );
      const [{ name, results, targets } = { name: "", results: [], targets: [] }] = workloads;
      expect(name).toBe("one-turn");
      expect(new Set(results.map(({ parameters }) => parameters.candidate))).toEqual(new Set(names));
      for (const { rounds } of results) expect(rounds).toMatchObject([{ turns: 1, checked: 1 }]);
      expect(targets.length).toBeGreaterThan(0);
      expect(versions).toMatchObject({ turnlog: expect.any(String), node: process.versions.node });
    },
    TIMEOUT_MS,
  );

  test(
    "streams many turns at once, makes the views anew and reads them",
    async () => {
      const { workloads } = await bench(
        "many-turns:candidate=turn-writer",
        "rebuild:candidate=turnlog rebuild",
        "rebuild:candidate=turnlog replay",
        "reads",
        "autopsy",
        "find-splice",
      );
      expect(workloads.map(({ name }) => name)).toEqual([
        "many-turns",
        "reads",
        "rebuild",
        "autopsy",
        "find-splice",
      ]);
      for (const { results } of workloads) for (const { rounds } of results) expect(rounds).toHaveLength(1);
    },
    TIMEOUT_MS,
  );

  test("names the workloads there are when asked for another", async () => {
    const failure: unknown = await bench("nonsense").catch((error: unknown) => error);
    expect(failure).toMatchObject({ code: 2, stderr: expect.stringContaining("one-turn") });
  });
});
