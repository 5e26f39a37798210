import { type ChildProcessByStdio, spawn } from "node:child_process";
import { once } from "node:events";
import { readFileSync } from "node:fs";
import { join } from "node:path";
import type { Readable } from "node:stream";
import { createInterface } from "node:readline";
import { describe, expect, it } from "@jest/globals";
import { followLog } from "../../src/forensics/follow-log.ts";
import type { LogSignal, ReadAllOptions, RecordedEvent, SubscribeOptions } from "../../src/log/event-log.ts";
import { type Observable, Subject, concat, defer, from, map } from "rxjs";
import type { ConversationStore } from "../../src/store/conversation-store.ts";
import { openConversationStore } from "../../src/store/open-conversation-store.ts";
import { builtCli, run, withFolder, withStoreFile } from "../cli/cli-support.ts";
import { withStore } from "../support/memory-store.ts";

const contentOf = (event: RecordedEvent | undefined): unknown =>
  (event?.data as { content?: unknown } | undefined)?.content;

async function say(store: ConversationStore, ...texts: string[]): Promise<void> {
  for (const text of texts) await store.saveMessage("s", "user", text);
}

async function take(events: AsyncGenerator<RecordedEvent>, count: number): Promise<unknown[]> {
  const taken: unknown[] = [];
  while (taken.length < count) taken.push(contentOf((await events.next()).value ?? undefined));
  return taken;
}

/** A log whose subscription delivers at once, however slow the consumer is. */
class ArrayLog {
  readonly #events: RecordedEvent[] = [];
  readonly #new = new Subject<RecordedEvent>();
  #onSubscribed: () => void = () => undefined;
  readonly subscribed = new Promise<void>((resolve) => (this.#onSubscribed = resolve));
  subscriptions = 0;

  get isFollowed(): boolean {
    return this.#new.observed;
  }

  append(count: number): void {
    for (let n = 0; n < count; n++) {
      const event = { stream: "s", position: this.#events.length } as RecordedEvent;
      this.#events.push(event);
      this.#new.next(event);
    }
  }

  async *readAll({ after = -1 }: ReadAllOptions = {}): AsyncGenerator<RecordedEvent> {
    yield* this.#events.slice(after + 1);
  }

  subscribe({ after = -1 }: SubscribeOptions = {}): Observable<LogSignal> {
    return defer(() => {
      this.subscriptions++;
      this.#onSubscribed();
      return concat(from(this.#events.slice(after + 1)), this.#new);
    }).pipe(map((event) => ({ kind: "event" as const, event })));
  }
}

describe("following a log", () => {
  it("gives what is there, then what comes, each once", () =>
    withStore(async (store) => {
      await say(store, "a", "b");
      const events = followLog(store.log, { after: -1, streamPrefix: "conversation-" });
      expect(await take(events, 2)).toEqual(["a", "b"]);
      const next = take(events, 2);
      await say(store, "c", "d");
      expect(await next).toEqual(["c", "d"]);
      await events.return();
    }));

  it("follows one stream and not those whose names go on behind its own", () =>
    withStore(async (store) => {
      await store.saveMessage("s2", "user", "other");
      const events = followLog(store.log, { after: -1, stream: "conversation-s" });
      await say(store, "a");
      const taken = take(events, 2);
      await store.saveMessage("s2", "user", "other");
      await say(store, "b");
      expect(await taken).toEqual(["a", "b"]);
      await events.return();
    }));

  it("misses and doubles nothing when more comes at once than may wait for it", async () => {
    const log = new ArrayLog();
    const events = followLog(log, { after: -1 });
    log.append(1);
    await take(events, 1);
    const first = events.next();
    await log.subscribed;
    log.append(1);
    const positions = [(await first).value?.position];
    // The rest of it while the consumer takes none.
    const second = events.next();
    log.append(24_999);
    positions.push((await second).value?.position);
    while (positions.length < 25_000) positions.push((await events.next()).value?.position);
    expect(positions).toEqual(Array.from({ length: 25_000 }, (_, n) => n + 1));
    const live = events.next();
    log.append(1);
    expect((await live).value?.position).toBe(25_001);
    expect(log.subscriptions).toBe(2);
    await events.return();
    expect(log.isFollowed).toBe(false);
  });

  it("ends by its signal, before it begins, while it reads and while it waits", () =>
    withStore(async (store) => {
      await say(store, "a", "b");
      const follow = (signal: AbortSignal): AsyncGenerator<RecordedEvent> =>
        followLog(store.log, { after: -1, streamPrefix: "conversation-", signal });
      expect(await follow(AbortSignal.abort()).next()).toMatchObject({ done: true });
      const reading = new AbortController();
      const read = follow(reading.signal);
      await read.next();
      reading.abort();
      expect(await read.next()).toMatchObject({ done: true });
      const waiting = new AbortController();
      const waits = follow(waiting.signal);
      await take(waits, 2);
      const next = waits.next();
      waiting.abort();
      expect(await next).toMatchObject({ done: true });
    }));

  it("throws what ends the log's subscription", () =>
    withStore(async (store) => {
      const events = followLog(store.log, { after: -1 });
      const next = events.next();
      await store.log.close();
      await expect(next).rejects.toMatchObject({ code: "store-closed" });
    }));
});

interface Tail {
  child: ChildProcessByStdio<null, Readable, null>;
  lines: AsyncIterator<string>;
}

function startTail(...args: string[]): Tail {
  const child = spawn(process.execPath, [builtCli, "tail", ...args], {
    stdio: ["ignore", "pipe", "inherit"],
  });
  return { child, lines: createInterface({ input: child.stdout })[Symbol.asyncIterator]() };
}

async function nextLine({ lines }: Tail): Promise<string> {
  const { value, done } = await lines.next();
  if (done === true) throw new Error("tail ended");
  return value;
}

describe("turnlog tail", () => {
  it("shows the newest events, then those of another process as they come, and ends with Ctrl-C", async () => {
    await withFolder(async (folder) => {
      const path = join(folder, "store.db");
      const store = await openConversationStore(path);
      const tails: Tail[] = [];
      try {
        await say(store, "one", "two", "three");
        const tail = startTail("--lines", "2", "--store", path);
        tails.push(tail);
        expect(await nextLine(tail)).toMatch(/^s +\d+ +1 .* MessageSaved +- +#\d+ user “two”$/);
        expect(await nextLine(tail)).toContain("“three”");
        await say(store, "four");
        expect(await nextLine(tail)).toContain("“four”");
        const turn = await store.beginTurn("s2");
        expect(await nextLine(tail)).toMatch(/^s2 .* AssistantStubAppended/);
        expect(await nextLine(tail)).toMatch(/^s2 .* TurnStarted/);
        void turn.textDelta("live");
        await turn.flush();
        expect(await nextLine(tail)).toMatch(/ delta .*live/);
        const ended = once(tail.child, "exit");
        tail.child.kill("SIGINT");
        expect(await ended).toEqual([130, null]);
        await turn.finish();
      } finally {
        for (const { child } of tails) child.kill("SIGKILL");
        await store.close();
      }
    });
  });

  it("as JSON lines resumes behind a position without gap or double, and changes no byte", async () => {
    await withStoreFile(
      (store) => say(store, "one", "two", "three"),
      async (path) => {
        const before = readFileSync(path);
        const first = startTail("s", "--lines", "3", "--json", "--store", path);
        const events = [await nextLine(first), await nextLine(first)].map(
          (line) => JSON.parse(line) as { position: number; data: { content: string } },
        );
        first.child.kill("SIGKILL");
        const { stdout } = await run(["events", "s", "--json", "--store", path]);
        const all = stdout.trimEnd().split("\n");
        expect(events).toEqual(all.slice(0, 2).map((line) => ({ sessionId: "s", ...JSON.parse(line) })));
        const second = startTail("s", "--after", String(events[1]?.position), "--json", "--store", path);
        expect(JSON.parse(await nextLine(second))).toMatchObject({ data: { content: "three" } });
        const ended = once(second.child, "exit");
        second.child.kill("SIGINT");
        expect(await ended).toEqual([130, null]);
        expect(readFileSync(path).equals(before)).toBe(true);
      },
    );
  });

  it("refuses a position that is none, and a session that is not there", async () => {
    await withStoreFile(
      (store) => say(store, "one"),
      async (path) => {
        expect(await run(["tail", "--after", "x", "--store", path])).toMatchObject({ code: 2, stdout: "" });
        expect(await run(["tail", "nobody", "--store", path])).toMatchObject({ code: 3, stdout: "" });
      },
    );
  });
});
