import { afterAll, beforeAll, describe, expect, it } from "@jest/globals";
import { mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { verifyStore } from "../../src/forensics/verify.ts";
import type { EventLog } from "../../src/log/event-log.ts";
import { FixtureNode } from "../support/eventstoredb-fixture/fixture-node.ts";
import { fillRichly } from "../support/rich-session.ts";
import {
  StoreUrls,
  copy,
  exportOf,
  importOf,
  streamOf,
  told,
  withLog,
  withStoreAt,
  withoutIds,
  written,
} from "./transfer-support.ts";

/** Copies between stores of every kind, and the ids that messages have in them. */

let folder: string;
let node: FixtureNode;
let urls: StoreUrls;

beforeAll(async () => {
  folder = mkdtempSync(join(tmpdir(), "turnlog-transfer-"));
  node = await FixtureNode.start({ countsEverything: true });
  urls = new StoreUrls(folder, node);
});
afterAll(async () => {
  await urls.close();
  await node.close();
  rmSync(folder, { recursive: true, force: true });
});

type Kind = "memory" | "file" | "server";

async function filled(kind: Kind): Promise<string> {
  const url = urls.next(kind);
  await withStoreAt(url, async (store) => {
    await fillRichly(store, "rich");
    await store.saveMessage("plain", "user", "lone \ud83d, NUL \0, line \u2028");
  });
  // By another writer, whose ids and counters are others.
  await withStoreAt(url, (store) => store.saveMessage("plain", "assistant", "😀"));
  return url;
}

describe("copying", () => {
  const ways: [Kind, Kind][] = [
    ["memory", "file"],
    ["file", "memory"],
    ["file", "server"],
    ["server", "file"],
  ];
  it.each(ways)(
    "from %s to %s keeps ids, times and all that a store says, there and back",
    async (from, to) => {
      const [source, target, back] = [await filled(from), urls.next(to), urls.next(from)];
      const report = await copy(source, target);
      expect(report).toMatchObject({ sessions: 2, alreadyThere: 0, renewedSessions: [] });
      expect(await written(target)).toEqual(await written(source));
      await copy(target, back);
      expect(await written(back)).toEqual(await written(source));
      expect(await told(back)).toEqual(await told(source));
      expect(await told(target)).toEqual(await told(source));
      expect(await verifyStore(target)).toMatchObject({ findings: [], notes: [] });
    },
  );

  it.each(["memory", "file", "server"] as const)("by an export of a %s store does the same", async (kind) => {
    const [source, target] = [await filled(kind), urls.next(kind)];
    const report = await importOf(await exportOf(source), target);
    expect(report).toMatchObject({ sessions: 2, alreadyThere: 0, renewedSessions: [] });
    expect(await written(target)).toEqual(await written(source));
    expect(await told(target)).toEqual(await told(source));
  });

  it("a second time appends nothing; later it appends what has come since", async () => {
    const [source, target] = [await filled("file"), urls.next("file")];
    const { appended } = await copy(source, target);
    expect(await copy(source, target)).toMatchObject({ appended: 0, alreadyThere: appended });
    expect(await importOf(await exportOf(source), target)).toMatchObject({ appended: 0 });
    await withStoreAt(source, (store) => store.saveMessage("plain", "user", "more"));
    // The message, and its writer's beginning and end.
    expect(await copy(source, target)).toMatchObject({ appended: 3, alreadyThere: appended });
    expect(await written(target)).toEqual(await written(source));
    expect(await told(target)).toEqual(await told(source));
  });

  it("takes an empty store", async () => {
    const [source, target] = [urls.next("file"), urls.next("file")];
    await withLog(source, () => Promise.resolve());
    expect(await copy(source, target)).toMatchObject({ appended: 0, sessions: 0 });
    expect(await importOf(await exportOf(source), target)).toMatchObject({ appended: 0, sessions: 0 });
  });
});

describe("ids of messages in a copy", () => {
  it("are kept where the target's message-ids is a beginning of the source's, also for one session", async () => {
    const [source, target] = [await filled("memory"), urls.next("memory")];
    expect(await copy(source, target, { sessions: ["plain"] })).toMatchObject({ renewedSessions: [] });
    expect(await streamOf(target, "conversation-plain")).toMatchObject(
      (await streamOf(source, "conversation-plain")).map(({ id, data }) => ({ id, data })),
    );
    expect(await streamOf(target, "conversation-rich")).toEqual([]);
    // The rest can follow under its own ids.
    expect(await copy(source, target)).toMatchObject({ renewedSessions: [] });
    expect(await written(target)).toEqual(await written(source));
  });

  it("are new, with their origin, where the target has given out its own", async () => {
    const [source, target] = [await filled("file"), urls.next("file")];
    await withStoreAt(target, (store) => store.saveMessage("of its own", "user", "hello"));
    const report = await copy(source, target);
    expect(report.renewedSessions.toSorted()).toEqual(["plain", "rich"]);
    const [before, after] = [await told(source), await told(target)] as { each: Told[] }[];
    expect(withoutIds(after?.each.filter(({ id }) => id !== "of its own"))).toEqual(withoutIds(before?.each));
    const logId = await withLog(source, (log) => Promise.resolve(log.logId));
    const originals = await streamOf(source, "conversation-rich");
    const copies = await streamOf(target, "conversation-rich");
    expect(copies.map(({ metadata }) => metadata["origin"])).toEqual(
      originals.map(({ id, revision }) => ({ logId, stream: "conversation-rich", revision, id })),
    );
    expect(copies.map(({ metadata }) => metadata["time"])).toEqual(
      originals.map(({ metadata }) => metadata["time"]),
    );
    expect((await verifyStore(target)).findings).toEqual([]);
    expect(await copy(source, target)).toMatchObject({ appended: 0 });
    // They are the target's own: a message is found by its id, and the session goes on.
    await withStoreAt(target, async (store) => {
      const [last] = await store.listMessages("plain", { limit: 1 });
      await store.updateBranches(last?.id ?? 0, "changed");
      expect((await store.listMessages("plain")).at(-1)?.content).toBe("changed");
    });
  });

  it("stay new when more comes: the copy goes on under the ids that it has given", async () => {
    const [source, target] = [await filled("memory"), urls.next("memory")];
    await withStoreAt(target, (store) => store.saveMessage("of its own", "user", "hello"));
    await copy(source, target);
    await withStoreAt(source, async (store) => {
      const [last] = await store.listMessages("plain", { limit: 1 });
      await store.updateBranches(last?.id ?? 0, "changed since");
      for (let n = 0; n < 300; n++) await store.saveMessage("plain", "user", `${n}`); // Another block of ids.
    });
    expect(await copy(source, target)).toMatchObject({ renewedSessions: expect.arrayContaining(["plain"]) });
    const [before, after] = [await told(source), await told(target)] as { each: Told[] }[];
    expect(withoutIds(after?.each.filter(({ id }) => id === "plain"))).toEqual(
      withoutIds(before?.each.filter(({ id }) => id === "plain")),
    );
    expect((await verifyStore(target)).findings).toEqual([]);
  });
});

interface Told {
  id: string;
}

describe("a session of that name with another history", () => {
  it("is refused, after all others have been copied, and can be copied under another name", async () => {
    const [source, target] = [await filled("file"), urls.next("file")];
    await withStoreAt(target, (store) => store.saveMessage("plain", "user", "another"));
    const before = await streamOf(target, "conversation-plain");
    await expect(copy(source, target)).rejects.toMatchObject({
      code: "session-differs",
      details: { sessionId: "plain" },
      message: expect.stringMatching(/--as/),
    });
    expect(await streamOf(target, "conversation-plain")).toEqual(before);
    expect(await streamOf(target, "conversation-rich")).toHaveLength(
      (await streamOf(source, "conversation-rich")).length,
    );
    const renamed = await copy(source, target, { sessions: ["plain"] }, { as: "plain of old" });
    expect(renamed).toMatchObject({ renewedSessions: ["plain of old"], sessions: 1 });
    expect(await copy(source, target, { sessions: ["plain"] }, { as: "plain of old" })).toMatchObject({
      appended: 0,
    });
    expect((await verifyStore(target)).findings).toEqual([]);
    await expect(copy(source, target, { sessions: ["plain"] }, { as: "rich" })).rejects.toMatchObject({
      code: "session-differs",
    });
  });

  it("is refused as well where it has gone on by itself, and only while there is something to copy", async () => {
    const [source, target] = [await filled("memory"), urls.next("memory")];
    await copy(source, target);
    await withStoreAt(target, (store) => store.saveMessage("plain", "user", "on the target"));
    expect(await copy(source, target)).toMatchObject({ appended: 0 });
    await withStoreAt(source, (store) => store.saveMessage("plain", "user", "on the source"));
    await expect(copy(source, target)).rejects.toMatchObject({ code: "session-differs" });
  });

  it("names all that were refused", async () => {
    const [source, target] = [await filled("memory"), urls.next("memory")];
    await withStoreAt(target, async (store) => {
      for (const name of ["plain", "rich"]) await store.saveMessage(name, "user", "another");
    });
    await expect(copy(source, target)).rejects.toMatchObject({
      details: { sessions: expect.arrayContaining(["plain", "rich"]) },
      message: expect.stringMatching(/1 more/),
    });
  });
});

describe("what is selected", () => {
  it("--since takes whole sessions that have an event since then, and their writers", async () => {
    const source = urls.next("file");
    await withStoreAt(source, (store) => store.saveMessage("old", "user", "old"));
    const [old] = await streamOf(source, "conversation-old");
    const since = Number(old?.metadata["time"]) + 1;
    while (Date.now() < since); // The clock's next millisecond.
    await withStoreAt(source, (store) => store.saveMessage("new", "user", "new"));
    const target = urls.next("file");
    expect(await copy(source, target, { since })).toMatchObject({ sessions: 1 });
    expect([...(await written(target)).keys()].map((name) => name.replace(/(?<=^writer)-.*/, ""))).toEqual([
      "conversation-new",
      "message-ids",
      "writer",
    ]);
    const imported = urls.next("file");
    await importOf(await exportOf(source, { since }), imported);
    expect(await written(imported)).toEqual(await written(target));
    expect((await verifyStore(target)).findings).toEqual([]);
  });

  it("sessions of an export can be picked when it is imported, and one be renamed", async () => {
    const [source, picked, renamed] = [await filled("memory"), urls.next("memory"), urls.next("memory")];
    const text = await exportOf(source);
    expect(await importOf(text, picked, { sessions: ["plain"] })).toMatchObject({ sessions: 1 });
    expect(await streamOf(picked, "conversation-rich")).toEqual([]);
    await importOf(text, renamed, { sessions: ["plain"], as: "other" });
    expect([...(await written(renamed)).keys()].filter((name) => name.startsWith("conversation"))).toEqual([
      "conversation-other",
    ]);
    await expect(importOf(text, renamed, { as: "other" })).rejects.toMatchObject({ code: "invalid-usage" });
  });

  it("that is not there is an error", async () => {
    const source = await filled("memory");
    await expect(exportOf(source, { sessions: ["none"] })).rejects.toMatchObject({
      code: "session-not-found",
    });
    const text = await exportOf(source);
    await expect(importOf(text, urls.next("memory"), { sessions: ["none"] })).rejects.toMatchObject({
      code: "session-not-found",
    });
  });
});

describe("streams that have been truncated", () => {
  it("begin at revision 0 in the copy, which says the same and verifies", async () => {
    const source = await filled("file");
    await withStoreAt(source, async (store) => {
      await store.purgeSession("rich");
      await fillRichly(store, "rich"); // A replacement that was computed from a revision, too.
    });
    const [aligned, renewed] = [urls.next("memory"), urls.next("file")];
    await copy(source, aligned);
    await withStoreAt(renewed, (store) => store.saveMessage("of its own", "user", "hello"));
    await copy(source, renewed);
    const [first] = await streamOf(source, "conversation-rich");
    expect(first?.revision).toBeGreaterThan(0);
    const messages = (url: string): Promise<unknown> =>
      withStoreAt(url, (store) => store.listMessages("rich", { limit: 1000, includeReplaced: true }));
    expect(await messages(aligned)).toEqual(await messages(source));
    expect(withoutIds(await messages(renewed))).toEqual(withoutIds(await messages(source)));
    for (const url of [aligned, renewed]) {
      expect((await streamOf(url, "conversation-rich"))[0]?.revision).toBe(0);
      expect((await verifyStore(url)).findings).toEqual([]);
      expect(await copy(source, url)).toMatchObject({ appended: 0 });
    }
    const imported = urls.next("memory");
    await importOf(await exportOf(source), imported);
    expect(await written(imported)).toEqual(await written(aligned));
  });

  it("of a writer may lose in the source what the copy has of them", async () => {
    const source = urls.next("memory");
    const target = urls.next("memory");
    let n = 0;
    const beat = (log: EventLog, count: number): Promise<unknown> =>
      log.append(
        "writer-w",
        Array.from({ length: count }, () => ({
          id: `00000000-0000-8000-8000-${(n + 1).toString(16).padStart(12, "0")}`,
          type: n === 0 ? "WriterStarted" : "WriterHeartbeat",
          data: { host: "h", pid: 1, heartbeatMs: 10_000, library: "test" },
          metadata: { v: 1, writer: "w", n: n++, time: 1_760_000_000_000 + n },
        })),
        "any",
      ) as Promise<unknown>;
    await withLog(source, async (log) => {
      await withLog(target, async () => {
        await beat(log, 5);
        await copy(source, target);
        await beat(log, 5);
        await log.truncate("writer-w", 3); // What the copy has is partly there.
        await copy(source, target);
        expect(await streamOf(target, "writer-w")).toHaveLength(10);
        await beat(log, 5);
        await log.truncate("writer-w", 12); // Nothing of it is.
        await copy(source, target);
        const copied = await streamOf(target, "writer-w");
        expect(copied.map(({ type, metadata }) => (type === "EventLost" ? type : metadata["n"]))).toEqual([
          0,
          1,
          2,
          3,
          4,
          5,
          6,
          7,
          8,
          9,
          "EventLost",
          12,
          13,
          14,
        ]);
        expect((await verifyStore(target)).findings).toEqual([]);
        expect(await copy(source, target)).toMatchObject({ appended: 0 });
        const fresh = urls.next("memory");
        await withLog(fresh, async () => {
          await copy(source, fresh);
          expect((await verifyStore(fresh)).findings).toEqual([]);
        });
      });
    });
  });
});
