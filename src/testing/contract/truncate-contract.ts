import assert from "node:assert/strict";
import type { RecordedEvent } from "../../log/event-log.ts";
import { gather, sameEvents } from "../check-log-integrity.ts";
import type { ContractSuite } from "./contract-suite.ts";
import type { IsolatedRun } from "./isolated-run.ts";

/** Above every packing size that small events may have. */
const LENGTH = 200;

export function truncateContract(suite: ContractSuite): void {
  suite.group("truncate", () => {
    const cases: readonly (readonly [name: string, [before: number, oldestLeft: number]])[] = [
      ["0 removes nothing", [0, 0]],
      ["1 removes the first event", [1, 1]],
      ["a revision in the middle", [100, 100]],
      ["a revision beside a packing boundary", [65, 65]],
      ["the newest revision keeps the newest event", [LENGTH - 1, LENGTH - 1]],
      ["a revision above the head keeps the newest event", [LENGTH, LENGTH - 1]],
      ["a revision far above the head keeps the newest event", [LENGTH + 1_000, LENGTH - 1]],
    ];
    suite.table(
      "removes what is below, never the newest event",
      cases,
      async (run, [before, oldestLeft], stream) => {
        const all = await interleaved(run, stream);
        const head = await run.log.head();
        await run.log.truncate(stream, before);
        const left = all.filter((event) => event.stream !== stream || event.revision >= oldestLeft);
        sameEvents(await gather(run.log.readAll()), left, "readAll after truncation");
        const ofStream = left.filter((event) => event.stream === stream);
        sameEvents(await gather(run.log.readStream(stream)), ofStream, "readStream after truncation");
        const backwards = await gather(run.log.readStream(stream, { direction: "backwards" }));
        sameEvents(backwards, ofStream.toReversed(), "readStream backwards after truncation");
        assert.equal(await run.log.head(), head);
      },
    );

    suite.test("numbering, expectations and retries go on as before", async (run) => {
      await run.append("s", LENGTH - 2);
      const { events: newest, ...result } = await run.append("s", 2, LENGTH - 3);
      await run.log.truncate("s", LENGTH - 2);
      assert.deepEqual(
        await run.log.append("s", newest, LENGTH - 3),
        { ok: true, ...result },
        "a retry of what is left",
      );
      assert.deepEqual(await run.log.append("s", run.events(1), "no-stream"), {
        ok: false,
        actualRevision: LENGTH - 1,
      });
      assert.deepEqual(await run.log.append("s", run.events(1), 0), {
        ok: false,
        actualRevision: LENGTH - 1,
      });
      const next = await run.append("s", 1, LENGTH - 1);
      assert.equal(next.revision, LENGTH);
      assert(next.position > result.position);
      assert.equal((await run.append("s", 1, "stream-exists")).revision, LENGTH + 1);
    });

    suite.test("a stream truncated to its last event, again and again, keeps counting", async (run) => {
      let lastPosition = -1;
      for (let round = 0; round < 20; round += 1) {
        const { revision, position } = await run.append("s", 7, round === 0 ? "no-stream" : 7 * round - 1);
        assert.equal(revision, 7 * round + 6);
        assert(position > lastPosition, "a position was used again");
        lastPosition = position;
        await run.log.truncate("s", revision);
        await run.log.truncate("s", revision);
        const left = await gather(run.log.readStream("s"));
        assert.deepEqual(
          left.map((event) => event.revision),
          [revision],
        );
      }
    });

    suite.test("reads that begin below what is left begin with what is left", async (run) => {
      const all = await interleaved(run);
      await run.log.truncate("s", 150);
      const left = all.filter(({ stream, revision }) => stream === "s" && revision >= 150);
      sameEvents(await gather(run.log.readStream("s", { from: 0 })), left, "from 0");
      sameEvents(await gather(run.log.readStream("s", { from: 149 })), left, "from the newest removed");
      sameEvents(await gather(run.log.readStream("s", { from: 151 })), left.slice(1), "from within");
      sameEvents(
        await gather(run.log.readStream("s", { from: 20, limit: 3 })),
        left.slice(0, 3),
        "with a limit",
      );
      const downFrom = async (from: number): Promise<RecordedEvent[]> =>
        gather(run.log.readStream("s", { direction: "backwards", from }));
      sameEvents(await downFrom(152), left.slice(0, 3).toReversed(), "backwards from within");
      assert.deepEqual(await downFrom(149), [], "backwards from below what is left");
    });

    const refused = [
      ["a negative revision", -1],
      ["a fraction", 2.5],
      ["NaN", Number.NaN],
      ["no end", Infinity],
    ] as const;
    suite.table("refuses what is no revision, and removes nothing", refused, async (run, before, stream) => {
      await run.append(stream, 5);
      await assert.rejects(async () => run.log.truncate(stream, before), { code: "invalid-read-options" });
      assert.equal((await gather(run.log.readStream(stream))).length, 5);
    });

    suite.test("an unknown stream: nothing happens", async (run) => {
      await run.append("s", 3);
      await run.log.truncate("unknown", 5);
      await run.append("unknown", 1, "no-stream");
      assert.equal((await gather(run.log.readAll())).length, 4);
    });

    suite.test("beside appends that are under way keeps them", async (run) => {
      await run.append("s", 10);
      await Promise.all([run.append("s", 5), run.log.truncate("s", 8), run.append("s", 5)]);
      const left = (await gather(run.log.readStream("s"))).map(({ revision }) => revision);
      assert.deepEqual(
        left,
        Array.from({ length: 12 }, (_, index) => 8 + index),
      );
    });

    suite.test("a subscription that catches up later gets what is left, a live one goes on", async (run) => {
      await run.append("s", LENGTH);
      const live = run.collect();
      await live.untilCaughtUp();
      await run.log.truncate("s", 190);
      const later = run.collect();
      await later.untilCaughtUp();
      sameEvents(later.events, live.events.slice(190), "the later catch-up");
      const event = run.event();
      await run.append("s", [event]);
      await Promise.all([live.untilEvent(event), later.untilEvent(event)]);
      assert.equal(live.events.length, LENGTH + 1);
    });

    suite.test("readers that are under way go on in order", async (run) => {
      await interleaved(run);
      let last = -1;
      for await (const { position, stream, revision } of run.log.readAll()) {
        assert(position > last);
        last = position;
        if (stream === "other" && revision === 10) await run.log.truncate("s", 150);
      }
      assert.equal(last, await run.log.head());
    });

    suite.testWith("reopen", "is seen by other handles, and lasts", async (run) => {
      const other = await run.reopen();
      await run.append("s", LENGTH);
      assert.equal((await gather(other.readStream("s"))).length, LENGTH);
      await run.log.truncate("s", 120);
      assert.equal((await gather(other.readStream("s")))[0]?.revision, 120);
      await other.truncate("s", 130);
      assert.equal((await gather(run.log.readStream("s")))[0]?.revision, 130);
      await run.log.close();
      assert.equal((await run.append("s", 1, LENGTH - 1, await run.reopen())).revision, LENGTH);
    });
  });
}

/** `stream` and "other", in turn; returns the whole log. */
async function interleaved(run: IsolatedRun, stream = "s"): Promise<RecordedEvent[]> {
  const appends: Promise<unknown>[] = [];
  for (let index = 0; index < LENGTH; index += 1) appends.push(run.append(stream, 1), run.append("other", 1));
  await Promise.all(appends);
  return gather(run.log.readAll());
}
