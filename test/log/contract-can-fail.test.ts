import { randomUUID } from "node:crypto";
import { describe, expect, it } from "@jest/globals";
import { EMPTY, Observable, concatWith, filter } from "rxjs";
import type { EventLog, LogSignal, NewEvent, RecordedEvent } from "../../src/log/event-log.ts";
import { MemoryEventLog } from "../../src/log/memory-event-log.ts";
import { gather } from "../../src/testing/check-log-integrity.ts";
import type { EventLogContractOptions } from "../../src/testing/contract/contract-suite.ts";
import { eventLogContract } from "../../src/testing/event-log-contract.ts";

/**
 * Each of these is a memory log with one mistake that an adapter may make. The contract must find it; where it
 * does not, the contract is too lax, or a test of it cannot fail.
 */
const mistakes: Record<string, { wrap: (log: EventLog) => Partial<EventLog>; foundBy: RegExp }> = {
  "drops an event of readAll": {
    wrap: (log) => ({
      readAll: (options) => without(log.readAll(options), ({ position }) => position === 2),
    }),
    foundBy: /an append that was acknowledged before a read starts/,
  },
  "drops the last event of a batch": {
    wrap: (log) => ({
      append: (stream, events, expected) =>
        log.append(stream, events.length > 50 ? events.slice(0, -1) : events, expected),
    }),
    foundBy: /gives a batch consecutive revisions/,
  },
  "reorders un-awaited appends": {
    wrap: (log) => ({
      append: async (stream, events, expected) => {
        if (events[0]?.id.endsWith("1")) await new Promise((resolve) => setImmediate(resolve));
        return log.append(stream, events, expected);
      },
    }),
    foundBy: /un-awaited appends to one stream are applied in the order/,
  },
  "ignores the expected revision": {
    wrap: (log) => ({ append: (stream, events) => log.append(stream, events, "any") }),
    foundBy: /on a stream of three events/,
  },
  "takes no-stream for any": {
    wrap: (log) => ({
      append: (stream, events, expected) =>
        log.append(stream, events, expected === "no-stream" ? "any" : expected),
    }),
    foundBy: /200 appends at once that expect no stream/,
  },
  "forgets that it has seen a batch": {
    wrap: (log) => ({
      append: (stream, events, expected) =>
        log.append(
          stream,
          events.map((event) => ({ ...event, id: randomUUID() })),
          expected,
        ),
    }),
    foundBy: /returns the first result and writes nothing/,
  },
  "looks at a part of a large retry only": {
    wrap: (log) => ({
      append: async (stream, events, expected) => {
        const result = await log.append(stream, events, expected);
        const isLarge = events.some(({ data }) => typeof data === "string" && data.length > 100_000);
        const isRetry = result.ok && (await log.head()) !== result.position;
        return isLarge && isRetry ? { ok: false, actualRevision: result.revision } : result;
      },
    }),
    foundBy: /of a batch that is as large as a batch may be/,
  },
  "takes any number for a revision": {
    wrap: (log) => ({
      readStream: (stream, options) =>
        log.readStream(stream, { ...options, from: Math.max(0, Math.ceil(options?.from ?? 0) || 0) }),
    }),
    foundBy: /refuses what is no revision, limit or direction/,
  },
  "doubles a retry": { wrap: doublesRetries, foundBy: /returns the first result and writes nothing/ },
  "takes any batch for a retry whose first revision exists": {
    wrap: (log) => ({
      append: async (stream, events, expected) => {
        const result = await log.append(stream, events, expected);
        if (result.ok || expected !== "no-stream") return result;
        return { ok: true, revision: events.length - 1, position: events.length - 1 };
      },
    }),
    foundBy: /is told from another batch/,
  },
  "shows a batch event by event": {
    wrap: (log) => ({
      append: async (stream, events, expected) => {
        let result = await log.append(stream, events.slice(0, 1), expected);
        for (const event of events.slice(1)) {
          if (result.ok) result = await log.append(stream, [event], result.revision);
        }
        return result;
      },
    }),
    foundBy: /never shows a reader a part of a batch/,
  },
  "keeps what it should refuse": {
    wrap: (log) => ({
      append: async (stream, events, expected) => {
        if (new Set(events.map(({ id }) => id)).size === events.length)
          return log.append(stream, events, expected);
        await log.append(stream, events.slice(0, 1), "any");
        return log.append(stream, events, expected);
      },
    }),
    foundBy: /refuses with repeated-event-id/,
  },
  "loses lone surrogates": {
    wrap: (log) => ({
      append: (stream, events, expected) =>
        log.append(
          stream,
          events.map((event) =>
            JSON.stringify(event).includes("\\ud800") ? { ...event, data: "\ufffd", metadata: {} } : event,
          ),
          expected,
        ),
    }),
    foundBy: /round trip of any JSON: text/,
  },
  "sorts keys": {
    wrap: (log) => ({ readStream: (stream, options) => mapped(log.readStream(stream, options), sortKeys) }),
    foundBy: /round trip of any JSON: structure/,
  },
  "ignores case in prefixes": {
    wrap: (log) => ({
      readAll: ({ streamPrefix = "", limit, ...options } = {}) =>
        without(
          log.readAll({ ...options, ...(streamPrefix === "" && limit !== undefined && { limit }) }),
          ({ stream }) => !stream.toLowerCase().startsWith(streamPrefix.toLowerCase()),
        ),
    }),
    foundBy: /selects streams by the beginning of their name/,
  },
  "reads from a snapshot that is one append old": {
    wrap: (log) => ({
      readStream: (stream, options) =>
        withoutLast(
          log.readStream(stream, options),
          options?.direction !== "backwards" && options?.from !== undefined,
        ),
    }),
    foundBy: /an append that was acknowledged before a read starts is in it/,
  },
  "swallows the caught-up": {
    wrap: (log) => ({
      subscribe: (options) => log.subscribe(options).pipe(filter(({ kind }) => kind !== "caught-up")),
    }),
    foundBy: /on an empty log: caught up at once/,
  },
  "says caught-up after each event": {
    wrap: (log) => ({
      subscribe: (options) =>
        new Observable<LogSignal>((subscriber) =>
          log.subscribe(options).subscribe((signal) => {
            subscriber.next(signal);
            if (signal.kind === "event")
              subscriber.next({ kind: "caught-up", position: signal.event.position });
          }),
        ),
    }),
    foundBy: /delivers what is there, says once/,
  },
  "catches up and does not stay": {
    wrap: (log) => ({
      subscribe: (options) =>
        new Observable<LogSignal>((subscriber) =>
          log.subscribe(options).subscribe((signal) => {
            subscriber.next(signal);
            if (signal.kind === "caught-up") subscriber.complete();
          }),
        ),
    }),
    foundBy: /on an empty log: caught up at once, then live/,
  },
  "delivers the event at the position again": {
    wrap: (log) => ({
      subscribe: ({ after = -1, ...options } = {}) =>
        log.subscribe({ ...options, after: after > 0 ? after - 1 : after }),
    }),
    foundBy: /begins after a position/,
  },
  "leaks a timer with each subscription": {
    wrap: (log) => ({
      subscribe: (options) => {
        leaks.push(setInterval(() => {}, 1_000));
        return log.subscribe(options);
      },
    }),
    foundBy: /on an empty log: caught up at once/,
  },
  "does not release what it unsubscribed from": {
    wrap: (log) => ({
      subscribe: (options) =>
        new Observable<LogSignal>((subscriber) => {
          openSubscriptions += 1;
          log.subscribe(options).subscribe(subscriber);
          return () => {};
        }),
    }),
    foundBy: /many times over releases everything/,
  },
  "lets one subscriber's unsubscribing end the others": {
    wrap: (log) => {
      let source: Observable<LogSignal> | undefined;
      const ends: (() => void)[] = [];
      return {
        subscribe: (options) => {
          source = log.subscribe(options);
          const inner = source;
          return new Observable<LogSignal>((subscriber) => {
            const subscription = inner.subscribe(subscriber);
            ends.push(() => subscription.unsubscribe());
            return () => ends.splice(0).forEach((end) => end());
          });
        },
      };
    },
    foundBy: /one of two leaves the other alone/,
  },
  "truncates the newest event too": {
    wrap: (log) => {
      const gone = new Map<string, number>();
      const isGone = ({ stream, revision }: RecordedEvent): boolean => revision < (gone.get(stream) ?? 0);
      return {
        truncate: async (stream, before) => void gone.set(stream, before),
        readStream: (stream, options) => without(log.readStream(stream, options), isGone),
        readAll: (options) => without(log.readAll(options), isGone),
      };
    },
    foundBy: /removes what is below, never the newest/,
  },
  "does not truncate": {
    wrap: () => ({ truncate: async () => {} }),
    foundBy: /removes what is below, never the newest/,
  },
  "makes a stream by truncating it": {
    wrap: (log) => ({
      truncate: async (stream, before) => {
        if ((await gather(log.readStream(stream))).length === 0) await log.append(stream, [made()], "any");
        return log.truncate(stream, before);
      },
    }),
    foundBy: /an unknown stream: nothing happens/,
  },
  "goes on after close": {
    wrap: () => ({ close: async () => {} }),
    foundBy: /any call after close says store-closed/,
  },
  "does not end subscriptions when it closes": {
    wrap: (log) => ({
      subscribe: (options) => log.subscribe(options).pipe(concatWith(new Observable<never>())),
    }),
    foundBy: /closing completes the live subscriptions/,
  },
  "ends iterations early when it closes": {
    wrap: (log) => ({
      readAll: (options) => quietlyEnding(log.readAll(options)),
    }),
    foundBy: /closing does not wait for iterations/,
  },
  "has an id per handle": {
    wrap: () => ({ logId: randomUUID() }),
    foundBy: /the id is the log's/,
  },
  "reports the head of what it can still read as one less": {
    wrap: (log) => ({ head: async () => Math.max(-1, (await log.head()) - 1) }),
    foundBy: /the head is the position of the newest event/,
  },
  "subscribes to nothing": {
    wrap: () => ({ subscribe: () => EMPTY }),
    foundBy: /subscribe|live subscribers|caught/,
  },
};

/** The tests that find them. The whole contract holds the memory log in a file of its own. */
const FINDING = new RegExp(
  Object.values(mistakes)
    .map(({ foundBy }) => foundBy.source)
    .join("|"),
);

/** What the leaking adapters leak, for this file to clean up. */
const leaks: NodeJS.Timeout[] = [];
let openSubscriptions = 0;

describe("the contract finds", () => {
  it("nothing wrong with the memory log, by the tests that find the mistakes", async () => {
    const failures = await runContract((log) => log, FINDING);
    expect([...failures.keys()]).toEqual([]);
  });

  for (const [mistake, { wrap, foundBy }] of Object.entries(mistakes)) {
    it(`an adapter that ${mistake}`, async () => {
      const failures = await runContract((log) => override(log, wrap(log)), foundBy);
      for (const leak of leaks.splice(0)) clearInterval(leak);
      openSubscriptions = 0;
      expect([...failures.keys()].filter((name) => foundBy.test(name))).not.toEqual([]);
    });
  }
});

describe("the contract's own reports", () => {
  it("say the seed of a random sequence that failed", async () => {
    const failures = await runContract(
      (log) =>
        override(log, {
          readAll: (options) => withoutLast(log.readAll(options), options?.limit === undefined),
        }),
      /sequence 1/,
      { seed: 4_711 },
    );
    expect(String([...failures.values()][0])).toMatch(/option seed: 4711/);
  });

  it("demand a reason for what an adapter lacks, and show it with the skipped tests", async () => {
    const bare = (log: EventLog): EventLog =>
      override(log, { appendSync: undefined } as unknown as Partial<EventLog>);
    const failures = await runContract(bare, /is done when it returns/);
    expect(String([...failures.values()][0])).toMatch(/say why in the option without/);
    const skipped: string[] = [];
    const excused = await runContract(bare, /is done when it returns/, {
      without: { appendSync: "answers come over a network" },
      onSkip: (name) => skipped.push(name),
    });
    expect([...excused.keys()]).toEqual([]);
    expect(skipped).toContainEqual(expect.stringContaining("(no appendSync: answers come over a network)"));
  });
});

interface Extras extends Pick<EventLogContractOptions, "seed" | "without"> {
  onSkip?: (name: string) => void;
}

/** Runs the contract's tests whose name matches, on wrapped memory logs; gives the failures by name. */
async function runContract(
  wrap: (log: EventLog) => EventLog,
  only: RegExp,
  { onSkip, ...options }: Extras = {},
): Promise<Map<string, unknown>> {
  const tests = new Map<string, () => Promise<void>>();
  const collect = (name: string, body: () => Promise<void>): void => void tests.set(name, body);
  eventLogContract({
    ...options,
    name: "collected",
    describe: (_name, body) => body(),
    it: Object.assign(collect, { skip: onSkip ?? (() => {}) }),
    // Tests that wait for what a mistake withholds fail after this long; sound logs never need it.
    deadlineMs: only === FINDING ? 10_000 : 500,
    open: async () => {
      const name = randomUUID();
      const anchor = new MemoryEventLog({ name });
      const inner: MemoryEventLog[] = [];
      const open = (): EventLog => {
        const log = new MemoryEventLog({ name });
        inner.push(log);
        return wrap(log);
      };
      return {
        log: open(),
        reopen: async () => open(),
        openResources: () => openSubscriptions,
        dispose: async () => {
          for (const log of [...inner, anchor]) await log.close();
        },
      };
    },
  });
  const failures = new Map<string, unknown>();
  for (const [name, body] of tests) {
    if (!only.test(name)) continue;
    await body().catch((failure: unknown) => failures.set(name, failure));
  }
  return failures;
}

/** `log` with some of its members replaced; the rest goes through, appendSync too. */
function override(log: EventLog, replaced: Partial<EventLog>): EventLog {
  return new Proxy(log, {
    get: (target, key) => {
      if (key in replaced) return Reflect.get(replaced, key) as unknown;
      const value: unknown = Reflect.get(target, key);
      return typeof value === "function" ? (value.bind(target) as unknown) : value;
    },
  });
}

function doublesRetries(log: EventLog): Partial<EventLog> {
  const seen = new Set<string>();
  return {
    append: async (stream, events, expected) => {
      const [first] = events;
      const isRetry = first !== undefined && seen.has(first.id);
      const result = await log.append(stream, events, expected);
      if (first !== undefined && result.ok) seen.add(first.id);
      if (isRetry)
        await log.append(
          stream,
          events.map((event) => ({ ...event, id: randomUUID() })),
          "any",
        );
      return result;
    },
  };
}

async function* without(
  events: AsyncIterable<RecordedEvent>,
  isLeftOut: (event: RecordedEvent) => boolean,
): AsyncGenerator<RecordedEvent, void, undefined> {
  for await (const event of events) if (!isLeftOut(event)) yield event;
}

async function* withoutLast(
  events: AsyncIterable<RecordedEvent>,
  applies: boolean,
): AsyncGenerator<RecordedEvent, void, undefined> {
  let previous: RecordedEvent | undefined;
  for await (const event of events) {
    if (previous !== undefined) yield previous;
    previous = event;
  }
  if (previous !== undefined && !applies) yield previous;
}

async function* mapped(
  events: AsyncIterable<RecordedEvent>,
  change: (event: RecordedEvent) => RecordedEvent,
): AsyncGenerator<RecordedEvent, void, undefined> {
  for await (const event of events) yield change(event);
}

async function* quietlyEnding(
  events: AsyncIterable<RecordedEvent>,
): AsyncGenerator<RecordedEvent, void, undefined> {
  let delivered = 0;
  try {
    for await (const event of events) {
      delivered += 1;
      yield event;
    }
  } catch (error) {
    if (delivered === 0) throw error;
  }
}

function sortKeys(event: RecordedEvent): RecordedEvent {
  const { data } = event;
  if (typeof data !== "object" || data === null || Array.isArray(data)) return event;
  return {
    ...event,
    data: Object.fromEntries(Object.entries(data).toSorted(([a], [b]) => (a < b ? -1 : 1))),
  };
}

function made(): NewEvent {
  return { id: randomUUID(), type: "Made", data: null, metadata: {} };
}
