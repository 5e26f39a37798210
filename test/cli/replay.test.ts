import { createHash } from "node:crypto";
import { readFileSync, readdirSync } from "node:fs";
import { dirname, join } from "node:path";
import { describe, expect, it } from "@jest/globals";
import { ISO_TIME, fillChat, run, withStoreFile } from "./cli-support.ts";

const hashesOf = (store: string): string[] =>
  readdirSync(dirname(store))
    .filter((name) => !name.endsWith("-shm"))
    .map(
      (name) =>
        `${name} ${createHash("sha256")
          .update(readFileSync(join(dirname(store), name)))
          .digest("hex")}`,
    );

describe("turnlog replay without a terminal", () => {
  it("prints the sequence at once, a line a delta", () =>
    withStoreFile(fillChat, async (store) => {
      const { code, stdout, stderr } = await run(["replay", "chat", "--store", store]);
      expect({ code, stderr }).toEqual({ code: 0, stderr: "" });
      const [head, ...lines] = stdout.trimEnd().split("\n");
      expect(head).toMatch(/^chat {2}turn 1 of 1 · \d+ steps$/);
      for (const line of lines) expect(line).toMatch(/^ +\+\d+\.\d{3} {2}\d+(\+\d+)? +[a-z-]+ +#\d+ /);
      const all = lines.join("\n");
      for (const text of [
        'user "Where is my order?"',
        "new m-1",
        '"Let me look."',
        "find_order output-available →",
        "finished stop",
      ])
        expect(all).toContain(text);
    }));

  it("prints documented JSON lines with --json", () =>
    withStoreFile(fillChat, async (store) => {
      const { stdout } = await run(["replay", "last", "--turn", "1", "--json", "--store", store]);
      const lines = stdout
        .trimEnd()
        .split("\n")
        .map((line) => JSON.parse(line) as Record<string, unknown>);
      expect(lines.length).toBeGreaterThan(6);
      for (const line of lines) {
        expect(line).toEqual({
          sessionId: "chat",
          turn: 1,
          point: expect.stringMatching(/^\d+(\+\d+)?$/),
          revision: expect.any(Number),
          type: expect.any(String),
          cause: line["cause"] === null ? null : expect.any(String),
          time: expect.stringMatching(ISO_TIME),
          elapsedMs: expect.any(Number),
          waitMs: expect.any(Number),
          changes: expect.any(Array),
        });
        // Each point can be looked at.
        const shown = await run(["show", "chat", "--at", String(line["point"]), "--json", "--store", store]);
        expect(shown.code).toBe(0);
      }
    }));

  it("plays a range", () =>
    withStoreFile(fillChat, async (store) => {
      const { stdout } = await run(["replay", "chat", "--from", "1", "--to", "2", "--store", store]);
      expect(stdout).toMatch(/^chat {2}a range of the session · 1 step\n.*turn-started.*\n$/);
    }));

  it("changes neither log nor views", () =>
    withStoreFile(fillChat, async (store) => {
      const before = hashesOf(store);
      await run(["replay", "chat", "--store", store]);
      await run(["replay", "chat", "--json", "--store", store]);
      expect(hashesOf(store)).toEqual(before);
    }));

  it.each([
    [["--turn", "7"], 3, /has no turn 7: it has 1/],
    [["--turn", "0"], 2, /--turn.*integer from 1/],
    [["--speed", "fast"], 2, /--speed.*number from 0/],
    [["--from", "noon"], 2, /"noon" is no point/],
    [["--to", "99"], 3, /no revision 99/],
  ])("%j: exit %i", (args, code, stderr) =>
    withStoreFile(fillChat, async (store) => {
      const result = await run(["replay", "chat", ...args, "--store", store]);
      expect(result).toMatchObject({ code, stdout: "", stderr: expect.stringMatching(stderr) });
    }),
  );
});
