import { type ChildProcess, spawn } from "node:child_process";
import { once } from "node:events";
import { afterAll, beforeAll, describe, expect, it } from "@jest/globals";
import { openEventStoreDbEventLog } from "../../../src/log/eventstoredb/eventstoredb-event-log.ts";
import type { EventLog } from "../../../src/log/event-log.ts";
import { TcpProxy } from "../../support/eventstoredb-fixture/tcp-proxy.ts";
import { NO_REAL_SERVER, ownLog, realServer } from "../../support/real-server.ts";
import { Follower, Writer, event, withLog } from "./fault-scenario.ts";

/** What the fixture imitates, once more on the real thing. */

const server = realServer();
/** Starts the server of TURNLOG_TEST_ESDB in the foreground, on the data that it had before. */
const startCommand = process.env["TURNLOG_TEST_ESDB_START"];

const PATIENT = { attemptTimeoutMs: 2_000, deadlineMs: 120_000, openDeadlineMs: 120_000 };

if (server === undefined) {
  it.skip(`faults before a real EventStoreDB server (${NO_REAL_SERVER})`, () => {});
} else if (!/^esdb:\/\/[^,/?@]+\?.*tls=false/.test(server)) {
  it.skip("faults before a real EventStoreDB server (TURNLOG_TEST_ESDB is not one node without TLS, which a proxy can stand before)", () => {});
} else {
  describe("before a real EventStoreDB server", () => beforeServer(server));
}

if (startCommand === undefined || server === undefined) {
  it.skip("a real EventStoreDB server that is killed (TURNLOG_TEST_ESDB_START holds no command that starts it)", () => {});
} else {
  describe("a real EventStoreDB server that is killed", () => killed(server, startCommand));
}

function beforeServer(url: string): void {
  let proxy: TcpProxy;
  let proxied: string;
  beforeAll(async () => {
    const [, host = "", port = "2113"] = /^esdb:\/\/([^:/?]+)(?::(\d+))?/.exec(url) ?? [];
    proxy = await TcpProxy.start(Number(port), host);
    proxied = url.replace(/\/\/[^/?]+/, `//127.0.0.1:${proxy.port}`);
  });
  afterAll(() => proxy.close());

  it("connections that break during 400 appends: none lost, none doubled, order kept", async () => {
    await withLog(proxied, PATIENT, async (log) => {
      const writer = new Writer(log);
      for (let round = 0; round < 8; round += 1) {
        const appends = Array.from({ length: 50 }, (_, index) =>
          writer.append(`s${index % 30}`, "any", 1 + (index % 3)),
        );
        await appends[round * 5];
        proxy.reset();
        await Promise.all(appends);
      }
      expect(writer.failures).toEqual([]);
      await writer.check(log);
    });
  });

  it("a hang is survived by appends, and by a subscription", async () => {
    await withLog(proxied, { ...PATIENT, attemptTimeoutMs: 500 }, async (log) => {
      await log.append("s", [event()], "any");
      const follower = new Follower(log);
      await follower.until(() => follower.caughtUp === 1);
      proxy.hang();
      const writer = new Writer(log);
      const appends = Array.from({ length: 20 }, (_, index) => writer.append(`h${index % 7}`));
      await proxy.untilConnected(2);
      proxy.reset();
      proxy.resume();
      await Promise.all(appends);
      expect(writer.failures).toEqual([]);
      const live = event();
      await log.append("s", [live], "any");
      await follower.untilEvent(live.id);
      await follower.check(log);
      follower.stop();
    });
  });

  it("a position that this log never gave: what is above it, none below", async () => {
    await withLog(proxied, PATIENT, async (log) => {
      const first = await log.append("s", [event(), event()], "any");
      const last = event();
      await log.append("s", [last], "any");
      if (!first.ok) throw new Error("a conflict in a log of its own");
      for (const after of [first.position + 1, first.position + 7]) {
        const follower = new Follower(log, { after });
        await follower.until(() => follower.caughtUp === 1);
        expect(follower.events.map(({ id }) => id)).toEqual([last.id]);
        follower.stop();
      }
    });
  });

  it("a catch-up of 20,000 events under heavy appends, whatever drops it", async () => {
    await withLog(proxied, PATIENT, async (log) => {
      await fill(log, 20_000);
      const follower = new Follower(log);
      const writer = new Writer(log);
      for (let round = 0; round < 20; round += 1) {
        await Promise.all(Array.from({ length: 50 }, (_, index) => writer.append(`w${index}`, "any", 10)));
      }
      await follower.until(() => follower.events.length === 30_000);
      await follower.check(log);
      follower.stop();
    });
  });
}

function killed(url: string, command: string): void {
  let running: ChildProcess | undefined;
  const start = (): void => {
    running = spawn(command, { shell: true, detached: true, stdio: "ignore" });
  };
  const kill = async (): Promise<void> => {
    if (running?.pid === undefined) return;
    const ended = once(running, "exit");
    process.kill(-running.pid, "SIGKILL");
    await ended;
    running = undefined;
  };
  beforeAll(async () => {
    start();
    // Ready when a log can be opened on it.
    await (await openEventStoreDbEventLog(ownLog(url), PATIENT)).close();
  }, 180_000);
  afterAll(kill);

  it("during 100 in-flight appends and a catch-up: nothing acknowledged lost or doubled, all goes on by itself", async () => {
    await withLog(url, PATIENT, async (log) => {
      await fill(log, 10_000);
      const writer = new Writer(log);
      const appends = Array.from({ length: 100 }, (_, index) => writer.append(`k${index % 60}`, "any", 2));
      const follower = new Follower(log);
      await appends[10];
      await kill();
      start();
      await Promise.all(appends);
      expect(writer.failures).toEqual([]);
      expect(writer.acknowledged).toHaveLength(100);
      await follower.until(() => follower.events.length === 10_200);
      await follower.check(log);
      follower.stop();
      await writer.check(log);
    });
  }, 240_000);
}

async function fill(log: EventLog, count: number): Promise<void> {
  const batch = 500;
  for (let index = 0; index < count; index += batch) {
    await log.append(
      `s${(index / batch) % 5}`,
      Array.from({ length: batch }, (_, more) => event(index + more)),
      "any",
    );
  }
}
