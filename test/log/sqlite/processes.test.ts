import { type ChildProcess, execFile, execFileSync, spawn } from "node:child_process";
import { once } from "node:events";
import { join } from "node:path";
import { promisify } from "node:util";
import { describe, expect, it } from "@jest/globals";
import type { EventLog, NewEvent } from "../../../src/log/event-log.ts";
import { openSqliteEventLog } from "../../../src/log/sqlite/sqlite-event-log.ts";
import { checkLogIntegrity, gather } from "../../../src/testing/check-log-integrity.ts";
import { SMALL_WAL_BOUNDS, query } from "./sample-log.ts";
import { tempFolders } from "./temp-folder.ts";

const newFolder = tempFolders();
const newPath = async (): Promise<string> => join(await newFolder(), "log.db");
const isLong = process.env["TURNLOG_TEST_LONG"] !== undefined;
const child = (name: string): string => join(import.meta.dirname, "children", name);

type Acknowledged = [stream: string, revision: number, position: number, ids: string[]];

/** A process that appends; it says what was acknowledged. */
class AppendingProcess {
  readonly #process: ChildProcess;
  #printed = "";
  #errors = "";
  #lines = 0;
  #onLine: (() => void) | undefined;

  constructor(options: object) {
    this.#process = spawn(process.execPath, [child("appending-process.js"), JSON.stringify(options)]);
    this.#process.stderr?.on("data", (chunk: Buffer) => (this.#errors += chunk.toString()));
    this.#process.stdout?.on("data", (chunk: Buffer) => {
      this.#printed += chunk.toString();
      for (const byte of chunk) if (byte === 10) this.#lines += 1;
      this.#onLine?.();
    });
    this.#process.once("exit", () => this.#onLine?.());
  }

  /** What was said, but for a line that the process died in. */
  get acknowledged(): Acknowledged[] {
    return this.#printed
      .split("\n")
      .slice(0, -1)
      .map((line) => JSON.parse(line) as Acknowledged);
  }

  async untilAcknowledged(count: number): Promise<void> {
    while (this.#lines < count) {
      if (this.#process.exitCode !== null) throw new Error(`the child ended: ${this.#errors}`);
      await new Promise<void>((resolve) => (this.#onLine = resolve));
    }
  }

  async kill(): Promise<void> {
    const ended = once(this.#process, "close");
    this.#process.kill("SIGKILL");
    await ended;
  }

  async end(): Promise<void> {
    const [code] = (await once(this.#process, "close")) as [number];
    if (code !== 0) throw new Error(`the child failed: ${this.#errors}`);
  }
}

/** Every acknowledged event is there, once, where its append said it was. */
async function checkAcknowledged(
  log: EventLog,
  acknowledged: readonly Acknowledged[],
  after: number,
): Promise<void> {
  const events = new Map((await gather(log.readAll({ after }))).map((event) => [event.id, event]));
  const wrong = acknowledged.filter(([stream, revision, position, ids]) =>
    ids.some((id, index) => {
      const event = events.get(id);
      const before = ids.length - 1 - index;
      return (
        event?.stream !== stream ||
        event.revision !== revision - before ||
        event.position !== position - before
      );
    }),
  );
  expect(wrong).toEqual([]);
}

describe("two processes that append", () => {
  it("to the same and to different streams lose, double and reorder nothing, and everybody sees all of it", async () => {
    const path = await newPath();
    const log = await openSqliteEventLog(path);
    const followed: number[] = [];
    const following = log.subscribe().subscribe((signal) => {
      if (signal.kind === "event") followed.push(signal.event.position);
    });
    const appends = isLong ? 30_000 : 3_000;
    const own = (name: string): string[] => Array.from({ length: 5 }, (_, n) => `${name}-${n}`);
    const processes = ["first", "second"].map(
      (name) =>
        new AppendingProcess({
          path,
          streams: ["shared", ...own(name), "shared too"],
          appends,
          internals: { walBounds: SMALL_WAL_BOUNDS },
        }),
    );
    await Promise.all(processes.map((one) => one.end()));
    const acknowledged = processes.flatMap((one) => one.acknowledged);
    expect(acknowledged).toHaveLength(2 * appends);
    await checkAcknowledged(log, acknowledged, -1);
    await checkLogIntegrity(log);
    const events = await gather(log.readAll());
    expect(events).toHaveLength(acknowledged.reduce((sum, [, , , ids]) => sum + ids.length, 0));
    expect(events.at(-1)?.position).toBe(events.length - 1);
    while (followed.length < events.length) await new Promise(setImmediate);
    expect(followed).toEqual(events.map((event) => event.position));
    following.unsubscribe();
    await log.close();
  });

  it("make one log where both want to make it", async () => {
    const path = await newPath();
    const processes = Array.from(
      { length: 4 },
      (_, n) => new AppendingProcess({ path, streams: [`s${n}`], appends: 1 }),
    );
    await Promise.all(processes.map((one) => one.end()));
    const log = await openSqliteEventLog(path, { create: false });
    expect(await log.head()).toBeGreaterThanOrEqual(3);
    await checkAcknowledged(
      log,
      processes.flatMap((one) => one.acknowledged),
      -1,
    );
    await log.close();
  });
});

describe("kill -9", () => {
  const rounds = isLong ? 300 : 6;
  it(
    `at ${rounds} random moments, while packing and checkpoints go on, loses nothing that was acknowledged`,
    async () => {
      const path = await newPath();
      const streams = Array.from({ length: 20 }, (_, n) => `stream-${n}`);
      // Large events, so that the WAL is long enough for checkpoints; small bounds, so that packing is always on.
      const internals = {
        hotBounds: { rows: 50, events: 500, bytes: 1_000_000 },
        packSpan: 2_000,
        walBounds: SMALL_WAL_BOUNDS,
      };
      let after = -1;
      for (let round = 0; round < rounds; round++) {
        const victim = new AppendingProcess({
          path,
          streams,
          internals,
          atOnce: 1 + (round % 20),
          textBytes: round % 2 === 0 ? 20 : 9_000,
        });
        await victim.untilAcknowledged(1 + Math.floor(Math.random() * 1_500));
        await victim.kill();
        const log = await openSqliteEventLog(path);
        await checkAcknowledged(log, victim.acknowledged, after);
        const event: NewEvent = {
          id: `ffffffff-0000-8000-8000-${round.toString(16).padStart(12, "0")}`,
          type: "Survived",
          data: round,
          metadata: {},
        };
        expect(await log.append("survivor", [event], round === 0 ? "no-stream" : round - 1)).toMatchObject({
          ok: true,
        });
        after = await log.head();
        if (round % 10 === 9) await checkLogIntegrity(log);
        await log.close();
        expect(query(path, "PRAGMA quick_check")).toEqual([["ok"]]);
      }
      const packed = Number(query(path, "SELECT count(*) FROM packed")[0]?.[0]);
      expect(packed).toBeGreaterThan(20);
    },
    300_000 + rounds * 10_000,
  );
});

describe("a process that exits", () => {
  it("by itself has written what it handed to append", async () => {
    const path = await newPath();
    execFileSync(process.execPath, [child("exiting-process.js"), path]);
    const log = await openSqliteEventLog(path, { create: false });
    expect((await gather(log.readStream("a"))).map((event) => event.data)).toEqual(
      Array.from({ length: 100 }, (_, n) => n),
    );
    await log.close();
  });
});

/** What a process that reads the log, or one stream of it, sees and takes. */
async function readInChild(...args: string[]): Promise<{ events: number; megabytes: number }> {
  const { stdout } = await promisify(execFile)(process.execPath, [child("reading-process.js"), ...args]);
  return JSON.parse(stdout) as { events: number; megabytes: number };
}

describe("reading everything", () => {
  const count = isLong ? 1_000_000 : 100_000;
  it(`takes less than 200 MB for ${count} events of 200 interleaved streams`, async () => {
    const path = await newPath();
    const log = await openSqliteEventLog(path);
    for (let first = 0; first < count; first += 1_000) {
      const appends = Array.from({ length: 1_000 }, (_, stream) => {
        const n = first + stream;
        const id = `0f3a9c1e-77aa-8bcd-9e01-${n.toString(16).padStart(12, "0")}`;
        const event = {
          id,
          type: "Happened",
          data: { text: ` Holiday ${n}`, length: n },
          metadata: { v: 1, n },
        };
        return log.append(`conversation-${stream % 200}`, [event], "any");
      });
      await Promise.all(appends);
    }
    await log.close();
    const { events, megabytes } = await readInChild(path);
    expect(events).toBe(count);
    expect(megabytes).toBeLessThan(200);
  });

  it("takes less than 250 MB where 400 MB of text are deflated to next to nothing", async () => {
    const path = await newPath();
    const log = await openSqliteEventLog(path);
    for (let n = 0; n < 400; n++) {
      const id = `0f3a9c1e-77aa-8bcd-9e01-${n.toString(16).padStart(12, "0")}`;
      const event = { id, type: "Happened", data: "x".repeat(1_000_000), metadata: { n } };
      await log.append("large", [event], "any", { seal: true });
    }
    await log.close();
    for (const args of [[path], [path, "large"]]) {
      const { events, megabytes } = await readInChild(...args);
      expect(events).toBe(400);
      expect(megabytes).toBeLessThan(250);
    }
  });
});
