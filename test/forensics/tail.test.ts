import { type ChildProcessByStdio, spawn } from "node:child_process";
import { once } from "node:events";
import { join } from "node:path";
import type { Readable } from "node:stream";
import { createInterface } from "node:readline";
import { describe, expect, it } from "@jest/globals";
import { followLog } from "../../src/forensics/follow-log.ts";
import type { RecordedEvent } from "../../src/log/event-log.ts";
import { type ConversationStore, openConversationStore } from "../../src/store/conversation-store.ts";
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

  it("misses and doubles nothing when its consumer is slower than the log by more than may wait", () =>
    withStore(async (store) => {
      await say(store, "0");
      const events = followLog(store.log, { after: -1, streamPrefix: "conversation-" });
      await take(events, 1);
      const first = take(events, 1);
      const texts = Array.from({ length: 12_000 }, (_, n) => `${n + 1}`);
      await Promise.all(texts.map((text) => store.saveMessage("s", "user", text)));
      expect([...(await first), ...(await take(events, texts.length - 1))]).toEqual(texts);
      await events.return();
    }));

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

  it("as JSON lines resumes behind a position without gap or double", async () => {
    await withStoreFile(
      (store) => say(store, "one", "two", "three"),
      async (path) => {
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
        second.child.kill("SIGKILL");
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
