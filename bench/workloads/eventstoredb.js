/**
 * Turns on an EventStoreDB or KurrentDB server, beside its own client. Runs when TURNLOG_TEST_ESDB names a server:
 * one node without TLS, so that a slow network can be put before it.
 */
import { randomUUID } from "node:crypto";
import { setTimeout as delay } from "node:timers/promises";
import { openConversationStore, openEventLog } from "../../dist/index.js";
import { modelDeltas } from "../harness/model-output.js";
import { slowNetwork } from "../harness/slow-network.js";
import { spread } from "../harness/rounds.js";
import { atLeast, below, table, withSpread } from "../harness/table.js";

const SERVER = process.env.TURNLOG_TEST_ESDB;
const TURNS = 100;
const TURN = { deltas: 2_000, characters: 16_000 };
/** Fewer for the client: each is an append, and takes a hundred times as long. */
const BARE_DELTAS = 200;
const CATCH_UP = { events: 50_000, batch: 100, bytes: 200 };
const PACED = { deltas: 500, perSecond: 100, addedMs: 50 };

const expectedContent = (deltas) => JSON.stringify([{ kind: "text", text: deltas.join("") }]);
const ownLog = (url) => `${url}${url.includes("?") ? "&" : "?"}log=bench-${randomUUID()}`;

const MEASURES = {
  /** What a user of the client would write: each delta appended and awaited, 100 turns at once. */
  "one append per delta, bare client": async () => {
    const { EventStoreDBClient, jsonEvent } = await import("@eventstore/db-client");
    const client = EventStoreDBClient.connectionString(SERVER);
    const prefix = `bench-${randomUUID()}-`;
    const stream = async (index, deltas) => {
      for (const text of deltas) {
        await client.appendToStream(`${prefix}${index}`, jsonEvent({ type: "Delta", data: { text } }));
      }
    };
    await stream("warm-up", modelDeltas(0, 50, 400));
    const inputs = Array.from({ length: TURNS }, (_, index) =>
      modelDeltas(index + 1, BARE_DELTAS, BARE_DELTAS * 8),
    );
    const start = performance.now();
    await Promise.all(inputs.map((deltas, index) => stream(index, deltas)));
    const seconds = (performance.now() - start) / 1_000;
    await client.dispose();
    return { perSecond: (TURNS * BARE_DELTAS) / seconds };
  },

  /** Closed loop: each turn hands over its next delta when the one before was taken. */
  "turn writer": async () => {
    const store = await openConversationStore(ownLog(SERVER));
    const write = async (session, deltas) => {
      const turn = await store.beginTurn(session, { user: "Go on." });
      for (const delta of deltas) await turn.textDelta(delta);
      await turn.finish();
      return turn.messageId;
    };
    await Promise.all(["a", "b", "c", "d"].map((name) => write(`warm-${name}`, modelDeltas(0, 500, 4_000))));
    const inputs = Array.from({ length: TURNS }, (_, index) =>
      modelDeltas(index + 1, TURN.deltas, TURN.characters),
    );
    const start = performance.now();
    await Promise.all(inputs.map((deltas, index) => write(`s${index}`, deltas)));
    const seconds = (performance.now() - start) / 1_000;
    for (const [index, deltas] of inputs.entries()) {
      const { content } = await store.lastAssistantMessage(`s${index}`);
      if (content !== expectedContent(deltas)) throw new Error(`session s${index} holds something else`);
    }
    await store.close();
    return { perSecond: (TURNS * TURN.deltas) / seconds };
  },

  "catch-up": async () => {
    const log = await fill(await openEventLog(ownLog(SERVER)));
    const start = performance.now();
    let events = 0;
    await new Promise((resolve, reject) => {
      const subscription = log.subscribe().subscribe({
        next: ({ kind }) => {
          if (kind === "event") events += 1;
          else queueMicrotask(() => (subscription.unsubscribe(), resolve()));
        },
        error: reject,
      });
    });
    const seconds = (performance.now() - start) / 1_000;
    if (events !== CATCH_UP.events) throw new Error(`${events} events were delivered`);
    await log.close();
    return { perSecond: events / seconds };
  },

  "catch-up, bare client": async () => {
    const url = ownLog(SERVER);
    await (await fill(await openEventLog(url))).close();
    const { EventStoreDBClient, START, streamNameFilter } = await import("@eventstore/db-client");
    const client = EventStoreDBClient.connectionString(SERVER);
    const filter = streamNameFilter({ prefixes: [`${/log=([\w-]+)/.exec(url)?.[1]}.s`] });
    const start = performance.now();
    let events = 0;
    await new Promise((resolve, reject) => {
      const subscription = client.subscribeToAll({ fromPosition: START, filter });
      subscription.on("data", () => {
        events += 1;
        if (events === CATCH_UP.events) resolve(subscription.unsubscribe());
      });
      subscription.on("error", reject);
    });
    const seconds = (performance.now() - start) / 1_000;
    await client.dispose();
    return { perSecond: events / seconds };
  },

  "reading the whole log": async () => {
    const log = await fill(await openEventLog(ownLog(SERVER)));
    const start = performance.now();
    let events = 0;
    for await (const _event of log.readAll()) events += 1;
    const seconds = (performance.now() - start) / 1_000;
    if (events !== CATCH_UP.events) throw new Error(`${events} events were read`);
    await log.close();
    return { perSecond: events / seconds };
  },

  /** A model's stream that cannot be made to wait: how late is each delta taken, and how soon does the turn end? */
  "a stream over a slow network": async () => {
    const [, host = "", port = "2113"] = /^esdb:\/\/([^:/?,@]+)(?::(\d+))?/.exec(SERVER) ?? [];
    const network = await slowNetwork(host, Number(port), PACED.addedMs / 2);
    const store = await openConversationStore(
      ownLog(SERVER.replace(/\/\/[^/?]+/, `//127.0.0.1:${network.port}`)),
    );
    const roundTrips = [];
    for (let round = 0; round < 9; round += 1) {
      const start = performance.now();
      await store.saveMessage("round-trip", "user", "hello");
      roundTrips.push(performance.now() - start);
    }
    const turn = await store.beginTurn("s", { user: "Go on." });
    const deltas = modelDeltas(1, PACED.deltas, PACED.deltas * 8);
    let mostWaitedMs = 0;
    const start = performance.now();
    for (const [index, text] of deltas.entries()) {
      await delay(Math.max(0, start + (index * 1_000) / PACED.perSecond - performance.now()));
      const given = performance.now();
      await turn.textDelta(text);
      mostWaitedMs = Math.max(mostWaitedMs, performance.now() - given);
    }
    const last = performance.now();
    await turn.finish();
    const endMs = performance.now() - last;
    const { content } = await store.lastAssistantMessage("s");
    if (content !== expectedContent(deltas)) throw new Error("the session holds something else");
    await store.close();
    network.close();
    const roundTripMs = roundTrips.toSorted((a, b) => a - b)[roundTrips.length >> 1];
    return { roundTripMs, mostWaitedMs, endMs };
  },
};

async function fill(log) {
  const text = "x".repeat(CATCH_UP.bytes);
  let left = CATCH_UP.events / CATCH_UP.batch;
  const write = async (stream) => {
    for (; left > 0;) {
      left -= 1;
      const events = Array.from({ length: CATCH_UP.batch }, () => ({
        id: randomUUID(),
        type: "Sampled",
        data: { text },
        metadata: {},
      }));
      await log.append(stream, events, "any");
    }
  };
  await Promise.all(Array.from({ length: 10 }, (_, index) => write(`s${index}`)));
  return log;
}

const run = ({ measure }) => MEASURES[measure]();

function report(results) {
  const of = (name) => results.find(({ parameters }) => parameters.measure === name)?.rounds ?? [];
  const rate = (name) => spread(of(name), ({ perSecond }) => perSecond);
  const rates = Object.keys(MEASURES)
    .filter((name) => rate(name) !== undefined)
    .map((name) => [name, withSpread(rate(name))]);
  const slow = of("a stream over a slow network");
  const ms = (figure) => spread(slow, (figures) => figures[figure]);
  const times = [
    ["an append and its answer", withSpread(ms("roundTripMs"))],
    ["the longest that a delta waited to be taken", withSpread(ms("mostWaitedMs"))],
    ["from the last delta to the acknowledged end", withSpread(ms("endMs"))],
  ];
  if (SERVER === undefined) {
    return { text: "### EventStoreDB\n\nNot measured: TURNLOG_TEST_ESDB names no server.\n", targets: [] };
  }
  return {
    text: [
      "### EventStoreDB",
      "",
      table([`${TURNS} turns at once; events of ${CATCH_UP.bytes} bytes`, "a second"], rates),
      "",
      table([`${PACED.perSecond} deltas/s, ${PACED.addedMs} ms of added latency`, "ms"], times),
      "",
    ].join("\n"),
    targets: [
      atLeast(
        "deltas/s of the turn writer: times one append per delta",
        rate("turn writer")?.median / rate("one append per delta, bare client")?.median,
        10,
      ),
      atLeast("catch-up, events/s", rate("catch-up")?.median, 30_000),
      atLeast(
        "catch-up: times the bare client's",
        rate("catch-up")?.median / rate("catch-up, bare client")?.median,
        1,
      ),
      below("a delta waits to be taken, ms", ms("mostWaitedMs")?.median, PACED.addedMs / 2),
      below("the end after the last delta: round trips", ms("endMs")?.median / ms("roundTripMs")?.median, 2),
    ],
  };
}

const cases =
  SERVER === undefined ? [] : Object.keys(MEASURES).map((measure) => ({ parameters: { measure } }));

/** Why there are no cases. */
const why = "eventstoredb needs a server: set TURNLOG_TEST_ESDB to its connection string.";

export default { name: "eventstoredb", rounds: 3, cases, quickCases: [], why, run, report };
