import { spawn } from "node:child_process";
import { cpSync } from "node:fs";
import { dirname } from "node:path";
import { createInterface } from "node:readline";
import { fileURLToPath } from "node:url";
import { describe, expect, it } from "@jest/globals";
import type { ConversationStore } from "../../src/store/conversation-store.ts";
import { KILLS, firstSeed, look, runUntilKilled, turnsOf, withStorePath } from "./kill-child.ts";

const TURNS = 12;

/** Session and cause of every end of a turn. */
async function ends(store: ConversationStore): Promise<string[]> {
  const ended: string[] = [];
  for await (const { type, stream, metadata } of store.log.readAll({ streamPrefix: "conversation-" })) {
    if (type === "TurnEnded") ended.push(`${stream} ${String(metadata["cause"])}`);
  }
  return ended.toSorted();
}

/** Stores as a process with open turns left them when it was killed: one, copied as often as it is needed. */
async function withDeadTurns(
  use: (copied: (use: (path: string) => Promise<void>) => Promise<void>) => Promise<void>,
): Promise<void> {
  await withStorePath(async (original) => {
    await runUntilKilled("begin", original, 0, String(TURNS));
    await use((useCopy) =>
      withStorePath(async (path) => {
        cpSync(dirname(original), dirname(path), { recursive: true });
        await useCopy(path);
      }),
    );
  });
}

const allEnded = Array.from({ length: TURNS }, (_, index) => `conversation-s${index} repair`).toSorted();

describe("a process that is killed while it recovers turns", () => {
  it(
    `leaves the rest to the next one: each turn ends once, in ${KILLS} kills`,
    () =>
      withDeadTurns(async (copied) => {
        let inTheMiddle = 0;
        for (let kill = 0; kill < KILLS; kill++) {
          const seed = firstSeed + kill;
          await copied(async (path) => {
            const isDone = await runUntilKilled("recover", path, turnsOf(seed));
            await look(path, async (store) => {
              const before = (await ends(store)).length;
              if (isDone) expect(before).toBe(TURNS);
              if (before > 0 && before < TURNS) inTheMiddle++;
              const recovered = await store.recoverInterruptedTurns();
              expect({ seed, recovered: recovered.length }).toEqual({ seed, recovered: TURNS - before });
              expect(await ends(store)).toEqual(allEnded);
              expect(await store.unendedTurns()).toEqual([]);
              for (const { sessionId, text } of recovered) {
                expect(`s${text.split(" ")[1]}`).toBe(sessionId);
                expect(await store.lastAssistantMessage(sessionId)).toMatchObject({ status: "interrupted" });
              }
            });
          });
        }
        if (KILLS > 100) expect(inTheMiddle).toBeGreaterThan(10);
      }),
    KILLS * 30_000,
  );

  it(
    "shares the work with others that recover at the same time: each turn ends once",
    () =>
      withDeadTurns(async (copied) => {
        for (let round = 0; round < Math.ceil(KILLS / 5); round++) {
          await copied(async (path) => {
            const finished = await Promise.all(
              [0, 1, 2].map(() => runUntilKilled("recover", path, Number.MAX_SAFE_INTEGER)),
            );
            expect(finished).toEqual([true, true, true]);
            await look(path, async (store) => {
              expect(await ends(store)).toEqual(allEnded);
              expect(await store.recoverInterruptedTurns()).toEqual([]);
            });
          });
        }
      }),
    KILLS * 30_000,
  );
});

const RECOVERER = fileURLToPath(new URL("recover-child.js", import.meta.url));

/** A process that recovers a session when it is told to. */
async function recoverer(path: string) {
  const child = spawn(process.execPath, [RECOVERER, path], { stdio: ["pipe", "pipe", "inherit"] });
  const exited = new Promise<number | null>((resolve) => child.once("exit", resolve));
  const lines = createInterface({ input: child.stdout })[Symbol.asyncIterator]();
  const answer = async (): Promise<string> => String((await lines.next()).value);
  expect(await answer()).toBe("ready");
  return {
    async recover(sessionId: string): Promise<number> {
      child.stdin.write(`${sessionId}\n`);
      return Number(await answer());
    },
    async end(): Promise<void> {
      child.stdin.end();
      expect(await exited).toBe(0);
    },
  };
}

describe("two processes that recover the same dead turn at once", () => {
  const ROUNDS = 50;

  it(`write one end of the turn, and only one of them reports it, ${ROUNDS} times`, () =>
    withStorePath(async (path) => {
      await runUntilKilled("begin", path, 0, String(ROUNDS));
      const both = await Promise.all([recoverer(path), recoverer(path)]);
      for (let round = 0; round < ROUNDS; round++) {
        const [one = 0, other = 0] = await Promise.all(both.map((each) => each.recover(`s${round}`)));
        expect({ round, reported: one + other }).toEqual({ round, reported: 1 });
      }
      await Promise.all(both.map((each) => each.end()));
      await look(path, async (store) => {
        const expected = Array.from({ length: ROUNDS }, (_, round) => `conversation-s${round} repair`);
        expect(await ends(store)).toEqual(expected.toSorted());
      });
    }));
});
