import { join } from "node:path";
import { describe, expect, it } from "@jest/globals";
import type { RecordedEvent } from "../../src/log/event-log.ts";
import { Database } from "../../src/log/sqlite/engine.ts";
import { MemoryEventLog } from "../../src/log/memory-event-log.ts";
import { type ConversationViews } from "../../src/projections/conversation-views.ts";
import { openViews } from "../../src/projections/open-views.ts";
import { DamagedView, StaleView } from "../../src/projections/message-collection.ts";
import { noChanges } from "../../src/projections/conversation-changes.ts";
import { applyEvent } from "../../src/projections/conversation.ts";
import { unsavedConversation } from "../../src/projections/view-generation.ts";
import { ViewWriter } from "../../src/projections/view-writer.ts";
import { ViewedSessionDirectory } from "../../src/projections/viewed-session-directory.ts";
import { gather } from "../../src/testing/check-log-integrity.ts";
import { ConversationStore } from "../../src/store/conversation-store.ts";
import { tempFolders } from "../log/sqlite/temp-folder.ts";
import { asEvents, folded, saved } from "../support/conversation-history.ts";
import { asForeign } from "../support/faulty-store.ts";

const newFolder = tempFolders();

interface Setting {
  log: MemoryEventLog;
  store: ConversationStore;
  views: ConversationViews;
  /** Brings the rows up to the log's head. */
  project(): Promise<void>;
}

async function withViews(use: (setting: Setting) => Promise<void>, path = ":memory:"): Promise<void> {
  const log = new MemoryEventLog({});
  const store = new ConversationStore(log, { flushIntervalMs: 0 });
  const views = await openViews(log, { path });
  const project = async (): Promise<void> => {
    const current = views.current();
    if (current === undefined) throw new Error("no generation");
    const options = { mostSessions: 10, mostUnits: 1_000, onDeadLetter: () => undefined };
    const writer = new ViewWriter(views, current.generation, current, options);
    for await (const event of log.readAll({ after: current.checkpoint.position })) writer.take(event);
    writer.flush("all");
  };
  try {
    await use({ log, store, views, project });
  } finally {
    await store.close();
    views.close();
  }
}

describe("a session's rows", () => {
  it("are not overwritten by who has read them before another wrote them", async () => {
    await withViews(async ({ store, views, project }) => {
      await store.saveMessage("s", "user", "first");
      await project();
      const rows = views.rows(1);
      const [one, other] = [rows.load("s"), rows.load("s")];
      if (one === undefined || other === undefined) throw new Error("no rows");
      for (const { conversation } of [one, other]) {
        conversation.changes = noChanges();
        conversation.revision += 1;
      }
      views.write(() => rows.save("s", one));
      expect(() => views.write(() => rows.save("s", other))).toThrow(StaleView);
    });
  });

  it("are not taken for those of an earlier state once they have moved on", async () => {
    await withViews(async ({ store, views, project }) => {
      const id = await store.appendAssistantStub("s");
      await store.saveMessage("s", "user", "settles it");
      await project();
      const loaded = views.rows(1).load("s")?.conversation;
      expect(views.rows(1).load("s")?.conversation.messages.get(id)?.content.toString()).toBe("[]");
      await store.updateBranches(id, "written later");
      await project();
      expect(() => loaded?.messages.get(id)).toThrow(StaleView);
      expect(() => loaded?.messages.current()).toThrow(StaleView);
    });
  });

  it("give the first of two messages with one external id, whether loaded one by one or all together", async () => {
    await withViews(async ({ log, store, views, project }) => {
      const first = await store.saveMessage("s", "user", "first", { externalId: "x" });
      const second = {
        messageId: first + 1,
        role: "user" as const,
        format: "text" as const,
        content: "second",
        externalId: "x",
      };
      // As a replacement may bring it.
      await log.append("conversation-s", asForeign({ type: "MessageSaved", data: second }), "any");
      await project();
      const [lazy, whole] = [views.rows(1).load("s"), views.rows(1).load("s")];
      expect(lazy?.conversation.messages.getByExternalId("x")?.id).toBe(first);
      expect(whole?.conversation.messages.current()).toHaveLength(2);
      expect(whole?.conversation.messages.getByExternalId("x")?.id).toBe(first);
    });
  });

  it("give the newest page again without being read again, and the rest where more is asked for", async () => {
    await withViews(async ({ store, views, project }) => {
      for (let n = 0; n < 5; n++) await store.saveMessage("s", "user", `message ${n}`);
      await project();
      const messages = views.rows(1).load("s")?.conversation.messages;
      const contents = (limit: number, before?: number): string[] | undefined =>
        messages
          ?.page({ limit, before, isOldestFirst: false, includeReplaced: false })
          ?.map(({ content }) => content.toString());
      expect(contents(3)).toEqual(["message 2", "message 3", "message 4"]);
      views.write(() => views.database.exec("DROP TABLE messages_1"));
      expect(contents(2)).toEqual(["message 3", "message 4"]);
      expect(contents(3)).toEqual(["message 2", "message 3", "message 4"]);
      expect(() => contents(4)).toThrow(StaleView);
    });
  });

  it("give the newest page without what has been replaced, also after it was asked for", async () => {
    await withViews(async ({ store, views, project }) => {
      for (let n = 0; n < 3; n++) await store.saveMessage("s", "user", `message ${n}`);
      await store.replaceMessages("s", [{ role: "user", content: "a summary" }]);
      await project();
      const messages = views.rows(1).load("s")?.conversation.messages;
      const count = (includeReplaced: boolean): number | undefined =>
        messages?.page({ limit: 4, isOldestFirst: false, includeReplaced })?.length;
      expect([count(true), count(false), count(true)]).toEqual([4, 1, 4]);
    });
  });

  it("refuse a message of an id that one of them has, the newest or not", async () => {
    await withViews(async ({ views }) => {
      const conversation = folded([saved(2), saved(1)]);
      conversation.changes = { ...noChanges(), list: true };
      views.write(() => views.rows(1).save("s", unsavedConversation(conversation)));
      for (const id of [1, 2]) {
        const loaded = views.rows(1).load("s")?.conversation;
        if (loaded === undefined) throw new Error("no rows");
        const [again] = asEvents([saved(id)], 2);
        expect(() => applyEvent(loaded, again!)).toThrow(`message ${id} exists already`);
      }
    });
  });

  it("list sessions by the beginning of their id, whatever characters it is of", async () => {
    await withViews(async ({ log, store, views, project }) => {
      const ids = ["🦉-1", "🦉-2", "🦉x", "🦊-1", "e\u0301-1", "\u00e9-1", "%-1", "_-1"];
      for (const id of ids) await store.saveMessage(id, "user", "hello");
      await project();
      const directory = new ViewedSessionDirectory(log, views);
      for (const prefix of ["🦉-", "🦉", "e\u0301", "\u00e9", "%", "_", ""]) {
        const listed = (await directory.list({ limit: Infinity, prefix })).map(({ id }) => id);
        expect(listed.toSorted()).toEqual(ids.filter((id) => id.startsWith(prefix)).toSorted());
      }
    });
  });
});

describe("a session's messages, of which a row is lost", () => {
  it.each([
    ["the whole conversation", Infinity, undefined],
    ["a page that an older message would fill up", 5, undefined],
    ["an older page", 5, 8],
  ])("are not given as if it had never been: %s", async (_what, limit, before) => {
    const path = join(await newFolder(), "views");
    await withViews(async ({ store, views, project }) => {
      for (let n = 1; n <= 10; n++) await store.saveMessage("s", "user", `message ${n}`);
      await project();
      const ids = (await store.listMessages("s")).map(({ id }) => id);
      const database = new Database(path);
      database.prepare("DELETE FROM messages_1 WHERE id = ?").run(ids[6] ?? 0);
      database.close();
      const messages = views.rows(1).load("s")?.conversation.messages;
      const range = { limit, isOldestFirst: false, includeReplaced: false, after: undefined };
      expect(() => messages?.page({ ...range, before: before && ids[before] })).toThrow(DamagedView);
    }, path);
  });
});

describe("a row that is found in the place of another", () => {
  it.each([
    ["in another session", "session = (SELECT session FROM sessions_1 WHERE name = 's')"],
    ["under another id", "id = 1000"],
  ])("is not taken for it: %s", async (_what, change) => {
    const path = join(await newFolder(), "views");
    await withViews(async ({ store, views, project }) => {
      await store.saveMessage("s", "user", "one's own");
      await store.saveMessage("t", "user", "another's");
      await project();
      const database = new Database(path);
      database.exec("DELETE FROM messages_1 WHERE content = 'one''s own'");
      database.exec(`UPDATE messages_1 SET ${change}`);
      database.close();
      const sessions = ["s", "t"].map((name) => views.rows(1).load(name)?.conversation.messages);
      const range = { limit: 5, isOldestFirst: false, includeReplaced: false };
      for (const messages of sessions) expect(() => messages?.page(range)).toThrow(DamagedView);
    }, path);
  });
});

describe("a message that is found by an external id", () => {
  it("is not taken for another that has it, where the column is wrong", async () => {
    const path = join(await newFolder(), "views");
    await withViews(async ({ store, views, project }) => {
      await store.saveMessage("s", "user", "hello", { externalId: "a" });
      await project();
      const find = (externalId: string): unknown =>
        views.rows(1).load("s")?.conversation.messages.getByExternalId(externalId)?.content.toString();
      expect([find("a"), find("b")]).toEqual(["hello", undefined]);
      const database = new Database(path);
      database.exec(`UPDATE messages_1 SET external_id = '"b"'`);
      database.close();
      expect(() => find("b")).toThrow(DamagedView);
    }, path);
  });
});

describe("rows that are folded by runs", () => {
  it("have the checkpoint where all is folded, and are said to have seen the furthest event", async () => {
    await withViews(async ({ log, store, views }) => {
      for (const session of ["a", "b", "a", "b"]) await store.saveMessage(session, "user", "hi");
      const events = await gather(log.readAll());
      const ofSession = (name: string): RecordedEvent[] =>
        events.filter(({ stream }) => stream === `conversation-${name}`);
      const [a, b] = [ofSession("a"), ofSession("b")];
      const first = b[0]?.position ?? 0;
      const current = views.current();
      if (current === undefined) throw new Error("no generation");
      const options = { mostSessions: 10, mostUnits: 1_000, onDeadLetter: () => undefined };
      const writer = new ViewWriter(views, 1, current, options);
      const at = (event: RecordedEvent | undefined): unknown => ({
        position: event?.position,
        eventId: event?.id,
      });

      // All of "a", which goes on behind the beginning of "b".
      const ids = events.filter(({ stream }) => stream === "message-ids");
      writer.takeRuns({ runs: [ids, a], completeTo: first - 1 });
      writer.flush("all");
      const reached = events.findLast(({ position }) => position < first);
      expect(views.current()).toMatchObject({ checkpoint: at(reached), highest: at(a.at(-1)) });

      writer.takeRuns({ runs: [b], completeTo: events.at(-1)?.position ?? 0 });
      writer.flush("all");
      expect(views.current()).toMatchObject({ checkpoint: at(events.at(-1)), highest: at(events.at(-1)) });
    });
  });
});
