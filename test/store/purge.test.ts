import { execFileSync } from "node:child_process";
import { readdirSync, writeFileSync } from "node:fs";
import { dirname, join } from "node:path";
import { describe, expect, it } from "@jest/globals";
import { Database } from "../../src/log/sqlite/engine.ts";
import { openSqliteEventLog } from "../../src/log/sqlite/sqlite-event-log.ts";
import { HolderLock } from "../../src/projections/holder-lock.ts";
import { rebuildViews } from "../../src/projections/rebuild.ts";
import type { ConversationStore } from "../../src/store/conversation-store.ts";
import { openConversationStore } from "../../src/store/open-conversation-store.ts";
import { checkLogIntegrity } from "../../src/testing/index.ts";
import { withStorePath } from "../crash/kill-child.ts";
import { withStore } from "../support/memory-store.ts";

/** Words that are in no other text, spread over everything that a session is made of. */
const SECRETS = ["hortensia", "quodlibet", "marzipan", "zephyranthe", "oubliette"];

async function fillSecretly(store: ConversationStore, sessionId: string): Promise<void> {
  const turn = await store.beginTurn(sessionId, { user: `${SECRETS[0]} `.repeat(30) });
  for (let delta = 0; delta < 200; delta++) {
    void turn.textDelta(`${SECRETS[1]}${delta} `);
    await turn.flush();
  }
  void turn.toolCall({ toolId: "t", name: "look", input: `{"for":"${SECRETS[2]}"}` });
  await turn.finish();
  await store.updateSession(sessionId, { title: SECRETS[3]!, metadata: { of: SECRETS[4] } });
}

/** As fillSecretly, between sessions that stay, so that rows and pages are shared. */
async function fillAll(store: ConversationStore): Promise<void> {
  await store.saveMessage("stays", "user", "carnation");
  for (let round = 0; round < 3; round++) {
    await fillSecretly(store, "secret");
    await store.saveMessage("stays", "assistant", `carnation ${round} `.repeat(200));
  }
}

/** Read by another process: to open a database past SQLite would drop this one's locks. */
function bytesOf(path: string, name: string): Buffer {
  return execFileSync("cat", [join(dirname(path), name)], { maxBuffer: 2 ** 28 });
}

/** Files of the folder that hold any of the words, in UTF-8 or UTF-16. The log's packed rows are deflated: see below. */
function filesHolding(path: string, words: readonly string[]): string[] {
  return readdirSync(dirname(path)).filter((name) => {
    const bytes = bytesOf(path, name);
    return words.some((word) => bytes.includes(word) || bytes.includes(Buffer.from(word, "utf16le")));
  });
}

/** Payloads, as hexadecimal, of all rows that hold events of the session: what deflated text looks like on disk. */
function payloadsOf(path: string, stream: string): Buffer[] {
  const database = new Database(path, { readOnly: true });
  const rows = database
    .prepare("SELECT payload FROM packed JOIN streams ON streams.id = stream_id WHERE name = ?")
    .all(stream);
  database.close();
  return rows.map(([payload]) => Buffer.from(payload as Uint8Array));
}

const holds = (path: string, pieces: readonly Buffer[]): boolean =>
  readdirSync(dirname(path)).some((name) => {
    const bytes = bytesOf(path, name);
    return pieces.some((piece) => bytes.includes(piece));
  });

/** The beginnings of payloads: a row larger than a page is split over several. */
const beginnings = (payloads: readonly Buffer[]): Buffer[] =>
  payloads.map((payload) => payload.subarray(0, 200));

async function withFilledStore(use: (path: string, payloads: Buffer[]) => Promise<void>): Promise<void> {
  await withStorePath(async (path) => {
    const store = await openConversationStore(path, { durability: "process" });
    await fillAll(store);
    await store.close();
    const payloads = beginnings(payloadsOf(path, "conversation-secret"));
    // Else the test could not fail.
    expect(payloads.length).toBeGreaterThan(5);
    expect(holds(path, payloads)).toBe(true);
    expect(filesHolding(path, SECRETS)).not.toEqual([]);
    await use(path, payloads);
  });
}

async function using<T>(path: string, use: (store: ConversationStore) => Promise<T>): Promise<T> {
  const store = await openConversationStore(path, { durability: "process" });
  try {
    return await use(store);
  } finally {
    await store.close();
  }
}

describe("a purged session", () => {
  it("is in no page of any file of the store: log, views, write-ahead logs; what stays is whole", () =>
    withFilledStore(async (path, payloads) => {
      await using(path, async (store) => {
        const { events, isErased } = await store.purgeSession("secret");
        expect(events).toBeGreaterThan(30);
        expect(isErased).toBe(true);
        // While the store is still open: what is left in a write-ahead log counts too.
        expect(filesHolding(path, SECRETS)).toEqual([]);
        expect(holds(path, payloads)).toBe(false);
        expect((await store.listSessions()).map(({ id }) => id)).toEqual(["stays"]);
        expect(await store.countMessages("stays")).toBe(4);
        await checkLogIntegrity(store.log);
      });
      expect(filesHolding(path, SECRETS)).toEqual([]);
      expect(holds(path, payloads)).toBe(false);
      expect(filesHolding(path, ["carnation"])).toContain("conversations.db.views");
    }));

  it("that is only deleted is still there: purging is what removes it", () =>
    withFilledStore(async (path, payloads) => {
      await using(path, (store) => store.deleteSession("secret"));
      expect(holds(path, payloads)).toBe(true);
      expect(await using(path, (store) => store.purgeSession("secret"))).toMatchObject({ isErased: true });
      expect(holds(path, payloads)).toBe(false);
    }));

  it("is gone although its newest events had not been packed", () =>
    withStorePath(async (path) => {
      await using(path, async (store) => {
        await store.saveMessage("stays", "user", "carnation");
        await store.saveMessage("secret", "user", SECRETS[0]!);
        expect(filesHolding(path, SECRETS)).not.toEqual([]);
        await store.purgeSession("secret");
        expect(filesHolding(path, SECRETS)).toEqual([]);
      });
    }));

  it("starts empty when it is used again, and can be purged again", () =>
    withFilledStore(async (path) => {
      await using(path, async (store) => {
        await store.purgeSession("secret");
        await store.saveMessage("secret", "user", "a new life");
        expect(await store.listMessages("secret")).toMatchObject([{ content: "a new life" }]);
        expect(await store.purgeSession("secret")).toEqual({ events: 2, isErased: true });
        expect(await store.purgeSession("secret")).toEqual({ events: 0, isErased: true });
        expect(filesHolding(path, ["a new life"])).toEqual([]);
      });
    }));

  it("is gone from what an interrupted rebuild has left, and from views that were set aside", () =>
    withFilledStore(async (path) => {
      const stop = new AbortController();
      await rebuildViews(path, {
        signal: stop.signal,
        batchEvents: 60,
        onProgress: () => stop.abort(),
      }).catch(() => undefined);
      const aside = `${path}.views.damaged-1`;
      writeFileSync(aside, SECRETS.join());
      await using(path, (store) => store.purgeSession("secret"));
      expect(filesHolding(path, SECRETS)).toEqual([]);
      expect(readdirSync(dirname(path))).not.toContain("conversations.db.views.damaged-1");
      await rebuildViews(path);
      expect(await using(path, (store) => store.countMessages("stays"))).toBe(4);
    }));

  it("is gone where no process keeps the views up to date", () =>
    withFilledStore(async (path) => {
      const store = await openConversationStore(path, { projector: false });
      await store.purgeSession("secret");
      await store.close();
      expect(filesHolding(path, SECRETS)).toEqual([]);
    }));

  it("takes a turn that is being written with it", () =>
    withStorePath((path) =>
      using(path, async (store) => {
        const turn = await store.beginTurn("secret", { user: SECRETS[0] });
        void turn.textDelta(SECRETS[1]!);
        await turn.flush();
        await store.purgeSession("secret");
        await expect(turn.finish()).rejects.toMatchObject({ code: "turn-lost" });
        expect(filesHolding(path, SECRETS)).toEqual([]);
      }),
    ));

  it("that never was is no error, and in memory nothing is left to erase", () =>
    withStore(async (store) => {
      expect(await store.purgeSession("none")).toEqual({ events: 0, isErased: true });
      await store.saveMessage("s", "user", "hello");
      expect(await store.purgeSession("s")).toEqual({ events: 1, isErased: false });
      const left: string[] = [];
      for await (const { type } of store.log.readStream("conversation-s")) left.push(type);
      expect(left).toEqual(["SessionDeleted"]);
    }));
});

describe("a purge that another process keeps from finishing", () => {
  it("says that the text may still be there, and finishes when it is called again", () =>
    withFilledStore(async (path, payloads) => {
      // A reader that looks at an old state of the log keeps its pages in the write-ahead log.
      const reader = new Database(path, { readOnly: true });
      reader.exec("BEGIN");
      reader.number("SELECT count(*) FROM packed");
      const handle = await openSqliteEventLog(path, { busyTimeoutMs: 50 });
      await expect(handle.compact!()).rejects.toMatchObject({
        code: "still-readable",
        message: expect.stringMatching(/reads an old state/),
      });
      reader.exec("COMMIT");
      reader.close();
      await handle.close();
      await using(path, (store) => store.purgeSession("secret"));
      expect(holds(path, payloads)).toBe(false);
    }));

  it("is refused while the views are being rebuilt, deleted though the session is", () =>
    withFilledStore(async (path) => {
      const stop = new AbortController();
      await rebuildViews(path, {
        signal: stop.signal,
        batchEvents: 60,
        onProgress: () => stop.abort(),
      }).catch(() => undefined);
      const rebuild = new HolderLock(`${path}.views-rebuild`);
      expect(rebuild.tryAcquire()).toBe(true);
      await using(path, async (store) => {
        await expect(store.purgeSession("secret")).rejects.toMatchObject({
          code: "still-readable",
          message: expect.stringMatching(/is rebuilding it.*Purge again/),
        });
        rebuild.release();
        await store.purgeSession("secret");
        expect(filesHolding(path, SECRETS)).toEqual([]);
      });
    }));
});
