import { createHash } from "node:crypto";
import { readFile } from "node:fs/promises";
import { join } from "node:path";
import { crc32 } from "node:zlib";
import { describe, expect, it } from "@jest/globals";
import { contentChecksum } from "../../src/events/content-checksum.ts";
import { checkSource } from "../../src/forensics/verify-check.ts";
import { type FindingCode, Findings, type VerifyReport } from "../../src/forensics/verify-report.ts";
import { LogSource } from "../../src/forensics/verify-source.ts";
import { verifyStore } from "../../src/forensics/verify.ts";
import type { JsonObject, JsonValue, RecordedEvent } from "../../src/log/event-log.ts";
import { MemoryEventLog } from "../../src/log/memory-event-log.ts";
import { Database } from "../../src/log/sqlite/engine.ts";
import type { ConversationStore } from "../../src/store/conversation-store.ts";
import { openConversationStore } from "../../src/store/open-conversation-store.ts";
import { withFolder } from "../cli/cli-support.ts";
import { fillRichly } from "../support/rich-session.ts";

const TIME = 1_760_000_000_000;

/** A log in memory that is written event by event, as no store would. */
class HandWritten {
  readonly log: MemoryEventLog;
  #ids = 0;
  readonly #counters = new Map<string, number>();

  constructor(log = new MemoryEventLog({})) {
    this.log = log;
  }

  async write(stream: string, type: string, data: JsonValue, more: JsonObject = {}): Promise<void> {
    const { id, writer = "w", ...metadata } = more;
    const n = this.#counters.get(String(writer)) ?? 0;
    this.#counters.set(String(writer), n + 1);
    const event = {
      id:
        typeof id === "string"
          ? id
          : `00000000-0000-8000-8000-${(this.#ids++).toString(16).padStart(12, "0")}`,
      type,
      data,
      metadata: { v: 1, writer, n, time: TIME, ...metadata },
    };
    const result = await this.log.append(stream, [event], "any");
    expect(result.ok).toBe(true);
  }

  /** A writer, a session with a question and an answer that is being written. */
  async begin(): Promise<void> {
    const writer = { host: "h", pid: 1, heartbeatMs: 10_000, library: "test" };
    await this.write("writer-w", "WriterStarted", writer);
    await this.write("message-ids", "MessageIdsReserved", { sessionId: "s" });
    await this.say(1, "Hello?");
    await this.write("conversation-s", "AssistantStubAppended", { messageId: 2, content: "[]" });
    await this.write("conversation-s", "TurnStarted", { turnId: "t", messageId: 2, kind: "new" });
  }

  say(messageId: number, content: string, more: JsonObject = {}): Promise<void> {
    const data = { messageId, role: "user", format: "text", content, ...more };
    return this.write("conversation-s", "MessageSaved", data);
  }

  update(content: JsonValue, length: number, cause = "delta"): Promise<void> {
    return this.write("conversation-s", "BranchesUpdated", { messageId: 2, content, length }, { cause });
  }

  end(content: string): Promise<void> {
    const data = { turnId: "t", messageId: 2, outcome: "finished", content: contentChecksum(content) };
    return this.write("conversation-s", "TurnEnded", data);
  }

  async verify(): Promise<VerifyReport> {
    const options = { views: undefined, findings: new Findings(), canSearchFile: false };
    return checkSource(await LogSource.of(this.log), options);
  }
}

const ANSWER = '[{"kind":"text","text":"Hi."}]';
const CALL = '[{"kind":"tool","tool_id":"c1","name":"f","input":"","state":"input-available"}]';

/** What may be wrong with a log whose rows are all sound, and the only findings that it gives. */
const WRONG: readonly [what: string, codes: FindingCode[], write: (log: HandWritten) => Promise<void>][] = [
  ["a splice that reaches beyond its text", ["unfoldable-event"], (log) => log.update([[7, 0, "x"]], 8)],
  [
    "a content of another length than it says",
    ["unfoldable-event"],
    (log) => log.update([[0, 2, ANSWER]], 3),
  ],
  [
    "a turn that ended with another content",
    ["content-checksum"],
    async (log) => {
      await log.update([[0, 2, ANSWER]], ANSWER.length);
      await log.end(ANSWER.replace("Hi", "Ho"));
    },
  ],
  [
    "the end of a turn that is not open",
    ["unfoldable-event"],
    async (log) => (await log.end("[]"), log.end("[]")),
  ],
  ["a message in no block", ["message-id-outside-block"], (log) => log.say(600, "Here.")],
  [
    "a message in another session's block",
    ["message-id-outside-block"],
    async (log) => {
      await log.write("message-ids", "MessageIdsReserved", { sessionId: "other" });
      await log.write("conversation-other", "SessionUpdated", { title: "Other" });
      await log.say(256, "Here.");
    },
  ],
  [
    "an id that is used again after a deletion",
    ["repeated-message-id"],
    async (log) => {
      await log.write("conversation-s", "SessionDeleted", {});
      await log.say(1, "Again.");
    },
  ],
  [
    "the result of a call that nobody made",
    ["result-without-call"],
    async (log) => log.update([[0, 2, CALL]], CALL.length, "tool-result"),
  ],
  [
    "a tool's message that answers nothing",
    ["result-without-call"],
    (log) => log.say(3, CALL, { role: "tool", format: "parts" }),
  ],
  [
    "data that are not what their type says",
    ["invalid-event"],
    (log) => log.write("conversation-s", "MessageSaved", { messageId: "3" }),
  ],
  [
    "metadata without a time",
    ["invalid-event"],
    (log) => log.write("conversation-s", "SessionUpdated", {}, { time: "?" }),
  ],
  ["a type of the future", ["unknown-event"], (log) => log.write("conversation-s", "FromTheFuture", {})],
  [
    "a version of the future",
    ["unknown-event"],
    (log) => log.write("conversation-s", "SessionUpdated", {}, { v: 99 }),
  ],
  [
    "an event in the wrong stream",
    ["misplaced-event"],
    (log) => log.write("message-ids", "SessionDeleted", {}),
  ],
  [
    "an id that two events have",
    ["repeated-event-id"],
    (log) =>
      log.write("conversation-s", "SessionUpdated", {}, { id: "00000000-0000-8000-8000-000000000001" }),
  ],
  [
    "a count that two events have",
    ["repeated-counter"],
    (log) => log.write("conversation-s", "SessionUpdated", {}, { n: 1 }),
  ],
  [
    "a count that no event has",
    ["missing-counters"],
    (log) => log.write("conversation-s", "SessionUpdated", {}, { n: 9 }),
  ],
  [
    "a session without its beginning",
    ["missing-events", "missing-counters"],
    async (log) => {
      await log.say(3, "More.");
      await log.log.truncate("conversation-s", 2);
    },
  ],
];

describe("what verify finds in a log whose rows are sound", () => {
  it("finds nothing in a conversation as it should be", async () => {
    const log = new HandWritten();
    await log.begin();
    await log.update([[0, 2, CALL]], CALL.length, "tool-call");
    await log.update([[CALL.length - 1, 0, ""]], CALL.length, "tool-result");
    await log.end(CALL);
    await log.say(3, CALL, { role: "tool", format: "parts" });
    const report = await log.verify();
    expect(report).toMatchObject({ findings: [], notes: [], lostEvents: 0, damagedSessions: [] });
    expect(report).toMatchObject({ readFrom: "log", events: 9, streams: 3, sessions: 1, head: 8 });
  });

  it.each(WRONG)("finds %s", async (_, codes, write) => {
    const log = new HandWritten();
    await log.begin();
    await write(log);
    const { findings, counts } = await log.verify();
    expect(findings.map(({ code }) => code)).toEqual(codes);
    expect(Object.keys(counts).toSorted()).toEqual([...new Set(codes)].toSorted());
    const [first] = findings;
    if (codes[0] === "missing-counters") return; // A whole writer's: of no one place.
    expect(first?.stream).toMatch(/^conversation-s$|^message-ids$/);
    expect(first?.revision).toEqual(expect.any(Number));
  });

  it("goes on behind damage, with what it can still tell, and folds again behind a deletion", async () => {
    const log = new HandWritten();
    await log.begin();
    await log.update([[7, 0, "x"]], 8);
    await log.update([[9, 0, "y"]], 9); // Nothing is known of what this one is to change: not counted again.
    await log.say(700, "In no block.");
    await log.write("conversation-s", "SessionDeleted", {});
    await log.say(4, "Anew.");
    await log.end("[]");
    expect((await log.verify()).counts).toEqual({ "unfoldable-event": 2, "message-id-outside-block": 1 });
  });

  it("takes truncated streams, purges and copies for what they are", async () => {
    const log = new HandWritten();
    await log.begin();
    await log.write("conversation-s", "SessionDeleted", {});
    await log.log.truncate("conversation-s", 3);
    const purged = await log.verify();
    expect(purged.findings).toEqual([]);
    expect(purged.notes.map(({ code }) => code)).toEqual(["purged-events"]);

    await log.write("message-ids", "MessageIdsReserved", { sessionId: "left behind" });
    await log.write("conversation-s", "SessionUpdated", { title: "Copied" }, { n: 40 });
    const copied = await log.verify();
    expect(copied.findings).toEqual([]);
    expect(copied.notes.map(({ code }) => code)).toEqual(["partial-copy"]);
  });
});

/** A log that gives some of its events as others than they were written. */
class Misreading extends MemoryEventLog {
  ofAll = (event: RecordedEvent): RecordedEvent | undefined => event;
  ofStream = (event: RecordedEvent): RecordedEvent | undefined => event;

  override async *readAll(): AsyncGenerator<RecordedEvent> {
    for await (const event of super.readAll()) {
      const read = this.ofAll(event);
      if (read !== undefined) yield read;
    }
  }

  override async *readStream(stream: string): AsyncGenerator<RecordedEvent> {
    for await (const event of super.readStream(stream)) {
      const read = this.ofStream(event);
      if (read !== undefined) yield read;
    }
  }
}

type Misread = (event: RecordedEvent) => RecordedEvent | undefined;

/** What is wrong with the order of a log, which no engine of ours would write. */
const MISREAD: readonly [
  what: string,
  code: FindingCode,
  misread: { ofAll?: Misread; ofStream?: Misread },
][] = [
  [
    "positions that do not rise in the order of the whole log",
    "position-not-rising",
    { ofAll: (event) => (event.position === 3 ? { ...event, position: 1 } : event) },
  ],
  [
    "positions that do not rise in a stream",
    "position-not-rising",
    { ofStream: (event) => (event.position === 4 ? { ...event, position: 2 } : event) },
  ],
  [
    "a position that two events have",
    "repeated-position",
    { ofStream: (event) => (event.position === 4 ? { ...event, position: 1 } : event) },
  ],
  [
    "a position beyond the log's end",
    "position-above-head",
    { ofStream: (event) => (event.position === 4 ? { ...event, position: 99 } : event) },
  ],
  [
    "revisions out of their order",
    "misplaced-event",
    { ofStream: (event) => (event.position === 4 ? { ...event, revision: 0 } : event) },
  ],
  [
    "an event that only the order of the whole log has",
    "reads-disagree",
    { ofStream: (event) => (event.position === 4 ? undefined : event) },
  ],
  [
    "an event that only its stream has",
    "reads-disagree",
    { ofAll: (event) => (event.position === 4 ? undefined : event) },
  ],
];

describe("what verify finds in a log that is read in another order", () => {
  it.each(MISREAD)("finds %s", async (_, code, misread) => {
    const log = new Misreading({});
    await new HandWritten(log).begin();
    Object.assign(log, misread);
    const { findings } = await new HandWritten(log).verify();
    expect(findings.map((each) => each.code)).toContain(code);
  });
});

async function withFilledFile(use: (path: string, store: ConversationStore) => Promise<void>): Promise<void> {
  await withFolder(async (folder) => {
    const path = join(folder, "store.db");
    const store = await openConversationStore(path, { durability: "process", flushIntervalMs: 0 });
    try {
      await fillRichly(store, "rich");
      await store.saveMessage("plain", "user", "hi");
      await use(path, store);
    } finally {
      await store.close();
    }
  });
}

const sha = async (path: string): Promise<string> =>
  createHash("sha256")
    .update(await readFile(path))
    .digest("hex");

/** Changes a stored value through SQLite, as a hand would that knows it. */
function change(path: string, sql: string, { checkpoint = true } = {}): void {
  const database = new Database(path);
  database.exec(sql);
  if (checkpoint) database.exec("PRAGMA wal_checkpoint(TRUNCATE)");
  database.close();
}

async function withClosedFile(use: (path: string) => Promise<void>): Promise<void> {
  let path = "";
  await withFolder(async (folder) => {
    path = join(folder, "store.db");
    const store = await openConversationStore(path, { durability: "process", flushIntervalMs: 0 });
    await fillRichly(store, "rich");
    for (let index = 0; index < 200; index++) await store.saveMessage("long", "user", `message ${index}`);
    await store.saveMessage("plain", "user", "hi");
    await store.listSessions();
    await store.close();
    await use(path);
  });
}

describe("verifying a file", () => {
  it("finds nothing in a rich one, while it is being written, and changes neither database nor WAL", () =>
    withFilledFile(async (path, store) => {
      const before = [await sha(path), await sha(`${path}-wal`)];
      const report = await verifyStore(path);
      expect(report).toMatchObject({ findings: [], notes: [], sessions: 2, readFrom: "log" });
      expect(report.head).toBe(await store.log.head());
      expect([await sha(path), await sha(`${path}-wal`)]).toEqual(before);
    }));

  it("compares the views with the fold", () =>
    withClosedFile(async (path) => {
      const { rebuildViews } = await import("../../src/projections/rebuild.ts");
      await rebuildViews(path);
      expect((await verifyStore(path)).views).toMatchObject({ state: "equal", sessions: 3 });
      expect((await verifyStore(path, { views: false })).views).toMatchObject({ state: "none" });
      const views = new Database(`${path}.views`);
      const table = String(
        views.prepare("SELECT name FROM sqlite_master WHERE name LIKE 'messages_%'").get()?.[0],
      );
      views.exec(`UPDATE ${table} SET content = 'invented' WHERE id = (SELECT min(id) FROM ${table})`);
      views.exec(`DELETE FROM ${table.replace("messages", "sessions")} WHERE name = 'plain'`);
      views.close();
      const report = await verifyStore(path);
      expect(report.views.state).toBe("different");
      expect(report.counts).toEqual({ "views-differ": 2 });
      expect(report.damagedSessions).toEqual([]); // The log is whole.
    }));

  it("reads on past a damaged row and tells what is lost", () =>
    withClosedFile(async (path) => {
      const whole = await verifyStore(path);
      change(path, "UPDATE packed SET crc = crc + 1 WHERE first_revision = 64 AND count >= 64");
      const report = await verifyStore(path);
      expect(report.readFrom).toBe("file");
      expect(report.findings[0]).toMatchObject({ code: "damaged-row", stream: "conversation-long" });
      expect(report.findings).toContainEqual(
        expect.objectContaining({
          code: "missing-events",
          sessionId: "long",
          revision: 64,
          lastRevision: 127,
        }),
      );
      expect(report.damagedSessions).toEqual(["long"]);
      expect(report).toMatchObject({ events: whole.events - 64, lostEvents: 64, sessions: 3 });
    }));

  it("finds JSON that is none behind a checksum that is right", () =>
    withClosedFile(async (path) => {
      const database = new Database(path);
      const where = "WHERE first_revision = 64 AND count >= 64";
      const columns = "first_revision, first_position, last_position, count";
      const place = database.prepare(`SELECT ${columns} FROM packed ${where}`).get()?.join(" ") ?? "";
      const payload = Buffer.from('[{"nobody":"closes it"');
      // As docs/decisions and the row's own code have it: over the place, the encoding, the stream, then the payload.
      const crc = crc32(payload, crc32(`packed ${place} 1 conversation-long`));
      database
        .prepare(`UPDATE packed SET encoding = 1, payload = ?, crc = ? ${where}`)
        .run(Uint8Array.from(payload), crc);
      database.exec("PRAGMA wal_checkpoint(TRUNCATE)");
      database.close();
      const report = await verifyStore(path);
      expect(report.findings[0]).toMatchObject({ code: "damaged-row", stream: "conversation-long" });
      expect(report.findings[0]?.message).toMatch(/JSON/);
      expect(report).toMatchObject({ lostEvents: 64, damagedSessions: ["long"] });
    }));

  it("finds again in an older copy of the page what a damaged row has lost", () =>
    withClosedFile(async (path) => {
      const damage = "UPDATE packed SET crc = crc + 1 WHERE first_revision = 64 AND count >= 64";
      change(path, damage, { checkpoint: false });
      expect(await verifyStore(path)).toMatchObject({ counts: { "damaged-row": 1 }, lostEvents: 0 });
    }));

  it("notices that the file hides events", () =>
    withClosedFile(async (path) => {
      change(path, "UPDATE streams SET head_revision = head_revision - 70 WHERE name = 'conversation-long'");
      const report = await verifyStore(path);
      expect(report.counts).toEqual({ "damaged-file": 1 });
      expect(report.findings[0]?.message).toMatch(/"conversation-long".* to 121, and rows hold 0 to 191/);
      expect(report).toMatchObject({ lostEvents: 0, damagedSessions: ["long"] });
    }));

  it("says where it could not look", () =>
    withFolder(async (folder) => {
      await expect(verifyStore(join(folder, "none.db"))).rejects.toMatchObject({ code: "store-not-found" });
      const text = join(folder, "text.db");
      const { writeFile } = await import("node:fs/promises");
      await writeFile(text, "not a database".repeat(1000));
      await expect(verifyStore(text)).rejects.toMatchObject({ code: "not-a-turnlog-file" });
    }));
});
