import assert from "node:assert/strict";
import { randomBytes } from "node:crypto";
import type { AppendResult, EventLog, NewEvent } from "../../log/event-log.ts";
import type { ExpectedRevision } from "../../log/expected-revision.ts";
import { gather } from "../check-log-integrity.ts";
import type { ContractSuite } from "./contract-suite.ts";
import { succeeded } from "./isolated-run.ts";

type Outcome = number | "conflict";

/** What each expectation meets: the result's revision, or a conflict. */
const unknownStream: readonly (readonly [expected: ExpectedRevision, outcome: Outcome])[] = [
  ["any", 0],
  ["no-stream", 0],
  ["stream-exists", "conflict"],
  [0, "conflict"],
  [1, "conflict"],
  [Number.MAX_SAFE_INTEGER - 1, "conflict"],
];
const threeEvents: typeof unknownStream = [
  ["any", 3],
  ["no-stream", "conflict"],
  ["stream-exists", 3],
  [0, "conflict"],
  [1, "conflict"],
  [2, 3],
  [3, "conflict"],
  [Number.MAX_SAFE_INTEGER - 1, "conflict"],
];

export function expectedRevisionContract(suite: ContractSuite): void {
  suite.group("append: expected revisions", () => {
    suite.table("on an unknown stream", named(unknownStream), async (run, [expected, outcome], stream) => {
      await run.append("another", 3);
      assertOutcome(await run.log.append(stream, run.events(1), expected), outcome, -1);
      assert.equal((await gather(run.log.readStream(stream))).length, outcome === "conflict" ? 0 : 1);
    });

    suite.table(
      "on a stream of three events",
      named(threeEvents),
      async (run, [expected, outcome], stream) => {
        await run.append(stream, 3);
        assertOutcome(await run.log.append(stream, run.events(1), expected), outcome, 2);
        assert.equal((await gather(run.log.readStream(stream))).length, outcome === "conflict" ? 3 : 4);
      },
    );

    suite.test("a conflict uses up neither ids nor revisions", async (run) => {
      await run.append("s", 1);
      const events = run.events(2);
      assert.deepEqual(await run.log.append("s", events, 5), { ok: false, actualRevision: 0 });
      assert.deepEqual(await run.log.append("s", events, "no-stream"), { ok: false, actualRevision: 0 });
      assert.equal((await run.append("s", events, 0)).revision, 2);
    });

    suite.test("un-awaited appends to one stream are applied in the order of the calls", async (run) => {
      const events = run.events(100);
      const results = events.map((event, index) =>
        run.log.append("s", [event], index === 0 ? "no-stream" : index % 2 === 0 ? "any" : index - 1),
      );
      assert.deepEqual(
        (await Promise.all(results)).map((result) => succeeded(result).revision),
        [...events.keys()],
      );
      assert.deepEqual(
        await idsOf(run.log, "s"),
        events.map(({ id }) => id),
      );
    });

    suite.test("an un-awaited append sees the conflict that the one before it makes", async (run) => {
      const results = await Promise.all([
        run.log.append("s", run.events(2), "no-stream"),
        run.log.append("s", run.events(1), "no-stream"),
        run.log.append("s", run.events(1), 1),
        run.log.append("s", run.events(1), 1),
      ]);
      assert.deepEqual(
        results.map((result) => (result.ok ? result.revision : { actual: result.actualRevision })),
        [1, { actual: 1 }, 2, { actual: 2 }],
      );
    });
  });

  suite.group("append: many writers of one stream", () => {
    suite.test(
      "200 appends at once that expect no stream: one wins, and the others are told who did",
      async (run) => {
        const results = await Promise.all(
          run.events(200).map((event) => run.log.append("s", [event], "no-stream")),
        );
        assert.equal(results.filter(({ ok }) => ok).length, 1);
        for (const result of results) if (!result.ok) assert.equal(result.actualRevision, 0);
        assert.equal((await gather(run.log.readStream("s"))).length, 1);
      },
    );

    suite.test("200 appends at once, ten for each revision: exactly one winner each", async (run) => {
      const winners = new Map<number, string>();
      const contend = async (event: NewEvent, index: number): Promise<void> => {
        const revision = Math.floor(index / 10);
        const result = await run.log.append("s", [event], revision === 0 ? "no-stream" : revision - 1);
        if (!result.ok) return;
        assert(!winners.has(result.revision), `revision ${result.revision} was won twice`);
        winners.set(result.revision, event.id);
      };
      await Promise.all(run.events(200).map(contend));
      assert.deepEqual(
        [...winners.keys()].toSorted((a, b) => a - b),
        [...Array(20).keys()],
      );
      assert.deepEqual(
        await idsOf(run.log, "s"),
        [...Array(20).keys()].map((revision) => winners.get(revision)),
      );
    });

    suite.test("200 appends by writers that retry their conflicts all land, each once", async (run) => {
      await contendUntilAllLanded(Array(8).fill(run.log), run.events(200));
    });

    suite.testWith("reopen", "200 appends by writers on four handles all land, each once", async (run) => {
      const handles = [run.log, await run.reopen(), await run.reopen(), await run.reopen()];
      await contendUntilAllLanded(handles, run.events(200));
    });
  });

  suite.group("append: an identical retry", () => {
    const retries: readonly (readonly [size: number, expected: ExpectedRevision, prior: number])[] = [
      [1, "no-stream", 0],
      [3, "no-stream", 0],
      [70, "no-stream", 0],
      [1, 4, 5],
      [3, 4, 5],
      [70, 4, 5],
    ];
    const cases = retries.map(
      (retry) => [`${retry[0]} events at ${JSON.stringify(retry[1])}`, retry] as const,
    );
    suite.table(
      "returns the first result and writes nothing",
      cases,
      async (run, [size, expected, prior], stream) => {
        if (prior > 0) await run.append(stream, prior);
        const events = run.events(size);
        const retry = (log = run.log): Promise<AppendResult> =>
          log.append(stream, structuredClone(events), expected);
        const first = await retry();
        assert(first.ok);
        assert.deepEqual(await retry(), first, "at once");
        await run.append("another", 2);
        await run.append(stream, 1);
        assert.deepEqual(await retry(), first, "after a later event");
        for (let more = 0; more < 3; more += 1) await run.append(stream, 64);
        assert.deepEqual(await retry(), first, "after many later events");
        if (run.canReopen) assert.deepEqual(await retry(await run.reopen()), first, "by another handle");
        assert.equal((await gather(run.log.readStream(stream))).length, prior + size + 1 + 3 * 64);
      },
    );

    suite.test("of a batch that is as large as a batch may be returns the first result", async (run) => {
      // Four megabytes are more than engines read at once.
      const size = Math.min(run.log.limits.maxAppendBytes, 4_000_000) / 4 - 100;
      for (const stream of ["one batch", "and after others"]) {
        const { revision: prior } = stream === "one batch" ? { revision: -1 } : await run.append(stream, 70);
        const events = run.events(4).map((event) => ({ ...event, data: noise(size) }));
        const expected = prior === -1 ? "no-stream" : prior;
        const first = await run.log.append(stream, events, expected);
        assert(first.ok);
        assert.deepEqual(await run.log.append(stream, events, expected), first, "at once");
        await run.append(stream, 70);
        assert.deepEqual(await run.log.append(stream, events, expected), first, "after later events");
        const other = [...events.slice(0, 3), run.event()];
        assert.equal((await run.log.append(stream, other, expected)).ok, false, "with another last event");
      }
    });

    suite.test("that races with its first attempt lands once, and both are told where", async (run) => {
      const opening = run.events(3);
      const following = run.events(2);
      const results: AppendResult[] = await Promise.all([
        run.log.append("s", opening, "no-stream"),
        run.log.append("s", opening, "no-stream"),
        run.log.append("s", following, 2),
        run.log.append("s", following, 2),
        run.log.append("s", opening, "no-stream"),
      ]);
      const revisions = results.map((result) => succeeded(result).revision);
      assert.deepEqual(revisions, [2, 2, 4, 4, 2]);
      assert.deepEqual(results[1], results[0]);
      assert.deepEqual(results[3], results[2]);
      assert.deepEqual(results[4], results[0]);
      assert.deepEqual(
        await idsOf(run.log, "s"),
        [...opening, ...following].map(({ id }) => id),
      );
    });

    suite.test("is told from another batch at the same revision", async (run) => {
      const first = run.events(2);
      await run.append("s", first, "no-stream");
      const conflict: AppendResult = { ok: false, actualRevision: 1 };
      assert.deepEqual(await run.log.append("s", run.events(2), "no-stream"), conflict);
      assert.deepEqual(await run.log.append("s", run.events(1), "no-stream"), conflict);
    });
  });
}

function named(
  table: typeof unknownStream,
): (readonly [name: string, row: (typeof unknownStream)[number]])[] {
  return table.map((row) => [`expecting ${JSON.stringify(row[0])}: ${JSON.stringify(row[1])}`, row] as const);
}

function assertOutcome(result: AppendResult, outcome: Outcome, actualRevision: number): void {
  if (outcome === "conflict") assert.deepEqual(result, { ok: false, actualRevision });
  else assert.equal(succeeded(result).revision, outcome);
}

async function idsOf(log: EventLog, stream: string): Promise<string[]> {
  return (await gather(log.readStream(stream))).map(({ id }) => id);
}

/** One writer per handle given; each appends its share at the revision it believes to be the newest. */
async function contendUntilAllLanded(
  handles: readonly EventLog[],
  events: readonly NewEvent[],
): Promise<void> {
  const wonBy = new Map<number, string>();
  const write = async (log: EventLog, writer: number): Promise<void> => {
    let expected: ExpectedRevision = "no-stream";
    for (const event of events.filter((_, index) => index % handles.length === writer)) {
      for (;;) {
        const result: AppendResult = await log.append("s", [event], expected);
        const newest: number = result.ok ? result.revision : result.actualRevision;
        expected = newest;
        if (!result.ok) continue;
        assert(!wonBy.has(newest), `revision ${newest} was won twice`);
        wonBy.set(newest, event.id);
        break;
      }
    }
  };
  await Promise.all(handles.map(write));
  const [log] = handles;
  assert(log !== undefined);
  assert.deepEqual(
    await idsOf(log, "s"),
    [...events.keys()].map((revision) => wonBy.get(revision)),
  );
}

/** Text that does not compress. */
function noise(length: number): string {
  return randomBytes(length).toString("base64").slice(0, length);
}
