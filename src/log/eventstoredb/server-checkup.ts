import { randomUUID } from "node:crypto";
import { setTimeout as pause } from "node:timers/promises";
import { TurnlogError } from "../../errors.ts";
import type { JsonObject } from "../event-log.ts";
import { type ConnectionSettings, parseConnectionSettings } from "./connection-settings.ts";
import { openEventStoreDbEventLog } from "./eventstoredb-event-log.ts";
import { Lifetime } from "./lifetime.ts";
import { LogStreams } from "./log-streams.ts";
import { allRequest, streamRequest, subscriptionRequest } from "./read-request.ts";
import { ServerConnection } from "./server-connection.ts";
import { causeText, failureKind, permanentFailure, unavailable } from "./server-failure.ts";
import { type Patience, StreamAppender } from "./stream-appender.ts";
import { decodeEvent, jsonMessage } from "./wire-event.ts";

/** Where the checkup writes: no log's stream. The server keeps its newest event only. */
const CHECKUP_STREAM = "turnlog-doctor";
const KEEP_ONE: JsonObject = { $maxCount: 1 };
const ROUNDS = 9;
const CONNECTION_ATTEMPTS = 3;
const PAUSE_MS = 200;
/** The first version that tells subscribers when they have caught up. */
const OLDEST_VERSION = [23, 10] as const;
/** Views, heartbeats and `5m-ago` compare clocks; below this nobody notices. */
const CLOCK_DIFFERENCE_MS = 1_000;

/** For messages: what it was that failed. */
const WHAT_FAILED = {
  connection: "the first call",
  version: "the question for the version",
  leader: "the question for the leader",
  append: "an append",
  read: "a read",
  metadata: "setting a stream's metadata",
  subscription: "a subscription",
  clock: "comparing the clocks",
  log: "opening the log",
} as const;

/** One thing that was looked at. */
export interface CheckupFinding {
  readonly check: keyof typeof WHAT_FAILED;
  readonly isGood: boolean;
  /** What was found; where it is not good, what to do. One line. */
  readonly text: string;
  /** The same for programs: versions, addresses, ms. */
  readonly details: JsonObject;
}

export interface CheckupOptions {
  /** How long each check waits, ms. Default: 5,000. */
  timeoutMs?: number;
}

/**
 * Looks at everything that a log needs of its server, one check after the other; ends early where the others would
 * only fail of the same: the server cannot be reached, does not know the user, or has no leader. Writes to a stream of its own, `turnlog-doctor`, and to no log.
 * @throws {InvalidInputError} `invalid-connection-string`
 */
export async function* checkServer(
  url: string,
  { timeoutMs = 5_000 }: CheckupOptions = {},
): AsyncGenerator<CheckupFinding> {
  const settings = parseConnectionSettings(url);
  const checkup = new Checkup(url, settings, timeoutMs);
  try {
    yield* checkup.run();
  } finally {
    await checkup.close();
  }
}

type Check = () => Promise<Omit<CheckupFinding, "check">>;

class Checkup {
  readonly #url: string;
  readonly #settings: ConnectionSettings;
  readonly #patience: Patience;
  readonly #connection: ServerConnection;
  readonly #appender: StreamAppender;
  readonly #lifetime = new Lifetime();
  /** By how much the server's clock is ahead, ms. */
  #clockAheadMs: number | undefined;
  /** What was found makes all further checks fail. */
  #isHopeless = false;

  constructor(url: string, settings: ConnectionSettings, timeoutMs: number) {
    this.#url = url;
    this.#settings = settings;
    this.#patience = { attemptMs: timeoutMs, deadlineMs: timeoutMs };
    this.#connection = new ServerConnection(settings);
    this.#appender = new StreamAppender(this.#connection);
  }

  async close(): Promise<void> {
    this.#lifetime.end(new Error("the checkup is over"));
    await this.#connection.close();
  }

  async *run(): AsyncGenerator<CheckupFinding> {
    const checks: readonly (readonly [CheckupFinding["check"], Check])[] = [
      ["connection", () => this.#connect()],
      ["version", () => this.#version()],
      ["leader", () => this.#leader()],
      ["append", () => this.#append()],
      ["read", () => this.#read()],
      ["metadata", () => this.#metadata()],
      ["subscription", () => this.#subscribe()],
      ["clock", () => this.#clock()],
      ["log", () => this.#log()],
    ];
    for (const [name, check] of checks) {
      yield await this.#finding(name, check);
      if (this.#isHopeless) return;
    }
  }

  async #finding(check: CheckupFinding["check"], look: Check): Promise<CheckupFinding> {
    const start = performance.now();
    try {
      return { check, ...(await look()) };
    } catch (failure) {
      const error = this.#meaning(check, failure, performance.now() - start);
      const kind = failureKind(error.cause ?? failure);
      this.#isHopeless = check === "connection" || check === "leader" || kind === "unauthenticated";
      return {
        check,
        isGood: false,
        text: error.message,
        details: { code: error.code, lastError: causeText(error.cause ?? failure) },
      };
    }
  }

  #meaning(check: CheckupFinding["check"], failure: unknown, waitedMs: number): TurnlogError {
    const subject = { serverName: this.#settings.serverName, what: WHAT_FAILED[check] };
    const isGone = failureKind(failure) === "transient" && !TurnlogError.isInstance(failure);
    return isGone ? unavailable(failure, subject, waitedMs, false) : permanentFailure(failure, subject);
  }

  async #connect(): ReturnType<Check> {
    // A first connection may fail for a reason that is gone a moment later; all other checks stand on this one.
    for (let attempt = 1; ; attempt++) {
      const start = performance.now();
      try {
        await this.#connection.serverVersion(this.#patience.attemptMs);
        const ms = rounded(performance.now() - start);
        return { isGood: true, text: `${this.#settings.serverName} answers (${ms} ms)`, details: { ms } };
      } catch (failure) {
        if (attempt >= CONNECTION_ATTEMPTS || failureKind(failure) !== "transient") throw failure;
        await pause(PAUSE_MS);
      }
    }
  }

  async #version(): ReturnType<Check> {
    const version = await this.#connection.serverVersion(this.#patience.attemptMs);
    const [major = 0, minor = 0] = version.split(".").map(Number);
    const isGood = major > OLDEST_VERSION[0] || (major === OLDEST_VERSION[0] && minor >= OLDEST_VERSION[1]);
    const text = isGood
      ? version
      : `${version} is too old: subscriptions need ${OLDEST_VERSION.join(".")}; upgrade the server`;
    return { isGood, text, details: { version } };
  }

  async #leader(): ReturnType<Check> {
    const members = await this.#connection.members(this.#patience.attemptMs);
    const alive = members.filter(({ isAlive }) => isAlive);
    const leader = alive.find(({ isLeader }) => isLeader)?.address;
    const details = { leader: leader ?? null, nodes: members.length, alive: alive.length };
    const nodes = `${alive.length} of ${members.length} ${members.length === 1 ? "node" : "nodes"} alive`;
    const lacks = "a majority of the nodes must run and reach each other";
    this.#isHopeless = leader === undefined;
    if (leader === undefined) return { isGood: false, text: `none (${nodes}): ${lacks}`, details };
    const isWhole = alive.length === members.length;
    const advice = isWhole ? "" : ": start the others, or the next failure stops all appends";
    return { isGood: isWhole, text: `${leader} (${nodes})${advice}`, details };
  }

  async #append(): ReturnType<Check> {
    const times: number[] = [];
    for (let round = 0; round < ROUNDS; round += 1) {
      const message = jsonMessage(randomUUID(), "DoctorLooked", { round });
      const sentAt = Date.now();
      const start = performance.now();
      const order = { stream: CHECKUP_STREAM, messages: [message], expected: "any" as const };
      await this.#appender.append(order, this.#patience, this.#lifetime);
      const ms = performance.now() - start;
      times.push(ms);
      // The first one also opens the call.
      if (round === ROUNDS - 1) await this.#compareClocks(sentAt + ms / 2);
    }
    return latency(times);
  }

  /** @param takenAt when the server took the newest event, by this machine's clock */
  async #compareClocks(takenAt: number): Promise<void> {
    const request = streamRequest(CHECKUP_STREAM, "end", true, 1);
    const { records } = await this.#connection.readPage(request, this.#patience.attemptMs, this.#lifetime);
    const [newest] = records;
    if (newest !== undefined) this.#clockAheadMs = decodeEvent(newest, CHECKUP_STREAM).recordedAt - takenAt;
  }

  async #read(): ReturnType<Check> {
    const { prefix } = new LogStreams(this.#settings.logName);
    const times: number[] = [];
    for (let round = 0; round < ROUNDS; round += 1) {
      const start = performance.now();
      const isAll = round % 2 === 0;
      const request = isAll ? allRequest("end", "", true, 1) : streamRequest(prefix, "end", true, 1);
      await this.#connection.readPage(request, this.#patience.attemptMs, this.#lifetime);
      times.push(performance.now() - start);
    }
    return latency(times);
  }

  async #metadata(): ReturnType<Check> {
    const message = jsonMessage(randomUUID(), "$metadata", KEEP_ONE);
    const order = { stream: `$$${CHECKUP_STREAM}`, messages: [message], expected: "any" as const };
    await this.#appender.append(order, this.#patience, this.#lifetime);
    return { isGood: true, text: "the user may truncate streams", details: {} };
  }

  async #subscribe(): ReturnType<Check> {
    const head = await this.#connection.readPage(
      allRequest("end", "", true, 1),
      this.#patience.attemptMs,
      this.#lifetime,
    );
    const position = head.records[0]?.position;
    const start = performance.now();
    await this.#untilCaughtUp(position ?? "start");
    const ms = rounded(performance.now() - start);
    return { isGood: true, text: `caught up from the head in ${ms} ms`, details: { ms } };
  }

  async #untilCaughtUp(after: number | "start"): Promise<void> {
    const { attemptMs } = this.#patience;
    let settle: (failure?: Error) => void = () => undefined;
    const caughtUp = new Promise<void>((resolve, reject) => {
      settle = (failure) => (failure === undefined ? resolve() : reject(failure));
    });
    const cancel = await this.#connection.subscribe(subscriptionRequest(after, CHECKUP_STREAM), attemptMs, {
      onRecord: () => undefined,
      onCheckpoint: () => undefined,
      onCaughtUp: () => settle(),
      onEnd: (failure) => settle(failure),
    });
    const timer = setTimeout(() => settle(new Error("no sign of having caught up")), attemptMs);
    try {
      await caughtUp;
    } finally {
      clearTimeout(timer);
      cancel();
    }
  }

  async #clock(): ReturnType<Check> {
    const aheadMs = this.#clockAheadMs;
    if (aheadMs === undefined) {
      return { isGood: false, text: "not compared, because nothing could be appended", details: {} };
    }
    const ms = Math.round(aheadMs);
    const isGood = Math.abs(ms) <= CLOCK_DIFFERENCE_MS;
    const side = ms < 0 ? "behind" : "ahead of";
    const advice = isGood ? "" : ": set both by a time server, or times of events mislead";
    return {
      isGood,
      text: `the server's is ${Math.abs(ms)} ms ${side} this machine's${advice}`,
      details: { aheadMs: ms },
    };
  }

  /** Whether there is a log is not for the server to answer for: a new one is made when it is first written. */
  async #log(): ReturnType<Check> {
    const { attemptMs } = this.#patience;
    const name = this.#settings.logName;
    try {
      const options = {
        readOnly: true,
        attemptTimeoutMs: attemptMs,
        openDeadlineMs: attemptMs,
        deadlineMs: attemptMs,
      };
      const log = await openEventStoreDbEventLog(this.#url, options);
      try {
        const head = await log.head();
        const text = head < 0 ? "is there, empty" : `is there, its newest event at position ${head}`;
        return { isGood: true, text: `"${name}" ${text}`, details: { name, logId: log.logId, head } };
      } finally {
        await log.close();
      }
    } catch (failure) {
      if (!TurnlogError.isInstance(failure) || failure.code !== "store-not-found") throw failure;
      return {
        isGood: true,
        text: `"${name}" is not there yet; the first writer makes it`,
        details: { name, logId: null, head: -1 },
      };
    }
  }
}

/** Of several calls, the first of which may have to connect. */
function latency(times: readonly number[]): Awaited<ReturnType<Check>> {
  const sorted = times.toSorted((a, b) => a - b);
  const p50 = rounded(sorted[Math.floor(sorted.length / 2)] ?? NaN);
  const most = rounded(sorted.at(-1) ?? NaN);
  return {
    isGood: true,
    text: `${p50} ms (p50 of ${times.length}; the slowest ${most} ms)`,
    details: { p50Ms: p50, mostMs: most },
  };
}

function rounded(ms: number): number {
  return Math.round(ms * 10) / 10;
}
