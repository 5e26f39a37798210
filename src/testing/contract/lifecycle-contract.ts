import assert from "node:assert/strict";
import type { EventLog } from "../../log/event-log.ts";
import { errorCode } from "../../errors.ts";
import { gather } from "../check-log-integrity.ts";
import type { ContractSuite } from "./contract-suite.ts";
import { succeeded } from "./isolated-run.ts";

/** More than engines fetch ahead. */
const LENGTH = 2_000;

export function lifecycleContract(suite: ContractSuite): void {
  suite.group("identity, head and closing", () => {
    suite.test("a log has an id and limits", async (run) => {
      assert(
        typeof run.log.logId === "string" && run.log.logId.length >= 8,
        "the logId is too short to be unique",
      );
      assert(Number.isSafeInteger(run.log.limits.maxAppendBytes));
    });

    suite.testWith("reopen", "the id is the log's, whichever handle is asked and whenever", async (run) => {
      const other = await run.reopen();
      assert.equal(other.logId, run.log.logId);
      await run.log.close();
      assert.equal((await run.reopen()).logId, other.logId);
    });

    suite.testWith("reopen", "handles see each other's events and share numbers", async (run) => {
      const other = await run.reopen();
      await run.append("s", 1, "no-stream");
      await run.append("s", 1, 0, other);
      assert.deepEqual(await run.log.append("s", run.events(1), 0), { ok: false, actualRevision: 1 });
      await run.append("s", 1, 1);
      for (const log of [run.log, other]) {
        assert.deepEqual(
          (await gather(log.readStream("s"))).map(({ revision }) => revision),
          [0, 1, 2],
        );
        assert.equal(await log.head(), (await gather(log.readAll())).at(-1)?.position);
      }
      await other.close();
      assert.equal((await run.append("s", 1, 2)).revision, 3, "closing one handle leaves the other open");
    });

    suite.test("the head is the position of the newest event", async (run) => {
      assert.equal(await run.log.head(), -1);
      for (const stream of ["a", "b", "a"]) {
        const { position } = await run.append(stream, 2);
        assert.equal(await run.log.head(), position);
      }
    });

    suite.test("any call after close says store-closed", async (run) => {
      const { log } = run;
      await run.append("s", 100);
      await log.close();
      const isClosed = { code: "store-closed" };
      await assert.rejects(async () => log.append("s", run.events(1), "any"), isClosed);
      await assert.rejects(async () => gather(log.readStream("s")), isClosed);
      await assert.rejects(async () => gather(log.readAll()), isClosed);
      await assert.rejects(async () => log.truncate("s", 1), isClosed);
      await assert.rejects(async () => log.head(), isClosed);
      if (log.appendSync !== undefined)
        assert.throws(() => log.appendSync?.("s", run.events(1), "any"), isClosed);
      await assert.rejects(subscribed(log), isClosed);
    });

    suite.test("closing twice is harmless, also at once", async (run) => {
      await Promise.all([run.log.close(), run.log.close()]);
      await run.log.close();
    });

    suite.testWith("reopen", "closing keeps the appends that were not awaited", async (run) => {
      const other = await run.reopen();
      const events = run.events(20);
      const appends = events.map((event) => run.log.append("s", [event], "any"));
      const closing = run.log.close();
      await assert.rejects(async () => run.log.append("s", run.events(1), "any"), { code: "store-closed" });
      await closing;
      assert.deepEqual(
        (await Promise.all(appends)).map((result) => succeeded(result).revision),
        [...events.keys()],
      );
      const stored = await gather(other.readStream("s"));
      assert.deepEqual(
        stored.map(({ id }) => id),
        events.map(({ id }) => id),
      );
    });

    suite.testWith(
      "reopen",
      "everything is there after all handles were closed one after the other",
      async (run) => {
        let expected = 0;
        let log = run.log;
        for (let round = 0; round < 5; round += 1) {
          await run.append("s", 50, expected === 0 ? "no-stream" : expected - 1, log);
          expected += 50;
          const next = await run.reopen();
          await log.close();
          log = next;
          assert.equal((await gather(log.readStream("s"))).length, expected);
        }
      },
    );

    suite.test("closing completes the live subscriptions", async (run) => {
      await run.append("s", 10);
      const collectors = [run.collect(), run.collect({ streamPrefix: "s" })];
      await Promise.all(collectors.map((collector) => collector.untilCaughtUp()));
      await run.log.close();
      await Promise.all(collectors.map((collector) => collector.untilEnded()));
      for (const { isCompleted, error } of collectors) assert(isCompleted, `it ended with ${String(error)}`);
    });

    suite.test(
      "closing does not wait for iterations that nobody goes on with, and ends those that do",
      async (run) => {
        await run.append("s", LENGTH);
        const iterators = [run.log.readStream("s"), run.log.readAll()].map((iterable) =>
          iterable[Symbol.asyncIterator](),
        );
        for (const iterator of iterators) assert.equal((await iterator.next()).done, false);
        await run.log.close();
        for (const iterator of iterators) {
          // What was fetched before may still come; then it says that the log was closed, never that this was all.
          let delivered = 1;
          const goOn = async (): Promise<void> => {
            while ((await iterator.next()).done !== true) delivered += 1;
          };
          if (await goOn().then(() => false, isStoreClosed)) continue;
          assert.equal(delivered, LENGTH, "an iteration ended early, as if the log were shorter");
        }
      },
    );
  });
}

/** True for store-closed; any other failure is thrown on. */
function isStoreClosed(failure: unknown): true {
  if (errorCode(failure) !== "store-closed") throw failure;
  return true;
}

async function subscribed(log: EventLog): Promise<void> {
  await new Promise<void>((resolve, reject) => {
    log.subscribe().subscribe({ next: () => {}, error: reject, complete: resolve });
  });
}
