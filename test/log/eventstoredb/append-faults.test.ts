import { afterAll, afterEach, beforeAll, describe, expect, it } from "@jest/globals";
import { openEventStoreDbEventLog } from "../../../src/log/eventstoredb/eventstoredb-event-log.ts";
import { gather } from "../../../src/testing/check-log-integrity.ts";
import { grpc } from "../../support/eventstoredb-fixture/client-dependencies.ts";
import type { Fault } from "../../support/eventstoredb-fixture/faults.ts";
import { FixtureNode, startCluster } from "../../support/eventstoredb-fixture/fixture-node.ts";
import { callFailure } from "../../support/eventstoredb-fixture/wire.ts";
import { ownLog } from "../../support/real-server.ts";
import { IMPATIENT, Writer, event, withLog } from "./fault-scenario.ts";

const unavailable = callFailure(grpc.status.UNAVAILABLE, "");

describe("an append whose answer does not come", () => {
  let node: FixtureNode;
  beforeAll(async () => {
    node = await FixtureNode.start();
  });
  afterEach(() => node.faults.clear());
  afterAll(() => node.close());

  const faults: [name: string, fault: Fault][] = [
    ["the connection breaks before it is done", { kind: "reset" }],
    ["the connection breaks after it was done", { kind: "answer-lost" }],
    ["the server hangs", { kind: "hang" }],
    ["the call fails as unavailable", { kind: "fail", failure: unavailable }],
    [
      "the call fails with a status that says nothing",
      { kind: "fail", failure: callFailure(grpc.status.INTERNAL, "") },
    ],
    [
      "the call is cancelled by the server",
      { kind: "fail", failure: callFailure(grpc.status.CANCELLED, "") },
    ],
    ["the server is not ready", { kind: "says", message: "Server Is Not Ready" }],
    ["the server is busy", { kind: "says", message: "Server Is Busy" }],
    ["the answer comes after the timeout", { kind: "delay", ms: 400 }],
  ];
  describe.each(faults)("%s", (_name, fault) => {
    it.each(["no-stream", "any", "stream-exists", 0] as const)(
      "with %p is tried again, and is there once",
      async (expected) => {
        await withLog(node.url, IMPATIENT, async (log) => {
          const writer = new Writer(log);
          if (expected !== "no-stream") await writer.append("s", "no-stream");
          node.faults.inject("append", fault, { times: 2 });
          await writer.append("s", expected, 3);
          await writer.append("s");
          expect(node.faults.met.slice(-2).map(({ kind }) => kind)).toEqual([fault.kind, fault.kind]);
          expect(writer.failures).toEqual([]);
          await writer.check(log);
        });
      },
    );
  });

  it("is told from another writer's events that came in between", async () => {
    await withLog(node.url, IMPATIENT, async (log, url) => {
      const other = await openEventStoreDbEventLog(url, { internals: { ownConnection: true } });
      await log.append("s", [event()], "no-stream");
      node.faults.inject("append", { kind: "reset" });
      const pending = log.append("s", [event("first")], 0);
      await other.append("s", [event("other")], 0);
      expect(await pending).toEqual({ ok: false, actualRevision: 1 });
      await other.close();
    });
  });

  it("reports as server-unavailable, with server, stream and last error, when the deadline has passed", async () => {
    await withLog(node.url, { attemptTimeoutMs: 50, deadlineMs: 200 }, async (log) => {
      node.faults.inject("append", { kind: "says", message: "Server Is Not Ready" }, { times: Infinity });
      await expect(log.append("s", [event()], "any")).rejects.toMatchObject({
        code: "server-unavailable",
        details: {
          server: expect.stringContaining("127.0.0.1"),
          stream: expect.stringContaining(".s"),
          lastError: "Server Is Not Ready",
        },
      });
      node.faults.clear();
      expect(await log.append("s", [event()], "any")).toMatchObject({ ok: true, revision: 0 });
    });
  });

  it("fails at once where trying again would not help", async () => {
    await withLog(node.url, IMPATIENT, async (log, url) => {
      const denied = callFailure(grpc.status.PERMISSION_DENIED, "Access Denied", {
        exception: "access-denied",
      });
      node.faults.inject("append", { kind: "fail", failure: denied });
      await expect(log.append("s", [event()], "any")).rejects.toMatchObject({ code: "access-denied" });
      const name = new URL(url).searchParams.get("log");
      node.database.tombstone(`${name}.gone`);
      await expect(log.append("gone", [event()], "any")).rejects.toMatchObject({ code: "stream-deleted" });
    });
  });
});

describe("appends while the server goes down", () => {
  it("killed during 100 in flight: none lost, none doubled, order kept, and it goes on by itself", async () => {
    const node = await FixtureNode.start();
    try {
      await withLog(node.url, IMPATIENT, async (log) => {
        const writer = new Writer(log);
        const appends: Promise<void>[] = [];
        for (let round = 0; round < 4; round += 1) {
          for (let stream = 0; stream < 50; stream += 1)
            appends.push(writer.append(`s${stream}`, "any", 1 + (round % 2)));
          for (let more = 0; more < 50; more += 1) appends.push(writer.append("busy"));
          await appends[(round + 1) * 100 - 60];
          await node.kill();
          await node.restart();
        }
        await Promise.all(appends);
        expect(writer.failures).toEqual([]);
        expect(writer.acknowledged).toHaveLength(400);
        await writer.check(log);
      });
    } finally {
      await node.close();
    }
  });

  it("another server's failure does not touch this one's appends", async () => {
    const [failing, healthy] = [await FixtureNode.start(), await FixtureNode.start()];
    const failingLog = await openEventStoreDbEventLog(ownLog(failing.url), {
      attemptTimeoutMs: 100,
      deadlineMs: 300,
    });
    try {
      await withLog(healthy.url, IMPATIENT, async (log) => {
        const writer = new Writer(log);
        await failingLog.append("s", [event()], "any");
        healthy.faults.inject("append", { kind: "delay", ms: 50 }, { times: 30 });
        const pending = Array.from({ length: 30 }, (_, index) => writer.append(`s${index}`));
        const lost = expect(failingLog.append("s", [event()], "any")).rejects.toMatchObject({
          code: "server-unavailable",
        });
        await failing.kill();
        await Promise.all(pending);
        await lost;
        expect(writer.acknowledged).toHaveLength(30);
        expect(healthy.faults.met).toHaveLength(30);
        await writer.check(log);
      });
    } finally {
      await failingLog.close();
      await failing.close();
      await healthy.close();
    }
  });
});

describe("a cluster whose leader changes", () => {
  it("takes the appends at the new leader, where reads follow", async () => {
    const { nodes, url } = await startCluster(2);
    const [first, second] = nodes as [FixtureNode, FixtureNode];
    try {
      await withLog(url, IMPATIENT, async (log) => {
        const writer = new Writer(log);
        const appends: Promise<void>[] = [];
        for (let round = 0; round < 6; round += 1) {
          for (let stream = 0; stream < 10; stream += 1) appends.push(writer.append(`s${stream}`));
          await appends[round * 10];
          // For a moment there is no leader at all.
          [first.isLeader, second.isLeader] = [false, false];
          await gather(log.readStream("unknown", { limit: 0 }));
          [first.isLeader, second.isLeader] = round % 2 === 0 ? [false, true] : [true, false];
          expect(await gather(log.readStream("s0"))).not.toHaveLength(0);
        }
        await Promise.all(appends);
        expect(writer.failures).toEqual([]);
        await writer.check(log);
      });
    } finally {
      for (const node of nodes) await node.close();
    }
  });

  it("the leader killed: goes to the other node", async () => {
    const { nodes, url } = await startCluster(3);
    const [first, second] = nodes as [FixtureNode, FixtureNode];
    try {
      await withLog(url, IMPATIENT, async (log) => {
        const writer = new Writer(log);
        await writer.append("s");
        const appends = Array.from({ length: 40 }, (_, index) => writer.append(`s${index % 20}`));
        first.isLeader = false;
        await first.kill();
        second.isLeader = true;
        await Promise.all(appends);
        await writer.append("s");
        expect(writer.failures).toEqual([]);
        await writer.check(log);
      });
    } finally {
      for (const node of nodes) await node.close();
    }
  });
});
