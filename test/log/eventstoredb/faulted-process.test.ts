import { join } from "node:path";
import { afterAll, beforeAll, describe, expect, it } from "@jest/globals";
import { openEventStoreDbEventLog } from "../../../src/log/eventstoredb/eventstoredb-event-log.ts";
import { openConversationStore } from "../../../src/store/open-conversation-store.ts";
import { gather } from "../../../src/testing/check-log-integrity.ts";
import { Child, root, withFolder } from "../../examples/child-process.ts";
import { FixtureNode } from "../../support/eventstoredb-fixture/fixture-node.ts";
import { ownLog } from "../../support/real-server.ts";
import { Follower, IMPATIENT, event } from "./fault-scenario.ts";

const MEBI = 1_048_576;
/** What each delta of the child has. */
const PIECE_UNITS = 1_000;
const isLong = process.env["TURNLOG_TEST_LONG"] !== undefined;

let node: FixtureNode;
beforeAll(async () => {
  node = await FixtureNode.start();
});
afterAll(() => node.close());

describe("a process whose server goes away", () => {
  it("goes on taking deltas up to a bound, then waits; goes on by itself; is not hurt", () =>
    withFolder(async () => {
      const url = ownLog(node.url);
      const script = join(root, "test/log/eventstoredb/children/streaming-process.js");
      const child = new Child(process.execPath, [script, url]);
      await child.waitForText("begun");
      await node.kill();
      child.write("go\n");
      const taken = await child.waitFor((stdout) => /waiting (\d+)/.exec(stdout)?.[1]);
      // The piece that reaches the bound is the one that waits, and is not taken yet.
      expect(Number(taken) + PIECE_UNITS).toBeGreaterThanOrEqual(MEBI);
      expect(Number(taken)).toBeLessThan(MEBI + 4 * 65_536);
      await node.restart();
      await child.waitForText("going-on");
      node.proxy.reset();
      child.write("end\n");
      // Nothing on stderr: no unhandled rejection, no uncaught exception, no warning.
      const { code, stdout, stderr } = await child.ended();
      expect({ code, stderr }).toEqual({ code: 0, stderr: "" });
      const [, units = ""] = /done (.*)/.exec(stdout) ?? [];
      const store = await openConversationStore(url, { readOnly: true });
      for (const [index, count] of units.split(" ").entries()) {
        const { parts, status } = await store.lastAssistantMessage(`s${index}`);
        expect(status).toBe("finished");
        expect(parts).toEqual([{ kind: "text", text: "x".repeat(Number(count)) }]);
      }
      await store.close();
    }));

  it("ends by itself when it has nothing left to do, with its log open", () =>
    withFolder(async () => {
      const code = `
        import { openEventLog } from ${JSON.stringify(join(root, "build/log/open-event-log.js"))};
        const log = await openEventLog(${JSON.stringify(ownLog(node.url))});
        const id = "11111111-1111-4111-8111-111111111111";
        await log.append("s", [{ id, type: "T", data: {}, metadata: {} }], "any");`;
      const child = new Child(process.execPath, ["--input-type=module", "-e", code]);
      expect(await child.ended()).toMatchObject({ code: 0, stderr: "" });
    }));
});

describe("a connection that is reset", () => {
  // So many pieces of data does the whole session below exchange, and some more than that.
  const pieces = isLong
    ? Array.from({ length: 120 }, (_, index) => index)
    : [0, 1, 2, 3, 5, 8, 13, 21, 34, 55];

  it.each(pieces)("after %i pieces of data, then again: all is as if it had not been", async (count) => {
    const url = ownLog(node.url);
    node.proxy.resetAfter(count);
    const log = await openEventStoreDbEventLog(url, { ...IMPATIENT, openDeadlineMs: 30_000 });
    const follower = new Follower(log);
    const ids: string[] = [];
    for (let round = 0; round < 3; round += 1) {
      node.proxy.resetAfter(count);
      const events = [event(round), event(round)];
      ids.push(...events.map(({ id }) => id));
      expect(await log.append("s", events, "any")).toMatchObject({ ok: true, revision: 2 * round + 1 });
      expect(await gather(log.readStream("s"))).toHaveLength(2 * round + 2);
      await follower.untilEvent(events[1]?.id ?? "");
    }
    await log.truncate("s", 2);
    expect((await gather(log.readAll())).map(({ id }) => id)).toEqual(ids.slice(2));
    expect(follower.events.map(({ id }) => id)).toEqual(ids);
    follower.stop();
    await log.close();
  });
});

describe("a server that is restarted, or hangs", () => {
  it("during a catch-up: it goes on where it was", async () => {
    const log = await openEventStoreDbEventLog(ownLog(node.url), IMPATIENT);
    for (let batch = 0; batch < 10; batch += 1) {
      await log.append(
        `s${batch % 3}`,
        Array.from({ length: 400 }, () => event(batch)),
        "any",
      );
    }
    const follower = new Follower(log);
    for (const delivered of [100, 1_500, 3_000]) {
      await follower.until(() => follower.events.length >= delivered);
      await node.kill();
      await node.restart();
    }
    await follower.until(() => follower.caughtUp === 1);
    expect(follower.events).toHaveLength(4_000);
    await follower.check(log);
    follower.stop();
    await log.close();
  });

  const hangMs = isLong ? 30_000 : 1_000;
  it(`hangs for ${hangMs / 1_000} s: appends, reads and subscriptions end well`, async () => {
    const log = await openEventStoreDbEventLog(ownLog(node.url), { attemptTimeoutMs: 300 });
    const before = event("before");
    await log.append("s", [before], "any");
    const follower = new Follower(log);
    await follower.untilEvent(before.id);
    node.proxy.hang();
    const meanwhile = event("meanwhile");
    const append = log.append("s", [meanwhile], 0);
    const read = gather(log.readAll());
    // How long it hangs is what is tested, not something that is waited for.
    await new Promise((resolve) => setTimeout(resolve, hangMs));
    node.proxy.resume();
    expect(await append).toMatchObject({ ok: true, revision: 1 });
    expect((await read)[0]?.id).toBe(before.id);
    await follower.untilEvent(meanwhile.id);
    expect(follower.events.map(({ id }) => id)).toEqual([before.id, meanwhile.id]);
    follower.stop();
    await log.close();
  }, 120_000);
});

describe("a queue of appends to a server that is away", () => {
  it("fails together when the deadline has passed, not one deadline after the other", async () => {
    const away = await FixtureNode.start();
    const log = await openEventStoreDbEventLog(ownLog(away.url), { attemptTimeoutMs: 100, deadlineMs: 400 });
    await away.kill();
    const started = performance.now();
    const appends = Array.from({ length: 50 }, () => log.append("s", [event()], "any"));
    for (const result of await Promise.allSettled(appends)) {
      expect(result).toMatchObject({ status: "rejected", reason: { code: "server-unavailable" } });
    }
    // 50 deadlines are 20 s.
    expect(performance.now() - started).toBeLessThan(15_000);
    await log.close();
    await away.close();
  });
});
