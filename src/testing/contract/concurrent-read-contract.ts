import assert from "node:assert/strict";
import { setImmediate as nextTick } from "node:timers/promises";
import type { EventLog, RecordedEvent } from "../../log/event-log.ts";
import {
  byStream,
  checkRevisions,
  checkWhole,
  gather,
  gatherRuns,
  sameEvents,
} from "../check-log-integrity.ts";
import type { ContractSuite } from "./contract-suite.ts";

/** Above every page size that small events may have. */
const LONG = 300;

export function concurrentReadContract(suite: ContractSuite): void {
  suite.group("reading: while others write, and iterations that are broken off", () => {
    suite.test("an append that was acknowledged before a read starts is in it", async (run) => {
      const handles = run.canReopen ? [run.log, await run.reopen()] : [run.log];
      let last = -1;
      for (let round = 0; round < 100; round += 1) {
        const writer = handles[round % handles.length] ?? run.log;
        const { revision, position, events } = await run.append("s", 1, "any", writer);
        for (const reader of handles) {
          const bothReads = [
            gather(reader.readStream("s", { from: revision })),
            gather(reader.readAll({ after: last })),
          ];
          for (const read of await Promise.all(bothReads)) {
            assert.deepEqual(
              read.map(({ id }) => id),
              events.map(({ id }) => id),
            );
          }
        }
        last = position;
      }
    });

    suite.test("readAll stays in order and without gaps under concurrent writers", async (run) => {
      const handles = run.canReopen ? [run.log, await run.reopen()] : [run.log];
      const writing = { left: 24 };
      const write = async (stream: string, log: EventLog): Promise<void> => {
        for (let written = 0; written < 80;) {
          const size = 1 + (written % 3);
          // Un-awaited pairs, so that commits of several appends occur too.
          await Promise.all([run.append(stream, size, "any", log), run.append(stream, 1, "any", log)]);
          written += size + 1;
        }
        writing.left -= 1;
      };
      const readFromTheStart = async (log: EventLog): Promise<void> => {
        do {
          await nextTick();
          checkWhole(await gather(log.readAll()));
        } while (writing.left > 0);
      };
      const follow = async (log: EventLog): Promise<RecordedEvent[]> => {
        const followed: RecordedEvent[] = [];
        let isLast: boolean;
        do {
          // Short reads may answer without ever leaving the event loop to the writers.
          await nextTick();
          isLast = writing.left === 0;
          for await (const event of log.readAll({ after: followed.at(-1)?.position ?? -1, limit: 100 }))
            followed.push(event);
          if (isLast && (await log.head()) !== followed.at(-1)?.position) isLast = false;
        } while (!isLast);
        return followed;
      };
      const writers = Array.from({ length: writing.left }, (_, index) =>
        write(`s${index}`, handles[index % handles.length] ?? run.log),
      );
      const followers = handles.map(follow);
      await Promise.all([...writers, ...handles.map(readFromTheStart)]);
      const all = await gather(run.log.readAll());
      checkWhole(all);
      for (const followed of await Promise.all(followers))
        sameEvents(followed, all, "a reader that followed");
    });

    suite.test("reading by runs misses and doubles nothing under concurrent writers", async (run) => {
      const handles = run.canReopen ? [run.log, await run.reopen()] : [run.log];
      const writing = { left: 12 };
      const write = async (stream: string, log: EventLog): Promise<void> => {
        for (let written = 0; written < 100; written += 2)
          await Promise.all([run.append(stream, 1, "any", log), run.append(stream, 1, "any", log)]);
        writing.left -= 1;
      };
      const read = async (log: EventLog, pieceEvents: number): Promise<void> => {
        do {
          const events = await gatherRuns(log, { pieceEvents }, nextTick);
          checkRuns(events);
          await nextTick();
        } while (writing.left > 0);
      };
      // What each stream has is gapless from its beginning, so that what is missing can only be at its end.
      const checkRuns = (events: readonly RecordedEvent[]): void => {
        for (const [stream, ofStream] of byStream(events)) {
          assert.equal(ofStream[0]?.revision, 0, `readRuns lacks the beginning of stream "${stream}"`);
          checkRevisions(stream, ofStream);
        }
      };
      await Promise.all([
        ...Array.from({ length: writing.left }, (_, index) =>
          write(`s${index}`, handles[index % handles.length] ?? run.log),
        ),
        ...handles.map((log, index) => read(log, index === 0 ? 5 : 200)),
      ]);
      sameEvents(await gatherRuns(run.log), await gather(run.log.readAll()), "readRuns against readAll");
    });

    suite.test("a stream read while it grows has no gaps", async (run) => {
      const writing = { isDone: false };
      const write = async (): Promise<void> => {
        for (let batch = 0; batch < 100; batch += 1)
          await Promise.all([run.append("s", 3), run.append("other", 5)]);
        writing.isDone = true;
      };
      const read = async (direction: "forwards" | "backwards"): Promise<void> => {
        do {
          await nextTick();
          const events = await gather(run.log.readStream("s", { direction }));
          if (direction === "backwards") events.reverse();
          checkRevisions("s", events);
          assert.equal(events[0]?.revision ?? 0, 0);
        } while (!writing.isDone);
      };
      await Promise.all([write(), read("forwards"), read("backwards")]);
    });

    suite.test("an iteration can be broken off, by break and by an error, and another begun", async (run) => {
      await run.append("s", LONG);
      const iterations: (() => AsyncIterable<RecordedEvent>)[] = [
        () => run.log.readStream("s"),
        () => run.log.readStream("s", { direction: "backwards" }),
        () => run.log.readAll(),
      ];
      for (const iterate of iterations) {
        for (const stopAfter of [1, 2, 70]) {
          assert.equal(await countUntil(iterate(), stopAfter), stopAfter);
          await assert.rejects(failAfter(iterate(), stopAfter), /the consumer's own error/);
          // Whatever the iteration held would now be in the way.
          await run.append("s", 1);
        }
        assert.equal((await gather(iterate())).length, (await run.append("s", 1)).revision);
      }
    });

    suite.test("a long iteration leaves the event loop to others on its way", async (run) => {
      for (let batch = 0; batch < 3; batch += 1) await run.append("s", 1_000);
      for (const iterate of [() => run.log.readStream("s"), () => run.log.readAll()]) {
        let turns = 0;
        let turn = setImmediate(function count() {
          turns += 1;
          turn = setImmediate(count);
        });
        assert.equal((await gather(iterate())).length, 3_000);
        clearImmediate(turn);
        assert(turns > 1, "reading 3,000 events stopped the event loop until the last one");
      }
    });

    suite.test("iterations that overlap do not disturb each other", async (run) => {
      const { events } = await run.append("s", LONG);
      const ids = events.map(({ id }) => id);
      const iterators = [
        run.log.readStream("s"),
        run.log.readAll(),
        run.log.readStream("s"),
        run.log.readAll(),
      ].map((iterable) => iterable[Symbol.asyncIterator]());
      for (const id of ids) {
        for (const iterator of iterators) {
          const step = await iterator.next();
          assert(step.done !== true && step.value.id === id);
        }
        if (id === ids[100]) await iterators.pop()?.return?.();
      }
      for (const iterator of iterators) assert.equal((await iterator.next()).done, true);
    });
  });
}

async function countUntil(events: AsyncIterable<RecordedEvent>, stopAfter: number): Promise<number> {
  let count = 0;
  for await (const _event of events) {
    count += 1;
    if (count === stopAfter) break;
  }
  return count;
}

async function failAfter(events: AsyncIterable<RecordedEvent>, stopAfter: number): Promise<void> {
  let count = 0;
  for await (const _event of events) {
    count += 1;
    if (count === stopAfter) throw new Error("the consumer's own error");
  }
}
