import { randomUUID } from "node:crypto";
import { describe, expect, it } from "@jest/globals";
import type { EventLog, NewEvent } from "../../src/log/event-log.ts";
import { MemoryEventLog } from "../../src/log/memory-event-log.ts";
import { eventLogContract } from "../../src/testing/event-log-contract.ts";
import { gather } from "../../src/testing/check-log-integrity.ts";
import { FaultyEventLog } from "../../src/testing/faulty-event-log.ts";

eventLogContract({
  name: "faulty log without faults, around memory",
  describe,
  it,
  open: async () => {
    const name = randomUUID();
    const anchor = new MemoryEventLog({ name });
    const open = (): FaultyEventLog => new FaultyEventLog(new MemoryEventLog({ name }));
    return { log: open(), reopen: async () => open(), dispose: () => anchor.close() };
  },
});

const event = (data: string): NewEvent => ({ id: randomUUID(), type: "Happened", data, metadata: {} });

async function texts(log: EventLog, stream = "s"): Promise<unknown[]> {
  return (await gather(log.readStream(stream))).map(({ data }) => data);
}

/** The faulty log and the log underneath, which shows what is really there. */
function faulty(): { log: FaultyEventLog; inner: MemoryEventLog } {
  const inner = new MemoryEventLog();
  return { log: new FaultyEventLog(inner), inner };
}

const injected = { code: "injected-fault" };

describe("a faulty log", () => {
  it("append-fails: nothing is written, and the identical retry works", async () => {
    const { log, inner } = faulty();
    log.inject({ kind: "append-fails" });
    expect(log.pending).toEqual([{ kind: "append-fails" }]);
    const first = event("a");
    await expect(log.append("s", [first], "no-stream")).rejects.toMatchObject(injected);
    expect(await texts(inner)).toEqual([]);
    expect(await log.append("s", [first], "no-stream")).toMatchObject({ ok: true, revision: 0 });
    expect(log.injected).toEqual([{ kind: "append-fails", call: "append", stream: "s" }]);
    expect(log.pending).toEqual([]);
    await log.close();
  });

  it("answer-lost: the events are there, and the identical retry finds them", async () => {
    const { log, inner } = faulty();
    const lost = new Error("connection reset");
    log.inject({ kind: "answer-lost", error: lost });
    const first = event("a");
    await expect(log.append("s", [first], "no-stream")).rejects.toBe(lost);
    expect(await texts(inner)).toEqual(["a"]);
    expect(await log.append("s", [first], "no-stream")).toMatchObject({ ok: true, revision: 0 });
    expect(await texts(inner)).toEqual(["a"]);
    await log.close();
  });

  it("foreign-events: an explicit revision conflicts, and the foreign events are there", async () => {
    const { log, inner } = faulty();
    await log.append("s", [event("a")], "no-stream");
    log.inject({ kind: "foreign-events", events: [event("foreign 1"), event("foreign 2")] });
    expect(await log.append("s", [event("b")], 0)).toEqual({ ok: false, actualRevision: 2 });
    expect(await texts(inner)).toEqual(["a", "foreign 1", "foreign 2"]);
    await log.close();
  });

  it("append-waits: it and all later appends wait, then land in the order of the calls", async () => {
    const { log, inner } = faulty();
    let letGo = (): void => {};
    log.inject(
      { kind: "append-waits", until: new Promise<void>((resolve) => (letGo = resolve)) },
      { streamPrefix: "s" },
    );
    await log.append("other", [event("before")], "any");
    const appends = [log.append("s", [event("a")], "no-stream"), log.append("s", [event("b")], 0)];
    const later = log.append("other", [event("after")], 0);
    expect(await inner.head()).toBe(0);
    letGo();
    expect(await Promise.all(appends)).toMatchObject([{ revision: 0 }, { revision: 1 }]);
    expect(await later).toMatchObject({ revision: 1, position: 3 });
    expect(await texts(inner)).toEqual(["a", "b"]);
    await log.close();
  });

  it("append-waits: appendSync and close apply what waits first", async () => {
    const { log, inner } = faulty();
    const forever = new Promise<never>(() => {});
    log.inject({ kind: "append-waits", until: forever });
    const waiting = log.append("s", [event("a")], "no-stream");
    expect(log.appendSync?.("s", [event("b")], 0)).toMatchObject({ revision: 1 });
    expect(await waiting).toMatchObject({ revision: 0 });
    expect(await texts(inner)).toEqual(["a", "b"]);
    log.inject({ kind: "append-waits", until: forever });
    const closing = [log.append("s", [event("c")], 1), log.close()];
    expect(await Promise.all(closing)).toMatchObject([{ revision: 2 }, undefined]);
  });

  it("append-waits: a barrier that rejects lifts too", async () => {
    const { log } = faulty();
    log.inject({ kind: "append-waits", until: Promise.reject(new Error("never mind")) });
    expect(await log.append("s", [event("a")], "no-stream")).toMatchObject({ revision: 0 });
    await log.close();
  });

  it("faults of appends hit appendSync too", async () => {
    const { log, inner } = faulty();
    log.inject({ kind: "append-fails" });
    log.inject({ kind: "answer-lost" });
    log.inject({ kind: "foreign-events", events: [event("foreign")] });
    const first = event("a");
    const append = (): unknown => log.appendSync?.("s", [first], "no-stream");
    expect(append).toThrow(expect.objectContaining(injected));
    expect(await texts(inner)).toEqual([]);
    expect(append).toThrow(expect.objectContaining(injected));
    expect(await texts(inner)).toEqual(["a"]);
    expect(log.appendSync?.("s", [event("b")], 0)).toEqual({ ok: false, actualRevision: 1 });
    expect(log.injected.map(({ call }) => call)).toEqual(["appendSync", "appendSync", "appendSync"]);
    await log.close();
  });

  it("has no appendSync where the wrapped log has none", async () => {
    const { inner } = faulty();
    Object.defineProperty(inner, "appendSync", { value: undefined });
    const log = new FaultyEventLog(inner);
    expect(log.appendSync).toBeUndefined();
    await log.close();
  });

  it("read-fails: the read yields so many events and then fails; the next one works", async () => {
    const { log } = faulty();
    await log.append("s", [event("a"), event("b"), event("c")], "no-stream");
    for (const read of [() => log.readStream("s"), () => log.readAll({ streamPrefix: "s" })]) {
      for (const afterEvents of [0, 2, 3, 10]) {
        log.inject({ kind: "read-fails", afterEvents });
        const seen: unknown[] = [];
        const reading = async (): Promise<void> => {
          for await (const { data } of read()) seen.push(data);
        };
        await expect(reading()).rejects.toMatchObject(injected);
        expect(seen).toEqual(["a", "b", "c"].slice(0, afterEvents));
        expect(await gather(read())).toHaveLength(3);
      }
    }
    await log.close();
  });

  it("hits the calls that are meant: by stream, after some, so many times", async () => {
    const { log, inner } = faulty();
    log.inject({ kind: "append-fails" }, { streamPrefix: "chat-", skip: 1, times: 2 });
    const outcome = async (stream: string): Promise<string> =>
      log.append(stream, [event(stream)], "any").then(
        () => "landed",
        () => "failed",
      );
    const streams = ["other", "chat-1", "other", "chat-2", "chat-1", "other", "chat-1"];
    const outcomes: string[] = [];
    for (const stream of streams) outcomes.push(await outcome(stream));
    expect(outcomes).toEqual(["landed", "landed", "landed", "failed", "failed", "landed", "landed"]);
    expect(await gather(inner.readAll())).toHaveLength(5);
    await log.close();
  });

  it("can fail for good, until the plan is cleared", async () => {
    const { log } = faulty();
    log.inject({ kind: "append-fails" }, { times: Infinity });
    for (let attempt = 0; attempt < 5; attempt += 1) {
      await expect(log.append("s", [event("a")], "any")).rejects.toMatchObject(injected);
    }
    log.clear();
    await log.append("s", [event("a")], "no-stream");
    await log.close();
  });

  it("refuses plans that cannot be right", () => {
    const { log } = faulty();
    for (const target of [{ skip: -1 }, { skip: 0.5 }, { times: 0 }, { times: 1.5 }]) {
      const refused = expect.objectContaining({ code: "invalid-fault" });
      expect(() => log.inject({ kind: "append-fails" }, target)).toThrow(refused);
    }
    expect(() => log.inject({ kind: "read-fails", afterEvents: -1 })).toThrow(/afterEvents -1/);
  });
});
