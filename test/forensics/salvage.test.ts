import { existsSync, readFileSync, readdirSync, writeFileSync } from "node:fs";
import { dirname, join } from "node:path";
import { describe, expect, it } from "@jest/globals";
import { autopsy } from "../../src/forensics/autopsy.ts";
import { salvage } from "../../src/forensics/salvage.ts";
import { verifyStore } from "../../src/forensics/verify.ts";
import { Database } from "../../src/log/sqlite/engine.ts";
import type { ConversationStore } from "../../src/store/conversation-store.ts";
import { openConversationStore } from "../../src/store/open-conversation-store.ts";
import { run, withFolder } from "../cli/cli-support.ts";
import { fillRichly } from "../support/rich-session.ts";
import { copyStore } from "./damaged-file-support.ts";
import { streamOf, told, withStoreAt, written } from "./transfer-support.ts";

/** What salvage makes of a damaged file. Damage at random places: corruption.test.ts. */

async function withFile(
  fill: (store: ConversationStore) => Promise<unknown>,
  use: (path: string, to: string) => Promise<void>,
): Promise<void> {
  await withFolder(async (folder) => {
    const path = join(folder, "store.db");
    const store = await openConversationStore(path, {
      durability: "process",
      flushIntervalMs: 0,
      views: false,
    });
    try {
      await fill(store);
    } finally {
      await store.close();
    }
    await use(path, join(folder, "new.db"));
  });
}

/** Damages the rows that the condition names, and leaves no older copy of them. */
function damageRows(path: string, where: string): void {
  const database = new Database(path);
  database.exec(`UPDATE packed SET crc = crc + 1 WHERE ${where}; PRAGMA wal_checkpoint(TRUNCATE); VACUUM`);
  database.exec("PRAGMA wal_checkpoint(TRUNCATE)");
  database.close();
}

/** The row in the middle of the answer's words. */
const MIDDLE = "first_revision <= 100 AND first_revision + count > 100";

const ofStream = (name: string): string => `stream_id = (SELECT id FROM streams WHERE name = '${name}')`;

/** A question, an answer of 200 words, a flush each, and what comes behind it. */
async function fillTurns(store: ConversationStore): Promise<void> {
  const turn = await store.beginTurn("s", { user: "one?" });
  for (let n = 0; n < 200; n++) {
    void turn.textDelta(`a${n} `);
    await turn.flush();
  }
  await turn.finish();
  const next = await store.beginTurn("s", { user: "two?" });
  void next.textDelta("whole");
  await next.finish();
  await store.updateSession("s", { title: "Behind it" });
  await store.saveMessage("other", "user", "untouched");
}

/** As many messages as are packed into rows that name their stream by its number. */
async function fillOne(store: ConversationStore): Promise<void> {
  for (let n = 0; n < 128; n++) await store.saveMessage("one", "user", `kept ${n}`);
}

describe("salvaging a file that is not damaged", () => {
  it("makes the same log, revisions included, and changes neither database nor WAL", () =>
    withFolder(async (folder) => {
      const [live, path, to] = ["live.db", "store.db", "new.db"].map((name) => join(folder, name)) as [
        ...[string, string, string],
      ];
      await withStoreAt(live, async (store) => {
        await fillRichly(store, "rich");
        await store.saveMessage("plain", "user", "lone \ud83d, NUL \0");
        copyStore(live, path);
      });
      const before = [readFileSync(path), readFileSync(`${path}-wal`)];
      expect(before[1]?.length).toBeGreaterThan(0);
      const report = await salvage(path, to);
      expect(report).toMatchObject({ isLossy: false, lostEvents: 0, setAside: 0, losses: [], damages: [] });
      expect([readFileSync(path), readFileSync(`${path}-wal`)]).toEqual(before);
      expect(await written(to)).toEqual(await written(path));
      expect(await told(to)).toEqual(await told(path));
      expect(await verifyStore(to)).toMatchObject({ findings: [], notes: [] });
    }));

  it("begins truncated streams at revision 0 and takes them for what they are", () =>
    withFile(
      async (store) => {
        await fillRichly(store, "rich");
        await store.purgeSession("rich");
        await store.saveMessage("rich", "user", "anew");
      },
      async (path, to) => {
        expect(await salvage(path, to)).toMatchObject({ isLossy: false, losses: [] });
        const [deleted, anew] = await streamOf(to, "conversation-rich");
        expect([deleted?.revision, deleted?.type, anew?.type]).toEqual([0, "SessionDeleted", "MessageSaved"]);
        expect((await verifyStore(to)).findings).toEqual([]);
      },
    ));
});

describe("a session with a hole", () => {
  it("is whole up to it; what began behind it is there, and what cannot be applied is set aside in its place", () =>
    withFile(fillTurns, async (path, to) => {
      const before = await streamOf(path, "conversation-s");
      damageRows(path, `${MIDDLE} AND ${ofStream("conversation-s")}`);
      const report = await salvage(path, to);
      const lost = report.losses[0]?.lost[0] ?? { from: 0, to: 0 };
      expect([lost.from <= 100, lost.to >= 100]).toEqual([true, true]);
      expect(report).toMatchObject({
        isLossy: true,
        lostEvents: lost.to - lost.from + 1,
        sessions: 2,
        lostPositions: null,
      });
      expect(report.losses).toEqual([
        {
          stream: "conversation-s",
          sessionId: "s",
          lost: [{ ...lost, afterPosition: expect.any(Number), beforePosition: expect.any(Number) }],
          setAside: report.setAside,
          wholeTo: lost.from - 1,
        },
      ]);
      expect(report.damages).toEqual([expect.objectContaining({ code: "damaged-row" })]);

      const after = await streamOf(to, "conversation-s");
      expect(after).toHaveLength(before.length);
      for (const [revision, event] of after.entries()) {
        const { id, type, data, metadata } = before[revision] ?? event;
        if (event.type === "EventLost") {
          expect([revision >= lost.from && revision <= lost.to, event.data]).toEqual([
            true,
            { reason: "damage", from: revision, to: revision },
          ]);
        } else if (event.type === "EventSetAside") expect(event.data).toEqual({ id, type, data, metadata });
        else expect(event).toMatchObject({ id, type, data, metadata });
      }
      await withStoreAt(to, async (store) => {
        const messages = await store.listMessages("s");
        expect(messages.map(({ role, status }) => `${role} ${status}`)).toEqual([
          "user saved",
          "assistant superseded",
          "user saved",
          "assistant finished",
        ]);
        expect(messages[1]?.parts).toEqual([{ kind: "text", text: expect.stringMatching(/^a0 a1 .* $/) }]);
        expect(messages[3]?.parts).toEqual([{ kind: "text", text: "whole" }]);
        expect(await store.listSessions()).toContainEqual(expect.objectContaining({ title: "Behind it" }));
        // It goes on: a new answer, and a message found by its id.
        const id = await store.appendAssistantStub("s");
        await store.updateBranches(id, "on");
      });
      const verified = await verifyStore(to);
      expect(verified.findings).toEqual([]);
      expect(verified.notes.map(({ code }) => code)).toEqual([
        "lost-before-salvage",
        "set-aside-by-salvage",
        "purged-events",
      ]);
    }));

  it("has a turn that looks crashed, and autopsy says why it may not be", () =>
    withFile(fillTurns, async (path, to) => {
      damageRows(path, `${MIDDLE} AND ${ofStream("conversation-s")}`);
      await salvage(path, to);
      await withStoreAt(to, async (store) => {
        const { turns, damage } = await autopsy(store);
        expect(turns).toHaveLength(1);
        expect(damage).toEqual([
          { sessionId: "s", message: expect.stringMatching(/lost before this log was salvaged/) },
        ]);
      });
      const show = await run(["show", "s", "--at", "40", "--store", to]);
      expect(show).toMatchObject({ code: 0, stderr: "" });
    }));

  it("begins anew where it was deleted behind the hole", () =>
    withFile(
      async (store) => {
        await fillTurns(store);
        await store.deleteSession("s");
        await store.saveMessage("s", "user", "anew");
      },
      async (path, to) => {
        damageRows(path, `${MIDDLE} AND ${ofStream("conversation-s")}`);
        await salvage(path, to);
        await withStoreAt(to, async (store) => {
          expect((await store.listMessages("s")).map(({ content }) => content)).toEqual(["anew"]);
          await store.replaceMessages("s", [{ role: "user", content: "replaced" }]);
          expect((await store.listMessages("s")).map(({ content }) => content)).toEqual(["replaced"]);
        });
      },
    ));

  it("may have lost its beginning, its end, or all of it", () =>
    withFile(
      async (store) => {
        for (const session of ["beginning", "end", "all"])
          for (let n = 0; n < 128; n++) await store.saveMessage(session, "user", `${session} ${n}`);
      },
      async (path, to) => {
        damageRows(
          path,
          `first_revision = 0 AND ${ofStream("conversation-beginning")} OR
           first_revision > 0 AND ${ofStream("conversation-end")} OR ${ofStream("conversation-all")}`,
        );
        const { losses } = await salvage(path, to);
        const bySession = new Map(losses.map((loss) => [loss.sessionId, loss]));
        expect(bySession.get("beginning")).toMatchObject({ wholeTo: null, lost: [{ from: 0 }] });
        expect(bySession.get("end")).toMatchObject({ lost: [{ to: 127, beforePosition: null }] });
        expect(bySession.get("all")).toMatchObject({ wholeTo: null, lost: [{ from: 0, to: 127 }] });
        await withStoreAt(to, async (store) => {
          const texts = async (session: string): Promise<string[]> =>
            (await store.listMessages(session, { limit: 1000 })).map(({ content }) => content);
          expect((await texts("beginning")).at(-1)).toBe("beginning 127");
          expect((await texts("end"))[0]).toBe("end 0");
          expect(await texts("all")).toEqual([]);
          await store.saveMessage("all", "user", "again");
          expect(await texts("all")).toEqual(["again"]);
        });
        expect((await verifyStore(to)).findings).toEqual([]);
      },
    ));

  it("keeps its events where its name is damaged into one that no stream can have, in table and index", () =>
    withFile(fillOne, async (path, to) => {
      damageRows(path, "FALSE"); // Packed into pages that are the only copies.
      const bytes = readFileSync(path);
      const name = "conversation-one";
      let places = 0;
      for (let at = bytes.indexOf(name); at >= 0; at = bytes.indexOf(name, at + 1), places++)
        bytes.fill(0, at + "conversatio".length, at + name.length);
      expect(places).toBe(2);
      writeFileSync(path, bytes);
      await salvage(path, to);
      await withStoreAt(to, async (store) => {
        const texts = (await store.listMessages("one", { limit: 1000 })).map(({ content }) => content);
        expect(texts).toEqual(Array.from({ length: 128 }, (_, n) => `kept ${n}`));
      });
      expect((await verifyStore(to)).findings).toEqual([]);
    }));

  it("makes no second session of a name that is damaged in the table and whole in the index", () =>
    withFile(fillOne, async (path, to) => {
      damageRows(path, "FALSE");
      const database = new Database(path);
      const page = database.number("SELECT rootpage FROM sqlite_schema WHERE name = 'streams'") - 1;
      database.close();
      const bytes = readFileSync(path);
      const at = bytes.indexOf("conversation-one", page * 4096);
      expect(Math.floor(at / 4096)).toBe(page);
      bytes.write("two", at + "conversation-".length);
      writeFileSync(path, bytes);
      expect(await salvage(path, to)).toMatchObject({ losses: [], lostEvents: 0, sessions: 1 });
      await withStoreAt(to, async (store) => {
        expect((await store.listSessions()).map(({ id }) => id)).toEqual(["one"]);
        expect(await store.countMessages("one")).toBe(128);
      });
    }));

  it("keeps its messages' ids where their reservation is lost", () =>
    withFile(
      async (store) => {
        for (let n = 0; n < 64; n++) await store.saveMessage(`s${n}`, "user", "hi");
      },
      async (path, to) => {
        const before = await streamOf(path, "message-ids");
        damageRows(path, ofStream("message-ids"));
        expect(await salvage(path, to)).toMatchObject({ restoredBlocks: 64, lostEvents: 0 });
        const after = await streamOf(to, "message-ids");
        expect(after.map(({ type, data }) => [type, data])).toEqual(
          before.map(({ type, data }) => [type, data]),
        );
        await withStoreAt(to, async (store) => {
          const [message] = await store.listMessages("s40");
          await store.updateBranches(message?.id ?? 0, "found by its id");
          expect((await store.listMessages("s40"))[0]?.content).toBe("found by its id");
        });
      },
    ));
});

const REPORT_KEYS =
  "damagedBytes damages events file isLossy logId losses lostEvents lostPositions restoredBlocks sessions setAside to verified".split(
    " ",
  );

describe("turnlog salvage", () => {
  it("says what is lost, verdict first, and exits 1; a document with --json; 0 where nothing is lost", () =>
    withFile(fillTurns, async (path, to) => {
      expect(await run(["salvage", path, "--to", to])).toMatchObject({
        code: 0,
        stderr: "",
        stdout: expect.stringMatching(/^nothing is lost: \d+ events of 2 sessions are in .*new\.db\n/),
      });
      damageRows(path, `${MIDDLE} AND ${ofStream("conversation-s")}`);
      const { code, stdout } = await run(["salvage", path, "--to", `${to}.2`]);
      expect(code).toBe(1);
      expect(stdout).toMatch(
        /^\d+ events lost: .*; damage in 4,096 bytes of the file's pages\n1 session damaged/,
      );
      expect(stdout).toMatch(
        /\n {2}session "s": lost revisions \d+ to \d+; whole up to revision \d+; \d+ events behind it set aside\n/,
      );
      expect(stdout.trimEnd().split("\n").at(-1)).toBe(`  turnlog autopsy --store ${to}.2`);
      const json = await run(["salvage", path, "--to", `${to}.3`, "--json"]);
      expect(json.code).toBe(1);
      expect(Object.keys(JSON.parse(json.stdout) as object).toSorted()).toEqual(REPORT_KEYS);
      expect(await run(["salvage", path, "--to", `${to}.4`, "--quiet"])).toMatchObject({ code: 1 });
    }));

  it("refuses what is there, what is no file, and what holds nothing, and leaves nothing behind", () =>
    withFile(fillTurns, async (path, to) => {
      const text = join(dirname(path), "text.db");
      writeFileSync(text, "not a database".repeat(1000));
      const files = readdirSync(dirname(path)).toSorted();
      for (const [args, code, stderr] of [
        [[path, "--to", path], 2, /is there already; it was not touched/],
        [[path, "--to", text], 2, /is there already; it was not touched/],
        [[`${path}.none`, "--to", to], 3, /There is no store/],
        [[text, "--to", to], 1, /Nothing in .* can be told to be a log's/],
        [["memory:", "--to", to], 2, /Salvage reads and writes files/],
        [[path, "--to", "esdb://localhost:2113"], 2, /Salvage reads and writes files/],
        [[path], 2, /required option/],
      ] as const) {
        expect(await run(["salvage", ...args])).toEqual({
          code,
          stdout: "",
          stderr: expect.stringMatching(stderr),
        });
      }
      const isOwn = (name: string): boolean => !name.endsWith("-wal") && !name.endsWith("-shm");
      expect(readdirSync(dirname(path)).filter(isOwn).toSorted()).toEqual(files.filter(isOwn));
    }));

  it("leaves nothing of the new log where it is interrupted, and takes the place of one that was killed", () =>
    withFile(fillTurns, async (path, to) => {
      const signal = AbortSignal.abort(new Error("stopped"));
      await expect(salvage(path, to, { signal })).rejects.toMatchObject({ code: "transfer-interrupted" });
      expect([existsSync(to), existsSync(`${to}.partial`)]).toEqual([false, false]);
      writeFileSync(`${to}.partial`, "half of it");
      expect(await salvage(path, to)).toMatchObject({ isLossy: false });
      expect(existsSync(`${to}.partial`)).toBe(false);
    }));

  it("does not read past SQLite what this process has open", () =>
    withFolder(async (folder) => {
      const path = join(folder, "store.db");
      await withStoreAt(path, async (store) => {
        await store.saveMessage("s", "user", "hi");
        await expect(salvage(path, join(folder, "new.db"))).rejects.toMatchObject({ code: "log-open" });
      });
    }));
});
