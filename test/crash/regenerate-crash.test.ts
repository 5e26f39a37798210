import { describe, expect, it } from "@jest/globals";
import {
  KILLS,
  firstSeed,
  look,
  runUntilKilled,
  turnsOf,
  variantTexts,
  withStorePath,
} from "./kill-child.ts";

describe("a process that is killed while it regenerates an answer", () => {
  it(
    `leaves every answer there was, as a branch or as the content, in ${KILLS} kills`,
    () =>
      withStorePath(async (path) => {
        await look(path, async (store) => {
          await store.saveMessage("s", "user", "q");
          const turn = await store.beginTurn("s");
          await turn.textDelta("first answer");
          await turn.finish();
        });
        let known = ["first answer"];
        let before = 0;
        let between = 0;
        for (let kill = 0; kill < KILLS; kill++) {
          const seed = firstSeed + kill;
          const isDone = await runUntilKilled("regenerate", path, turnsOf(seed), String(kill));
          await look(path, async (store) => {
            const recovered = await store.recoverInterruptedTurns();
            const messages = await store.listMessages("s");
            const texts = variantTexts(messages[1]!);
            const where = { seed, messages: messages.length };
            // What there was is there, in its order; behind it at most what the killed process had written so far.
            expect({ where, texts: texts.slice(0, known.length) }).toEqual({
              where: { seed, messages: 2 },
              texts: known,
            });
            const [written = "", ...more] = texts.slice(known.length);
            expect(more).toEqual([]);
            const whole = `new answer ${kill}`;
            expect(["", "new ", "new answer ", whole]).toContain(written);
            if (isDone) expect(written).toBe(whole);
            if (recovered.length > 0) {
              between++;
              expect(recovered).toMatchObject([{ kind: "regenerate", text: written }]);
              expect(messages[1]).toMatchObject({ status: "interrupted" });
            } else {
              if (written === "") before++;
              expect(messages[1]?.status).toMatch(/finished|interrupted/);
            }
            known = texts;
          });
        }
        // Ten kills may miss a moment; three hundred do not.
        if (KILLS > 100) expect(Math.min(before, between)).toBeGreaterThan(10);
      }),
    KILLS * 30_000,
  );
});
