import assert from "node:assert/strict";
import { gather } from "../check-log-integrity.ts";
import type { ContractSuite } from "./contract-suite.ts";
import { succeeded } from "./isolated-run.ts";

export function appendSyncContract(suite: ContractSuite): void {
  suite.group("appendSync", () => {
    suite.testWith(
      "appendSync",
      "is done when it returns, after all that was appended before",
      async (run) => {
        const events = run.events(6);
        const queued = [0, 1, 2].map((index) => run.log.append("s", events.slice(index, index + 1), "any"));
        const result = run.log.appendSync?.("s", events.slice(3, 5), 2);
        assert(
          result !== undefined,
          'appendSync is absent; say why in the option without: {appendSync: "…"}',
        );
        const { revision, position } = succeeded(result);
        assert.equal(revision, 4);
        assert.deepEqual(
          (await Promise.all(queued)).map((one) => succeeded(one).revision),
          [0, 1, 2],
        );
        await run.append("s", events.slice(5), 4);
        const stored = await gather(run.log.readStream("s"));
        assert.deepEqual(
          stored.map(({ id }) => id),
          events.map(({ id }) => id),
        );
        assert.equal(stored[4]?.position, position);
      },
    );

    suite.testWith("appendSync", "reports conflicts and retries as append does", async (run) => {
      const [event] = run.events(1);
      assert(event !== undefined);
      const first = run.log.appendSync?.("s", [event], "no-stream");
      assert.deepEqual(run.log.appendSync?.("s", [event], "no-stream"), first);
      assert.deepEqual(await run.log.append("s", [event], "no-stream"), first);
      assert.deepEqual(run.log.appendSync?.("s", run.events(1), "no-stream"), {
        ok: false,
        actualRevision: 0,
      });
      assert.equal((await gather(run.log.readStream("s"))).length, 1);
    });

    suite.testWith("appendSync", "reaches live subscribers", async (run) => {
      const live = run.collect();
      await live.untilCaughtUp();
      const event = run.event();
      run.log.appendSync?.("s", [event], "any");
      await live.untilEvent(event);
    });
  });
}
