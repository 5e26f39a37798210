import { afterAll, afterEach, beforeAll, describe, expect, it } from "@jest/globals";
import { openEventStoreDbEventLog } from "../../../src/log/eventstoredb/eventstoredb-event-log.ts";
import type { EventLog } from "../../../src/log/event-log.ts";
import { gather } from "../../../src/testing/check-log-integrity.ts";
import { grpc } from "../../support/eventstoredb-fixture/client-dependencies.ts";
import type { Fault, Step } from "../../support/eventstoredb-fixture/faults.ts";
import { FixtureNode, startCluster } from "../../support/eventstoredb-fixture/fixture-node.ts";
import { callFailure } from "../../support/eventstoredb-fixture/wire.ts";
import { ownLog } from "../../support/real-server.ts";
import { Follower, IMPATIENT, event, withLog } from "./fault-scenario.ts";

const tooSlow = callFailure(
  grpc.status.ABORTED,
  "Operation timed out: Consumer too slow to handle event while transitioning to live. Client resubscription required.",
);
const unavailable = callFailure(grpc.status.UNAVAILABLE, "");

const faults: [name: string, fault: Fault][] = [
  ["fails at once", { kind: "fail", failure: unavailable }],
  ["breaks with the connection", { kind: "reset" }],
  ["hangs", { kind: "hang" }],
  ["fails in the middle", { kind: "break", afterMessages: 7, failure: unavailable }],
];

async function fill(log: EventLog, count: number): Promise<void> {
  for (let index = 0; index < count; index += 50) {
    const events = Array.from({ length: Math.min(50, count - index) }, (_, more) => event(index + more));
    await log.append(`s${(index / 50) % 3}`, events, "any");
  }
}

let node: FixtureNode;
beforeAll(async () => {
  node = await FixtureNode.start();
});
afterEach(() => node.faults.clear());
afterAll(() => node.close());

describe("a read that breaks off", () => {
  it.each(
    faults.flatMap(([name, fault]) =>
      (["read-stream", "read-all"] as const).map((step): [Step, string, Fault] => [step, name, fault]),
    ),
  )("%s that %s is done again, without gap or double", async (step, _name, fault) => {
    await withLog(node.url, IMPATIENT, async (log) => {
      await fill(log, 300);
      const read = (): Promise<unknown[]> =>
        gather(step === "read-all" ? log.readAll() : log.readStream("s0"));
      const before = await read();
      // The log's own stream is read first, so that both kinds of read meet it.
      node.faults.inject(step, fault, { times: 2 });
      expect(await read()).toEqual(before);
      expect(node.faults.met.slice(-2).map(({ kind }) => kind)).toEqual([fault.kind, fault.kind]);
    });
  });

  it("gives up after the deadline, naming server, stream and last error", async () => {
    await withLog(node.url, { attemptTimeoutMs: 50, deadlineMs: 200 }, async (log) => {
      node.faults.inject("read-stream", { kind: "fail", failure: unavailable }, { times: Infinity });
      await expect(gather(log.readStream("s"))).rejects.toMatchObject({
        code: "server-unavailable",
        details: {
          server: expect.any(String),
          stream: expect.stringContaining(".s"),
          lastError: expect.any(String),
        },
      });
    });
  });

  it("a soft-deleted stream is empty and goes on counting; a tombstoned one is an error", async () => {
    await withLog(node.url, IMPATIENT, async (log, url) => {
      const name = new URL(url).searchParams.get("log");
      for (const stream of ["soft", "hard"]) await log.append(stream, [event(), event()], "any");
      node.database.softDelete(`${name}.soft`);
      node.database.tombstone(`${name}.hard`);
      expect(await gather(log.readStream("soft"))).toEqual([]);
      expect(await log.append("soft", [event()], "any")).toMatchObject({ ok: true, revision: 2 });
      await expect(gather(log.readStream("hard"))).rejects.toMatchObject({ code: "stream-deleted" });
    });
  });

  it("other logs' events, streams beside the log and the server's own never show up", async () => {
    await withLog(node.url, IMPATIENT, async (log, url) => {
      const name = new URL(url).searchParams.get("log");
      const foreign = {
        id: event().id,
        type: "T",
        contentType: "text/plain",
        data: Buffer.from("x"),
        metadata: Buffer.alloc(0),
      };
      for (const stream of [`${name}x.s`, `${name}`, "$settings", `$$${name}.s`, `x${name}.s`]) {
        node.database.append(stream, [{ ...foreign, id: event().id, data: Buffer.from("{}") }], "any");
      }
      const follower = new Follower(log);
      await follower.until(() => follower.caughtUp === 1);
      expect(await log.head()).toBe(-1);
      expect(await gather(log.readAll())).toEqual([]);
      const mine = event();
      await log.append("s", [mine], "any");
      await follower.untilEvent(mine.id);
      expect(follower.events).toHaveLength(1);
      follower.stop();
    });
  });

  it("what this library did not write is damage that names its place, not an exception of its own", async () => {
    await withLog(node.url, IMPATIENT, async (log, url) => {
      const name = new URL(url).searchParams.get("log");
      const foreign = {
        type: "T",
        contentType: "application/json",
        data: Buffer.from("{"),
        metadata: Buffer.alloc(0),
      };
      node.database.append(`${name}.s`, [{ ...foreign, id: event().id }], "any");
      const damage = { code: "foreign-event", details: { stream: "s", revision: 0 } };
      await expect(gather(log.readStream("s"))).rejects.toMatchObject(damage);
      await expect(gather(log.readAll())).rejects.toMatchObject(damage);
      const follower = new Follower(log);
      await expect(follower.until(() => follower.events.length > 0)).rejects.toMatchObject(damage);
    });
  });
});

describe("a subscription that is dropped", () => {
  const drops: [name: string, fault: Fault][] = [
    ...faults,
    ["is dropped as too slow", { kind: "break", afterMessages: 120, failure: tooSlow }],
    ["is ended politely", { kind: "end", afterMessages: 60 }],
    ["is ended before it is confirmed", { kind: "end", afterMessages: 0 }],
  ];
  it.each(drops)(
    "%s: resumes after what was delivered, and says when it has caught up",
    async (_name, fault) => {
      await withLog(node.url, IMPATIENT, async (log) => {
        await fill(log, 400);
        node.faults.inject("subscribe", fault, { times: 3 });
        const follower = new Follower(log);
        await follower.until(() => follower.caughtUp === 1);
        expect(follower.events).toHaveLength(400);
        const live = event("live");
        await log.append("s9", [live], "any");
        await follower.untilEvent(live.id);
        await follower.check(log);
        expect(node.faults.met.slice(-3).map(({ kind }) => kind)).toEqual([
          fault.kind,
          fault.kind,
          fault.kind,
        ]);
        follower.stop();
      });
    },
  );

  it.each([
    ["the connection breaks", async () => node.proxy.reset()],
    ["the server ends it", async () => node.endCalls()],
    [
      "the server is restarted",
      async () => {
        await node.kill();
        await node.restart();
      },
    ],
  ])("while live, because %s: goes on, and says again that it has caught up", async (_why, drop) => {
    await withLog(node.url, IMPATIENT, async (log) => {
      await fill(log, 10);
      const follower = new Follower(log);
      for (let round = 1; round <= 3; round += 1) {
        await follower.until(() => follower.caughtUp === round);
        const live = event(round);
        await log.append("live", [live], "any");
        await follower.untilEvent(live.id);
        await drop();
        // Nobody tells the follower of what came meanwhile.
        await log.append("meanwhile", [event(round)], "any");
      }
      await follower.until(() => follower.caughtUp === 4 && follower.events.length === 16);
      await follower.check(log);
      follower.stop();
    });
  });

  it("follows the leader", async () => {
    const { nodes, url } = await startCluster(2);
    const [first, second] = nodes as [FixtureNode, FixtureNode];
    try {
      await withLog(url, IMPATIENT, async (log) => {
        await fill(log, 20);
        const follower = new Follower(log);
        await follower.until(() => follower.caughtUp === 1);
        [first.isLeader, second.isLeader] = [false, true];
        first.endCalls();
        await follower.until(() => follower.caughtUp === 2);
        const live = event();
        await log.append("s", [live], "any");
        await follower.untilEvent(live.id);
        await follower.check(log);
        follower.stop();
      });
    } finally {
      for (const each of nodes) await each.close();
    }
  });

  it("reports how far it has looked through others' events, and need not look through them again", async () => {
    await withLog(node.url, IMPATIENT, async (log) => {
      const foreign = { type: "T", contentType: "application/json", metadata: Buffer.alloc(0) };
      const data = Buffer.from("{}");
      const many = Array.from({ length: 10_000 }, () => ({ ...foreign, data, id: event().id }));
      const outcome = node.database.append(`others-${event().id}`, many, "any");
      const follower = new Follower(log, { checkpoints: true });
      await follower.until(() => follower.caughtUp === 1);
      expect(follower.checkpoints.length).toBeGreaterThanOrEqual(2);
      // Dropped, it begins again where it was, not at the beginning.
      const begun = node.subscriptionStarts.length;
      node.proxy.reset();
      await follower.until(() => follower.caughtUp === 2);
      const last = outcome.kind === "success" ? (outcome.position ?? NaN) : NaN;
      const starts = node.subscriptionStarts.slice(begun);
      expect(starts.length).toBeGreaterThanOrEqual(1);
      for (const start of starts) expect(start).toBeGreaterThan(last - 5_000 * 122);
      const live = event("live");
      await log.append("s", [live], "any");
      await follower.untilEvent(live.id);
      await follower.check(log);
      follower.stop();
    });
  });

  it("ends with an error where going on is not allowed", async () => {
    await withLog(node.url, IMPATIENT, async (log) => {
      const denied = callFailure(grpc.status.PERMISSION_DENIED, "Access Denied", {
        exception: "access-denied",
      });
      node.faults.inject("subscribe", { kind: "fail", failure: denied });
      const follower = new Follower(log);
      await expect(follower.until(() => follower.caughtUp > 0)).rejects.toMatchObject({
        code: "access-denied",
      });
    });
  });
});

describe("a network that hangs", () => {
  it("stops nothing for good: appends, reads and subscriptions go on when it is back", async () => {
    const hanging = await FixtureNode.start();
    const log = await openEventStoreDbEventLog(ownLog(hanging.url), IMPATIENT);
    try {
      await fill(log, 100);
      const follower = new Follower(log);
      await follower.until(() => follower.caughtUp === 1);
      hanging.proxy.hang();
      const append = log.append("s", [event("while hung")], "any");
      const read = gather(log.readAll());
      // Each attempt that gets no answer gives its connection up.
      await hanging.proxy.untilConnected(3);
      hanging.proxy.resume();
      expect(await append).toMatchObject({ ok: true });
      expect((await read).length).toBeGreaterThanOrEqual(100);
      const live = event();
      await log.append("s", [live], "any");
      await follower.untilEvent(live.id);
      await follower.check(log);
      follower.stop();
    } finally {
      await log.close();
      await hanging.close();
    }
  });
});
