import { describe, expect, it, jest } from "@jest/globals";
import { type Observable, filter, firstValueFrom, map, take, toArray } from "rxjs";
import type { LogSignal, RecordedEvent } from "../../src/log/event-log.ts";
import type { ConversationStore } from "../../src/store/conversation-store.ts";
import { openConversationStore } from "../../src/store/open-conversation-store.ts";

async function withBeatingStore(
  heartbeatMs: number,
  use: (store: ConversationStore) => Promise<void>,
): Promise<void> {
  const store = await openConversationStore("memory:", { heartbeatMs, label: "tester" });
  try {
    await use(store);
  } finally {
    await store.close();
  }
}

const ALL_TIMERS = [
  "Date",
  "hrtime",
  "nextTick",
  "performance",
  "queueMicrotask",
  "setImmediate",
  "clearImmediate",
  "setInterval",
  "clearInterval",
  "setTimeout",
  "clearTimeout",
] as const;

const isEvent = (signal: LogSignal): signal is Extract<LogSignal, { kind: "event" }> =>
  signal.kind === "event";

/** The writers' own events, as they come. */
const signs = (store: ConversationStore): Observable<RecordedEvent> =>
  store.log.subscribe({ streamPrefix: "writer-" }).pipe(
    filter(isEvent),
    map(({ event }) => event),
  );

describe("a writer's signs of life", () => {
  it("come while a turn is open, each telling all that a reader needs", () =>
    withBeatingStore(2, async (store) => {
      const beats = firstValueFrom(signs(store).pipe(take(4), toArray()));
      const turn = await store.beginTurn("s");
      const [started, ...heartbeats] = await beats;
      expect(started).toMatchObject({
        type: "WriterStarted",
        data: { pid: process.pid, label: "tester", heartbeatMs: 2 },
      });
      for (const beat of heartbeats)
        expect(beat).toMatchObject({ type: "WriterHeartbeat", data: started!.data as object });
      await turn.finish();
    }));

  it("end with the last open turn, and none come without one", async () => {
    // Only intervals are the test's: a heartbeat is one.
    jest.useFakeTimers({ doNotFake: ALL_TIMERS.filter((timer) => !timer.endsWith("Interval")) });
    try {
      await withBeatingStore(1000, async (store) => {
        await store.saveMessage("s", "user", "q");
        expect(jest.getTimerCount()).toBe(0);
        const one = await store.beginTurn("s");
        const other = await store.beginTurn("another");
        expect(jest.getTimerCount()).toBe(1);
        await one.finish();
        expect(jest.getTimerCount()).toBe(1);
        const beat = firstValueFrom(signs(store).pipe(filter(({ type }) => type === "WriterHeartbeat")));
        jest.advanceTimersByTime(1000);
        await beat;
        await other.abort();
        expect(jest.getTimerCount()).toBe(0);
      });
    } finally {
      jest.useRealTimers();
    }
  });

  it("begin at once where the last one is older than the interval", () =>
    withBeatingStore(60_000, async (store) => {
      await store.saveMessage("s", "user", "long ago");
      const beat = firstValueFrom(signs(store).pipe(filter(({ type }) => type === "WriterHeartbeat")));
      const now = jest.spyOn(Date, "now").mockReturnValue(Date.now() + 60_000);
      try {
        const turn = await store.beginTurn("s");
        await beat;
        await turn.finish();
      } finally {
        now.mockRestore();
      }
    }));

  it("do not grow its stream without end: it is truncated at a heartbeat", () =>
    withBeatingStore(1, async (store) => {
      const turn = await store.beginTurn("s");
      const late = await firstValueFrom(signs(store).pipe(filter(({ revision }) => revision >= 130)));
      let oldest: RecordedEvent | undefined;
      for await (const event of store.log.readStream(late.stream, { limit: 1 })) oldest = event;
      expect(oldest).toMatchObject({ type: "WriterHeartbeat", revision: expect.any(Number) });
      expect(oldest!.revision).toBeGreaterThanOrEqual(100);
      await turn.finish();
    }));
});
