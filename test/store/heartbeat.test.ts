import { describe, expect, it } from "@jest/globals";
import { type Observable, filter, firstValueFrom, map, take, toArray } from "rxjs";
import type { LogSignal, RecordedEvent } from "../../src/log/event-log.ts";
import { type ConversationStore, openConversationStore } from "../../src/store/conversation-store.ts";

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

  it("do not come without a turn", () =>
    withBeatingStore(1, async (store) => {
      const turn = await store.beginTurn("s");
      await turn.finish();
      // Whatever was on its way has been appended once the writer's own queue has taken its last event.
      await store.close();
      const reopened = await openConversationStore("memory:", { heartbeatMs: 1 });
      for (let index = 0; index < 50; index++) await reopened.saveMessage("s", "user", `message ${index}`);
      const types = new Set<string>();
      for await (const { type, stream } of reopened.log.readAll())
        if (stream.startsWith("writer-")) types.add(type);
      expect([...types]).toEqual(["WriterStarted"]);
      await reopened.close();
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
