import assert from "node:assert/strict";
import { errorCode } from "../../errors.ts";
import { setTimeout as pause } from "node:timers/promises";
import { config } from "rxjs";
import type { EventLog, RecordedEvent } from "../../log/event-log.ts";
import { checkOrder, gather, sameEvents } from "../check-log-integrity.ts";
import type { ContractSuite } from "./contract-suite.ts";
import type { IsolatedRun } from "./isolated-run.ts";
import type { SignalCollector } from "./signal-collector.ts";

export function subscribeContract(suite: ContractSuite): void {
  suite.group("subscribe: catch-up and live", () => {
    suite.test("on an empty log: caught up at once, then live", async (run) => {
      const collector = run.collect();
      await collector.untilCaughtUp();
      assert.deepEqual(collector.caughtUp, [-1]);
      await endsWithOneCaughtUp(run, collector, 0);
    });

    suite.test("delivers what is there, says once that it has, then delivers what comes", async (run) => {
      for (let batch = 0; batch < 5; batch += 1) await Promise.all([run.append("a", 64), run.append("b", 1)]);
      const collector = run.collect();
      await collector.untilCaughtUp();
      sameEvents(collector.events, await gather(run.log.readAll()), "the catch-up");
      assert.deepEqual(collector.caughtUp, [await run.log.head()]);
      for (let more = 0; more < 100; more += 1) await run.append(`s${more % 7}`, 1 + (more % 3));
      await endsWithOneCaughtUp(run, collector, 325);
      sameEvents(collector.events, await gather(run.log.readAll()), "all that was delivered");
    });

    suite.test("begins after a position", async (run) => {
      await run.append("s", 200);
      const all = await gather(run.log.readAll());
      for (const index of [0, 63, 64, 150]) {
        const collector = run.collect({ after: all[index]?.position ?? NaN });
        await collector.untilCaughtUp();
        sameEvents(collector.events, all.slice(index + 1), `the catch-up after event ${index}`);
      }
    });

    suite.test("refuses what is no position", async (run) => {
      for (const after of [-2, 0.5, Number.NaN, Infinity]) {
        const collector = run.collect({ after });
        await collector.untilEnded();
        assert.equal(errorCode(collector.error), "invalid-read-options", `after ${after}`);
      }
    });

    suite.test("begins after the head with nothing but what comes", async (run) => {
      await run.append("s", 100);
      const head = await run.log.head();
      const collector = run.collect({ after: head });
      await collector.untilCaughtUp();
      assert.deepEqual(collector.signals, [{ kind: "caught-up", position: head }]);
      await endsWithOneCaughtUp(run, collector, 0);
    });

    suite.test("a follower in no hurry gets the same, also beside a writer that never rests", async (run) => {
      await run.append("s", 100);
      const patient = run.collect({ batchMs: 20 });
      const selecting = run.collect({ batchMs: 20, streamPrefix: "s1" });
      await Promise.all([patient.untilCaughtUp(), selecting.untilCaughtUp()]);
      await writeForAWhile(run, [run.log], 40);
      const event = run.event();
      await run.append("s1", [event]);
      await Promise.all([patient.untilEvent(event), selecting.untilEvent(event)]);
      sameEvents(patient.events, await gather(run.log.readAll()), "all that was delivered");
      sameEvents(selecting.events, await gather(run.log.readAll({ streamPrefix: "s1" })), "the selection");
      assert.deepEqual([patient.caughtUp.length, selecting.caughtUp.length], [1, 1]);
    });

    suite.test("selects streams by prefix, in the catch-up and live", async (run) => {
      const streams = ["chat-1", "other-1", "chat-2", "Chat-1"];
      const appendAll = async (): Promise<void> => {
        for (let round = 0; round < 70; round += 1) {
          for (const stream of streams) await run.append(stream, 1);
        }
      };
      await appendAll();
      const collector = run.collect({ streamPrefix: "chat-" });
      const noneMatches = run.collect({ streamPrefix: "chat-3" });
      await collector.untilCaughtUp();
      await noneMatches.untilCaughtUp();
      assert.equal(collector.events.length, 140);
      await appendAll();
      const event = run.event();
      await run.append("chat-3", [event]);
      await Promise.all([collector.untilEvent(event), noneMatches.untilEvent(event)]);
      sameEvents(collector.events, await gather(run.log.readAll({ streamPrefix: "chat-" })), "the selection");
      assert.deepEqual(noneMatches.ids, [event.id]);
      assert.deepEqual([collector.caughtUp.length, noneMatches.caughtUp.length], [1, 1]);
    });

    suite.test("a caught-up position bounds what was delivered, also while others write", async (run) => {
      const writing = writeForAWhile(run, [run.log], 40);
      const collectors = Array.from({ length: 5 }, (_, index) =>
        run.collect(index % 2 === 0 ? {} : { streamPrefix: "s1" }),
      );
      await Promise.all([writing, ...collectors.map((collector) => collector.untilCaughtUp())]);
      const head = await run.log.head();
      for (const { signals, caughtUp } of collectors) {
        const [position = NaN] = caughtUp;
        assert(position <= head, `caught up at ${position}, above the head ${head}`);
        let isBefore = true;
        for (const signal of signals) {
          if (signal.kind === "caught-up") isBefore = false;
          if (signal.kind === "event")
            assert.equal(
              signal.event.position <= position,
              isBefore,
              "an event on the wrong side of caught-up",
            );
        }
      }
    });

    suite.test("checkpoints bound what was delivered, and come only to those who ask", async (run) => {
      const unasked = run.collect({ streamPrefix: "few" });
      const collector = run.collect({ streamPrefix: "few", checkpoints: true });
      for (let round = 0; round < 12; round += 1) {
        await run.append("many", 500);
        await run.append("few", 1);
      }
      await Promise.all([collector.untilEvents(12), unasked.untilEvents(12)]);
      let reached = -1;
      for (const signal of collector.signals) {
        const position = signal.kind === "event" ? signal.event.position : signal.position;
        if (signal.kind === "caught-up") continue;
        assert(
          position > reached,
          `${signal.kind} at ${position}, not above ${reached}, which was reached before`,
        );
        reached = position;
      }
      const kinds = new Set(unasked.signals.map(({ kind }) => kind));
      assert(!(kinds as Set<string>).has("checkpoint"), "a checkpoint that nobody had asked for");
      // Nothing is missed by going on after a checkpoint.
      const last = collector.signals.findLast(({ kind }) => kind === "checkpoint");
      if (last?.kind !== "checkpoint") return;
      const later = run.collect({ streamPrefix: "few", after: last.position });
      await later.untilCaughtUp();
      const all = await gather(run.log.readAll({ streamPrefix: "few" }));
      const after = all.filter(({ position }) => position > last.position);
      sameEvents(later.events, after, "what follows a checkpoint");
    });

    suite.test("each subscription to one observable is one of its own", async (run) => {
      await run.append("s", 100);
      const source = run.log.subscribe({ streamPrefix: "s" });
      const [first, second] = [run.collectFrom(source), run.collectFrom(source)];
      await Promise.all([first.untilCaughtUp(), second.untilCaughtUp()]);
      first.stop();
      const { events } = await run.append("s", 1);
      await second.untilEvents(101);
      assert.deepEqual([first.events.length, second.ids.at(-1)], [100, events[0]?.id]);
    });
  });

  suite.group("subscribe: unsubscribing", () => {
    suite.test("before anything was delivered delivers nothing", async (run) => {
      await run.append("s", 10);
      const stopped = run.collect();
      stopped.stop();
      const delivered = stopped.signals.length;
      await barrier(run);
      assert.equal(stopped.signals.length, delivered);
    });

    suite.test("in the middle of a catch-up ends it there", async (run) => {
      await run.append("s", 500);
      const collector = run.collect();
      await collector.untilEvents(1);
      collector.stop();
      const delivered = collector.signals.length;
      await barrier(run);
      assert.equal(collector.signals.length, delivered);
    });

    for (const phase of ["catch-up", "live"] as const) {
      suite.test(`inside next(), in the ${phase} phase, delivers nothing more`, async (run) => {
        if (phase === "catch-up") await run.append("s", 300);
        const stopAt = 5;
        const collector = run.collect({}, run.log, (delivered) => {
          if (delivered === stopAt) collector.stop();
        });
        if (phase === "live") {
          await collector.untilCaughtUp();
          await run.append("s", 300);
        }
        await barrier(run);
        assert.equal(collector.events.length, stopAt);
      });
    }

    suite.test("one of two leaves the other alone", async (run) => {
      await run.append("s", 200);
      const [staying, leaving] = [run.collect(), run.collect()];
      await Promise.all([staying.untilCaughtUp(), leaving.untilCaughtUp()]);
      leaving.stop();
      await run.append("s", 50);
      await staying.untilEvents(250);
      assert.equal(leaving.events.length, 200);
      sameEvents(staying.events, await gather(run.log.readAll()), "the one that stayed");
    });

    suite.test("many times over releases everything each time", async (run) => {
      await run.append("s", 70);
      for (let round = 0; round < 50; round += 1) {
        const collector = run.collect();
        if (round % 2 === 0) await collector.untilEvents(1);
        collector.stop();
      }
      await barrier(run);
    });
  });

  suite.group("subscribe: subscribers that misbehave", () => {
    suite.test("one that is busy in next() misses nothing and holds nobody else up", async (run) => {
      await run.append("s", 100);
      const slow = run.collect({}, run.log, () => busyFor(1));
      const fast = run.collect();
      const { events } = await run.append("s", 100);
      const last = events.at(-1) ?? run.event();
      await Promise.all([slow.untilEvent(last), fast.untilEvent(last)]);
      const all = await gather(run.log.readAll());
      sameEvents(slow.events, all, "the slow subscriber");
      sameEvents(fast.events, all, "the fast subscriber");
    });

    suite.test("one that throws hurts neither the others nor the writers", async (run) => {
      await run.append("s", 100);
      const thrown: unknown[] = [];
      const handlerBefore = config.onUnhandledError;
      config.onUnhandledError = (error) => thrown.push(error);
      try {
        const thrower = run.collect({}, run.log, () => {
          throw new Error("thrown by a subscriber");
        });
        const other = run.collect();
        await other.untilCaughtUp();
        await run.append("s", 20);
        await other.untilEvents(120);
        await barrier(run);
        sameEvents(other.events.slice(0, 120), (await gather(run.log.readAll())).slice(0, 120), "the other");
        thrower.stop();
        // rxjs reports such errors in timers, which must run while the handler stands.
        await pause(1);
      } finally {
        config.onUnhandledError = handlerBefore;
      }
      assert(thrown.length > 0, "the thrower never got an event");
    });

    suite.test("one that appends inside next() gets its own events, in order", async (run) => {
      const appends: Promise<unknown>[] = [];
      const collector = run.collect({}, run.log, (delivered) => {
        if (delivered < 50) appends.push(run.append("s", 1));
      });
      await run.append("s", 1);
      await collector.untilEvents(50);
      await Promise.all(appends);
      sameEvents(collector.events, await gather(run.log.readAll()), "the appender");
    });
  });

  suite.group("subscribe: order under concurrent writers", () => {
    suite.test("nothing ever appears below a delivered position", async (run) => {
      await deliversInOrder(run, [run.log]);
    });

    suite.testWith(
      "reopen",
      "nothing ever appears below a delivered position, across handles",
      async (run) => {
        await deliversInOrder(run, [run.log, await run.reopen(), await run.reopen()]);
      },
    );

    suite.testWith("reopen", "events reach subscribers of another handle, both ways", async (run) => {
      const other = await run.reopen();
      await run.append("s", 100);
      const [here, there] = [run.collect({}, run.log), run.collect({}, other)];
      await Promise.all([here.untilCaughtUp(), there.untilCaughtUp()]);
      for (const writer of [run.log, other, run.log, other]) {
        const event = run.event();
        await run.append("s", [event], "any", writer);
        await Promise.all([here.untilEvent(event), there.untilEvent(event)]);
      }
      assert.deepEqual([here.caughtUp.length, there.caughtUp.length], [1, 1]);
      sameEvents(here.events, there.events, "the two handles");
    });
  });
}

async function deliversInOrder(run: IsolatedRun, handles: readonly EventLog[]): Promise<void> {
  await run.append("s0", 100);
  const early = handles.map((log) => run.collect({}, log));
  const writing = writeForAWhile(run, handles, 60);
  await early[0]?.untilEvents(200);
  const late = handles.map((log) => run.collect({}, log));
  await writing;
  const last = run.event();
  await run.append("last", [last]);
  const collectors = [...early, ...late];
  await Promise.all(collectors.map((collector) => collector.untilEvent(last)));
  const all = await gather(run.log.readAll());
  for (const collector of collectors) {
    checkOrder(collector.events);
    sameEvents(collector.events, all, "a subscriber");
  }
}

/** Writers of twelve streams at once, some of them several appends in a tick. */
async function writeForAWhile(run: IsolatedRun, handles: readonly EventLog[], rounds: number): Promise<void> {
  const write = async (writer: number): Promise<void> => {
    const log = handles[writer % handles.length] ?? run.log;
    for (let round = 0; round < rounds; round += 1) {
      await Promise.all([
        run.append(`s${writer}`, 1, "any", log),
        run.append(`s${(writer + round) % 12}`, 2, "any", log),
      ]);
    }
  };
  await Promise.all(Array.from({ length: 12 }, (_, writer) => write(writer)));
}

/** Returns when later events have gone the whole way to a live subscriber, so that what was under way before has too. */
async function barrier(run: IsolatedRun): Promise<void> {
  const witness = run.collect({ after: await run.log.head() });
  await witness.untilCaughtUp();
  for (let pass = 0; pass < 2; pass += 1) {
    const event = run.event("barrier");
    await run.append("barrier", [event]);
    await witness.untilEvent(event);
  }
  witness.stop();
}

async function endsWithOneCaughtUp(
  run: IsolatedRun,
  collector: SignalCollector,
  atLeast: number,
): Promise<void> {
  const event = run.event("last");
  await run.append("last", [event]);
  await collector.untilEvent(event);
  await barrier(run);
  assert.equal(collector.caughtUp.length, 1, "a catch-up is signalled once");
  assert(collector.events.length > atLeast);
  const order: RecordedEvent[] = collector.events;
  checkOrder(order);
}

function busyFor(ms: number): void {
  const end = performance.now() + ms;
  while (performance.now() < end);
}
