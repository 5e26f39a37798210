import assert from "node:assert/strict";
import type { ReadAllOptions, ReadStreamOptions, RecordedEvent } from "../../log/event-log.ts";
import { checkWhole, gather, gatherRuns, sameEvents } from "../check-log-integrity.ts";
import type { ContractSuite } from "./contract-suite.ts";
import type { IsolatedRun } from "./isolated-run.ts";

/** Above every page and packing size that small events may have. */
const LONG = 300;

export function readContract(suite: ContractSuite): void {
  readStreamContract(suite);
  readAllContract(suite);
}

function readStreamContract(suite: ContractSuite): void {
  suite.group("readStream", () => {
    const cases: readonly (readonly [options: ReadStreamOptions, expected: readonly number[]])[] = [
      [{}, range(0, LONG)],
      [{ from: 0 }, range(0, LONG)],
      [{ from: 150 }, range(150, LONG)],
      [{ from: LONG - 1 }, [LONG - 1]],
      [{ from: LONG }, []],
      [{ from: LONG + 1_000 }, []],
      [{ limit: 0 }, []],
      [{ limit: 1 }, [0]],
      [{ limit: 130 }, range(0, 130)],
      [{ limit: LONG + 1 }, range(0, LONG)],
      [{ from: 60, limit: 10 }, range(60, 70)],
      [{ from: LONG - 2, limit: 10 }, [LONG - 2, LONG - 1]],
      [{ direction: "forwards", from: 5, limit: 2 }, [5, 6]],
      [{ direction: "backwards" }, range(0, LONG).toReversed()],
      [{ direction: "backwards", limit: 1 }, [LONG - 1]],
      [{ direction: "backwards", limit: 0 }, []],
      [{ direction: "backwards", limit: 130 }, range(LONG - 130, LONG).toReversed()],
      [{ direction: "backwards", from: 70 }, range(0, 71).toReversed()],
      [{ direction: "backwards", from: 70, limit: 10 }, range(61, 71).toReversed()],
      [{ direction: "backwards", from: 0 }, [0]],
      [{ direction: "backwards", from: LONG + 1_000, limit: 2 }, [LONG - 1, LONG - 2]],
    ];
    suite.test("reads from any revision, in both directions, up to a limit", async (run) => {
      const all = await twoInterleavedStreams(run);
      for (const [options, expected] of cases) {
        const read = await gather(run.log.readStream("s", options));
        sameEvents(
          read,
          expected.map((revision) => at(all, revision)),
          `readStream ${JSON.stringify(options)}`,
        );
      }
    });

    const refused: readonly (readonly [name: string, options: ReadStreamOptions])[] = [
      ["a negative revision", { from: -1 }],
      ["a fraction", { from: 1.5 }],
      ["a revision that is no number", { from: Number.NaN }],
      ["a revision without end", { direction: "backwards", from: Infinity }],
      ["a negative limit", { limit: -1 }],
      ["a fraction as limit", { limit: 2.5 }],
      ["a limit that is no number", { limit: Number.NaN }],
      ["an unknown direction", { direction: "sideways" as "forwards" }],
    ];
    suite.table("refuses what is no revision, limit or direction", refused, async (run, options, stream) => {
      await run.append(stream, 3);
      await assert.rejects(gather(run.log.readStream(stream, options)), { code: "invalid-read-options" });
      assert.equal((await gather(run.log.readStream(stream))).length, 3);
    });

    suite.test("an unknown stream is empty, and reading it does not make it", async (run) => {
      await run.append("known", 1);
      for (const options of [
        {},
        { from: 0 },
        { from: 7 },
        { direction: "backwards" },
        { limit: 3 },
      ] as const) {
        assert.deepEqual(await gather(run.log.readStream("unknown", options)), []);
      }
      await run.append("unknown", 1, "no-stream");
    });
  });
}

function readAllContract(suite: ContractSuite): void {
  suite.group("readAll", () => {
    suite.test("of an empty log is empty", async (run) => {
      assert.deepEqual(await gather(run.log.readAll()), []);
      assert.deepEqual(await gather(run.log.readAll({ after: -1, limit: 5, streamPrefix: "s" })), []);
      assert.deepEqual(await gatherRuns(run.log), []);
      assert.equal(await run.log.head(), -1);
    });

    suite.test("reads after any position and up to a limit", async (run) => {
      await twoInterleavedStreams(run);
      const all = await gather(run.log.readAll());
      checkWhole(all);
      assert.equal(all.length, 2 * LONG);
      for (const index of [0, 1, 63, 64, 200, 2 * LONG - 2, 2 * LONG - 1]) {
        const { position } = at(all, index);
        const rest = all.slice(index + 1);
        sameEvents(await gather(run.log.readAll({ after: position })), rest, `readAll after ${position}`);
        for (const limit of [0, 1, 100, 10_000]) {
          const read = await gather(run.log.readAll({ after: position, limit }));
          sameEvents(read, rest.slice(0, limit), `readAll after ${position}, ${limit} events`);
        }
      }
      assert.deepEqual(await gather(run.log.readAll({ after: (await run.log.head()) + 1_000 })), []);
    });

    const refused: readonly (readonly [name: string, options: ReadAllOptions])[] = [
      ["a position below none", { after: -2 }],
      ["a fraction", { after: 0.5 }],
      ["a position that is no number", { after: Number.NaN }],
      ["a limit that is no number", { limit: Number.NaN }],
      ["a negative limit", { limit: -1 }],
    ];
    suite.table("refuses what is no position or limit", refused, async (run, options, stream) => {
      await run.append(stream, 3);
      await assert.rejects(gather(run.log.readAll(options)), { code: "invalid-read-options" });
    });

    suite.table(
      "refuses to read by runs from no position, or in pieces of no size",
      [
        ["a position below -1", { after: -2 }],
        ["half a position", { after: 0.5 }],
        ["pieces of nothing", { pieceEvents: 0 }],
        ["half an event", { pieceEvents: 1.5 }],
      ],
      async (run, options, stream) => {
        await run.append(stream, 3);
        await assert.rejects(gatherRuns(run.log, options), { code: "invalid-read-options" });
      },
    );

    suite.test("selects streams by the beginning of their name, to the letter", async (run) => {
      const streams = [
        "chat-1",
        "chat-10",
        "chat-2",
        "Chat-1",
        "chat_1",
        "chatX1",
        "cha",
        "xchat-1",
        "é-1",
        "🦉-1",
      ];
      for (let round = 0; round < 20; round += 1) {
        for (const stream of streams) await run.append(stream, 1 + (round % 3));
      }
      const all = await gather(run.log.readAll());
      for (const prefix of [
        "",
        "chat-",
        "chat-1",
        "chat-10",
        "chat_",
        "c",
        "é",
        "🦉",
        "chat%",
        "chat-1000",
        "X",
      ]) {
        const expected = all.filter(({ stream }) => stream.startsWith(prefix));
        sameEvents(
          await gather(run.log.readAll({ streamPrefix: prefix })),
          expected,
          `readAll of "${prefix}"`,
        );
        const limited = await gather(
          run.log.readAll({ streamPrefix: prefix, after: at(all, 30).position, limit: 7 }),
        );
        const later = expected.filter(({ position }) => position > at(all, 30).position);
        sameEvents(limited, later.slice(0, 7), `readAll of "${prefix}", limited`);
      }
    });
  });
}

/** "s" and "other", event by event in turn, so that neither is contiguous. Returns "s". */
async function twoInterleavedStreams(run: IsolatedRun): Promise<RecordedEvent[]> {
  const appends: Promise<unknown>[] = [];
  for (let index = 0; index < LONG; index += 1) appends.push(run.append("s", 1), run.append("other", 1));
  await Promise.all(appends);
  return (await gather(run.log.readAll())).filter(({ stream }) => stream === "s");
}

function at(events: readonly RecordedEvent[], index: number): RecordedEvent {
  const event = events[index];
  assert(event !== undefined, `there are ${events.length} events only, none at ${index}`);
  return event;
}

function range(start: number, end: number): number[] {
  return Array.from({ length: end - start }, (_, index) => start + index);
}
