import { copyFileSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { describe, expect, it } from "@jest/globals";
import { openConversationStore } from "../../src/store/conversation-store.ts";
import { run, withFolder } from "../cli/cli-support.ts";

/** However a file is damaged, the autopsy ends, says so in one line or in its report, and invents nothing. */

const DAMAGES = process.env["TURNLOG_TEST_LONG"] === undefined ? 150 : 3000;
const SESSIONS = 4;
const TEXT = "The quick brown fox jumps over the lazy dog. ".repeat(40);
const WORDS = TEXT.match(/\S+\s*/g) ?? [];

/** mulberry32: a failure can be repeated by its seed. */
function randoms(seed: number): () => number {
  let state = seed;
  return () => {
    state = (state + 0x6d2b79f5) | 0;
    let t = Math.imul(state ^ (state >>> 15), 1 | state);
    t = (t + Math.imul(t ^ (t >>> 7), 61 | t)) ^ t;
    return ((t ^ (t >>> 14)) >>> 0) / 4_294_967_296;
  };
}

/** Each session has a finished turn and one that was left open. */
async function makeStore(path: string): Promise<void> {
  const store = await openConversationStore(path, {
    durability: "process",
    flushIntervalMs: 0,
    views: false,
  });
  try {
    for (let index = 0; index < SESSIONS; index++) {
      const whole = await store.beginTurn(`s${index}`, { user: "hi" });
      for (const word of WORDS.slice(0, 20)) void whole.textDelta(word);
      await whole.finish();
      const open = await store.beginTurn(`s${index}`, { user: "again" });
      for (const word of WORDS) {
        void open.textDelta(word);
        await open.flush();
      }
    }
  } finally {
    await store.close();
  }
}

function damage(path: string, random: () => number): string {
  const bytes = readFileSync(path);
  const at = Math.floor(random() * bytes.length);
  const kind = random();
  if (kind < 0.2) {
    writeFileSync(path, bytes.subarray(0, at));
    return `cut at ${at}`;
  }
  const length = kind < 0.6 ? 1 : 1 + Math.floor(random() * 4096);
  if (length === 1) bytes[at] = (bytes[at] ?? 0) ^ (1 << Math.floor(random() * 8));
  else bytes.fill(0, at, Math.min(bytes.length, at + length));
  writeFileSync(path, bytes);
  return `${length === 1 ? "a bit flipped" : `${length} bytes zeroed`} at ${at}`;
}

interface Told {
  turns: { sessionId: string; text: string }[];
  damage: unknown[];
}

describe("autopsy of a damaged file", () => {
  it(
    `ends in order and never invents text, in ${DAMAGES} damages at random places`,
    async () => {
      const seed = Number(process.env["TURNLOG_TEST_SEED"] ?? Math.floor(Math.random() * 1_000_000));
      const random = randoms(seed);
      await withFolder(async (folder) => {
        const pristine = join(folder, "pristine.db");
        await makeStore(pristine);
        let told = 0;
        let refused = 0;
        let inPart = 0;
        for (let n = 0; n < DAMAGES; n++) {
          const path = join(folder, `${n}.db`);
          copyFileSync(pristine, path);
          const where = `seed ${seed}, damage ${n}: ${damage(path, random)}`;
          const { code, stdout, stderr } = await run(["autopsy", "--json", "--store", path]);
          for (const suffix of ["", "-wal", "-shm"]) rmSync(path + suffix, { force: true });
          expect({ where, stderr }).not.toMatchObject({
            stderr: expect.stringContaining("unexpected failure"),
          });
          if (stdout === "") {
            refused++;
            expect({ where, code, lines: stderr.trimEnd().split("\n").length }).toEqual({
              where,
              code: code === 1 ? 1 : 3,
              lines: 1,
            });
            continue;
          }
          told++;
          const report = JSON.parse(stdout) as Told;
          if (report.damage.length > 0) {
            inPart++;
            expect({ where, code }).toEqual({ where, code: 1 });
          }
          for (const { sessionId, text } of report.turns) {
            expect({ where, sessionId }).toEqual({ where, sessionId: expect.stringMatching(/^s[0-3]$/) });
            // What is told is what was written, up to some delta.
            expect({ where, isPrefix: TEXT.startsWith(text), isWord: /^$|\s$/.test(text) }).toEqual({
              where,
              isPrefix: true,
              isWord: true,
            });
          }
        }
        // All three happen, or the damages are not what they are meant to be.
        expect({ told: told > 0, refused: refused > 0, inPart: inPart > 0 }).toEqual({
          told: true,
          refused: true,
          inPart: true,
        });
      });
    },
    DAMAGES * 2000,
  );
});
