import { execFileSync } from "node:child_process";
import { createHash } from "node:crypto";
import { chmod, copyFile, open, readFile, readdir, rm, stat, truncate, writeFile } from "node:fs/promises";
import { join } from "node:path";
import { describe, expect, it } from "@jest/globals";
import { errorCode } from "../../src/errors.ts";
import { Database } from "../../src/log/sqlite/engine.ts";
import { openViews } from "../../src/projections/open-views.ts";
import { rebuildViews } from "../../src/projections/rebuild.ts";
import { openConversationStore } from "../../src/store/open-conversation-store.ts";
import { tempFolders } from "../log/sqlite/temp-folder.ts";
import { expectRebuilt, makeHistory, project, withLog, withViews } from "./support/histories.ts";
import { allEvents } from "./support/views-world.ts";

const newFolder = tempFolders();
const ROUNDS = process.env["TURNLOG_TEST_LONG"] === undefined ? 12 : 200;

/** Opens the views as a store does, and returns the warnings that it gives. */
async function openingWarnings(path: string): Promise<string[]> {
  const warnings: string[] = [];
  await withLog(path, async (log) => {
    const views = await openViews(log, {
      path: `${path}.views`,
      onWarning: (message) => warnings.push(message),
    });
    views.close();
  });
  return warnings;
}

/** Only for files that nobody has open. */
const digest = async (path: string): Promise<string> =>
  createHash("sha256")
    .update(await readFile(path))
    .digest("hex");

/** A log with views up to its head, closed. */
async function newProjectedLog(): Promise<string> {
  const path = join(await newFolder(), "log.db");
  await makeHistory(path, 31, 60);
  await project(path);
  return path;
}

/** What the log alone says, and what the store says by its views. */
async function readAll(path: string, views: false | undefined): Promise<unknown> {
  const store = await openConversationStore(path, { readOnly: true, views });
  try {
    const sessions = await store.listSessions({ limit: Infinity });
    return await Promise.all(
      sessions.map(async (session) => [session, await store.listMessages(session.id, { limit: Infinity })]),
    );
  } finally {
    await store.close();
  }
}

/** A store that opens, reads all and closes; it writes nothing to the log. */
async function openAndRead(path: string): Promise<unknown> {
  const store = await openConversationStore(path, { projector: false });
  try {
    const sessions = await store.listSessions({ limit: Infinity });
    return await Promise.all(
      sessions.map(async (session) => [session, await store.listMessages(session.id, { limit: Infinity })]),
    );
  } finally {
    await store.close();
  }
}

/** A small generator, so that a failure can be repeated (xorshift32). */
function numbers(seed: number): (below: number) => number {
  let state = seed * 2_654_435_761 + 1;
  return (below) => {
    state ^= state << 13;
    state ^= state >>> 17;
    state ^= state << 5;
    return (state >>> 0) % below;
  };
}

async function overwrite(path: string, at: number, bytes: Uint8Array): Promise<void> {
  const file = await open(path, "r+");
  await file.write(bytes, 0, bytes.length, at);
  await file.close();
}

describe("a views file that is damaged", () => {
  const damages: [string, (path: string, random: (below: number) => number) => Promise<void>][] = [
    ["cut off at a random place", async (path, random) => truncate(path, random((await stat(path)).size))],
    [
      "overwritten with noise from end to end",
      async (path, random) => {
        const { size } = await stat(path);
        await writeFile(
          path,
          Uint8Array.from({ length: size }, () => random(256)),
        );
      },
    ],
    [
      "overwritten with noise in a random stretch",
      async (path, random) => {
        const { size } = await stat(path);
        const noise = Uint8Array.from({ length: 1 + random(6000) }, () => random(256));
        await overwrite(path, random(Math.max(1, size - noise.length)), noise);
      },
    ],
    [
      "wrong in a single byte",
      async (path, random) => {
        const bytes = await readFile(path);
        const at = random(bytes.length);
        await overwrite(path, at, Uint8Array.of((bytes[at] ?? 0) ^ (1 << random(8))));
      },
    ],
    [
      "wrong in the description of its tables",
      async (path) => {
        const bytes = await readFile(path);
        await overwrite(path, bytes.indexOf("facts TEXT NOT NULL"), Buffer.from("facks"));
      },
    ],
    [
      "wrong in what a message is found by",
      async (path, random) => {
        const database = new Database(path);
        const column = ["id = -id", "external_id = 'x'", "session = 1000", "place = place + 1000"][random(4)];
        const wrong = `UPDATE messages_1 SET ${column} WHERE id = (SELECT id FROM messages_1 LIMIT 1 OFFSET ?)`;
        database.prepare(wrong).run(random(database.number("SELECT count(*) FROM messages_1")));
        database.exec("PRAGMA wal_checkpoint(TRUNCATE)");
        database.close();
      },
    ],
  ];

  it.each(damages)(
    "and is %s gives no wrong answer, and is made anew; the log stays as it is",
    async (_what, damage) => {
      const path = await newProjectedLog();
      const expected = await readAll(path, false);
      const log = await digest(path);
      await copyFile(`${path}.views`, `${path}.sound`);
      for (let round = 0; round < ROUNDS; round++) {
        for (const file of await readdir(join(path, "..")))
          // The driver closes a connection's last files when its statements are collected: they may go by themselves.
          if (file.startsWith("log.db.views")) await rm(join(path, "..", file), { force: true });
        await copyFile(`${path}.sound`, `${path}.views`);
        await damage(`${path}.views`, numbers(round + 1));
        expect(await readAll(path, undefined)).toEqual(expected);
        // A byte in the header may make it another application's file, or a newer one: refused, not touched.
        const answer = await openAndRead(path).catch((error: unknown) => errorCode(error) ?? error);
        if (answer !== "not-a-views-file" && answer !== "newer-views") {
          expect(answer).toEqual(expected);
          await rebuildViews(path, { verify: false, onWarning: () => undefined });
          await expectRebuilt(path);
        }
        expect(await digest(path)).toBe(log);
      }
    },
  );

  it("is set aside with a warning that says where", async () => {
    const path = await newProjectedLog();
    await writeFile(`${path}.views`, "no database at all, and long enough to be looked at".repeat(50));
    const warnings = await openingWarnings(path);
    const aside = (await readdir(join(path, ".."))).find((file) => file.includes(".damaged-"));
    expect(aside).toBeDefined();
    expect(warnings).toEqual([expect.stringContaining(String(aside))]);
  });
});

describe("a views file that several find damaged at once", () => {
  it("is set aside once, and they go on with one and the same new file", async () => {
    const path = await newProjectedLog();
    await writeFile(`${path}.views`, "no database at all, and long enough to be looked at".repeat(50));
    await withLog(path, async (log) => {
      const warnings: string[] = [];
      const open = (): ReturnType<typeof openViews> =>
        openViews(log, { path: `${path}.views`, onWarning: (message) => warnings.push(message) });
      const all = await Promise.all([open(), open(), open(), open()]);
      expect(warnings).toHaveLength(1);
      const asides = (await readdir(join(path, ".."))).filter((file) => /\.damaged-[^.]*$/.test(file));
      expect(asides.filter((file) => !/-(wal|shm)$/.test(file))).toHaveLength(1);
      all[0]?.setHolder("rebuild", { pid: 1, since: 2 });
      for (const views of all) expect(views.holder("rebuild")).toEqual({ pid: 1, since: 2 });
      for (const views of all) views.close();
    });
  });
});

describe("views that do not fit the log", () => {
  const rebuiltBecause = async (path: string, reason: RegExp): Promise<void> => {
    const expected = await readAll(path, false);
    expect(await readAll(path, undefined)).toEqual(expected);
    expect(await openingWarnings(path)).toEqual([expect.stringMatching(reason)]);
    expect(await openAndRead(path)).toEqual(expected);
    await project(path);
    await expectRebuilt(path);
  };

  it("because they are of another log are made anew", async () => {
    const [path, other] = [await newProjectedLog(), await newProjectedLog()];
    await copyFile(`${other}.views`, `${path}.views`);
    await rebuiltBecause(path, /made anew: they belong to another log/);
  });

  it("because the log has lost its newest events are made anew", async () => {
    const path = join(await newFolder(), "log.db");
    await makeHistory(path, 31, 30);
    await copyFile(path, `${path}.older`);
    await makeHistory(path, 32, 30);
    await project(path);
    await copyFile(`${path}.older`, path);
    await rebuiltBecause(path, /made anew: the log lacks events that they hold/);
  });

  it("because the log has lost events that only rows beyond the checkpoint had seen are made anew", async () => {
    const path = join(await newFolder(), "log.db");
    await makeHistory(path, 31, 30);
    await copyFile(path, `${path}.older`);
    const older = await withLog(path, allEvents);
    await makeHistory(path, 32, 30);
    await project(path);
    // As a projector leaves it that has written other sessions, and not yet one that streams.
    await withViews(path, (views) => {
      const { position, id } = older.at(-1) ?? { position: -1, id: "" };
      views.database.prepare("UPDATE generations SET checkpoint = ?, checkpoint_event = ?").run(position, id);
    });
    await copyFile(`${path}.older`, path);
    await rebuiltBecause(path, /made anew: the log lacks events that they hold/);
  });

  it("because the log has lost its newest events and others have come since are made anew", async () => {
    const path = join(await newFolder(), "log.db");
    await makeHistory(path, 31, 30);
    await copyFile(path, `${path}.older`);
    await makeHistory(path, 32, 30);
    await project(path);
    await copyFile(`${path}.older`, path);
    await makeHistory(path, 33, 90);
    await rebuiltBecause(path, /made anew: the log lacks events that they hold/);
  });

  it("because another version of the fold made them are made anew", async () => {
    const path = await newProjectedLog();
    await withViews(path, (views) => views.database.exec("UPDATE generations SET fold_version = 99"));
    await rebuiltBecause(path, /made anew: they were folded by another version/);
  });

  it("lose nothing when they are deleted", async () => {
    const path = await newProjectedLog();
    const expected = await readAll(path, false);
    await rm(`${path}.views`);
    expect(await openAndRead(path)).toEqual(expected);
    await project(path);
    await expectRebuilt(path);
  });
});

describe("views that lag behind a purge", () => {
  it("go on from the deletion, which needs nothing before it", async () => {
    const path = join(await newFolder(), "log.db");
    const store = await openConversationStore(path, { views: false });
    await store.saveMessage("a", "user", "seen by the views");
    await project(path);
    await store.saveMessage("a", "user", "never seen by them");
    await store.deleteSession("a");
    await store.log.truncate("conversation-a", 2);
    await store.saveMessage("a", "user", "after");
    await store.close();
    const contents = async (views: false | undefined): Promise<string[]> => {
      const reader = await openConversationStore(path, { readOnly: true, views });
      const messages = await reader.listMessages("a");
      await reader.close();
      return messages.map(({ content }) => content);
    };
    expect(await contents(false)).toEqual(["after"]);
    expect(await contents(undefined)).toEqual(["after"]);
    await project(path);
    await withViews(path, (views) => expect(views.rows(1).deadLetters()).toEqual([]));
    await expectRebuilt(path);
  });
});

describe("a views file that is not ours to write", () => {
  const tamper = (path: string, sql: string): void => {
    const database = new Database(path);
    database.exec(sql);
    database.exec("PRAGMA wal_checkpoint(TRUNCATE)"); // Else whoever opens it next does so, and changes the file.
    database.close();
  };

  it("because a newer turnlog made it is refused and not touched; reading the log alone still works", async () => {
    const path = await newProjectedLog();
    tamper(`${path}.views`, "PRAGMA user_version = 99");
    const before = await digest(`${path}.views`);
    await expect(openAndRead(path)).rejects.toMatchObject({ code: "newer-views" });
    await expect(rebuildViews(path)).rejects.toMatchObject({ code: "newer-views" });
    expect(await readAll(path, undefined)).toEqual(await readAll(path, false));
    expect(await digest(`${path}.views`)).toBe(before);
  });

  it("because it is another application's database is refused and not touched", async () => {
    const path = await newProjectedLog();
    await rm(`${path}.views`);
    tamper(`${path}.views`, "CREATE TABLE theirs (x); INSERT INTO theirs VALUES (1)");
    const before = await digest(`${path}.views`);
    await expect(openAndRead(path)).rejects.toMatchObject({ code: "not-a-views-file" });
    await expect(rebuildViews(path)).rejects.toMatchObject({ code: "not-a-views-file" });
    expect(await digest(`${path}.views`)).toBe(before);
  });

  it("because of its permissions serves with the log's tail, and is not rebuilt", async () => {
    const folder = await newFolder();
    const path = join(folder, "log.db");
    const store = await openConversationStore(path);
    await store.saveMessage("a", "user", "hello");
    await store.close();
    await project(path);
    await chmod(folder, 0o777);
    for (const file of await readdir(folder)) await chmod(join(folder, file), 0o666);
    await chmod(`${path}.views`, 0o444);
    const asNobody = (what: string): Record<string, unknown> => {
      const script = join(import.meta.dirname, "children/read-as-nobody.js");
      const printed = execFileSync(process.execPath, [script, path, what], { encoding: "utf8" });
      return JSON.parse(printed) as Record<string, unknown>;
    };
    expect(asNobody("read")).toEqual({ messages: ["hello"], sessions: ["a"] });
    const before = await digest(`${path}.views`);
    expect(asNobody("write")).toEqual({ messages: ["hello", "more"], sessions: ["a"] });
    expect(asNobody("rebuild")).toMatchObject({
      code: "read-only",
      message: expect.stringContaining(`${path}.views`),
    });
    expect(await digest(`${path}.views`)).toBe(before);
  });
});
