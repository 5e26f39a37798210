import { mkdtempSync, readFileSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterAll, beforeAll, describe, expect, it } from "@jest/globals";
import { autopsy } from "../../src/forensics/autopsy.ts";
import type { SalvageReport } from "../../src/forensics/salvage.ts";
import type { RecordedEvent } from "../../src/log/event-log.ts";
import { openEventLog } from "../../src/log/open-event-log.ts";
import type { StoredMessage } from "../../src/projections/stored-message.ts";
import { openConversationStore } from "../../src/store/open-conversation-store.ts";
import { run } from "../cli/cli-support.ts";
import {
  type StoredRow,
  copyStore,
  damage,
  randoms,
  removeStore,
  rowsOf,
  undamagedIds,
} from "./damaged-file-support.ts";

/**
 * However a file is damaged: verify, salvage, show and autopsy end, in order, and invent nothing; and salvage keeps
 * every event whose row is undamaged.
 */

const isLong = process.env["TURNLOG_TEST_LONG"] !== undefined;
const DAMAGES = isLong ? 2000 : 40;
/** Among forty damages there may be none that loses something, or that leaves nothing to read: one in twenty does. */
const CERTAIN_OUTCOMES = isLong
  ? (["lost", "whole", "refused", "told"] as const)
  : (["whole", "told"] as const);
const SESSIONS = 3;
const TEXT = "The quick brown fox jumps over the lazy dog. ".repeat(10);
const WORDS = TEXT.match(/\S+\s*/g) ?? [];

let folder: string;
beforeAll(() => {
  folder = mkdtempSync(join(tmpdir(), "turnlog-corruption-"));
});
afterAll(() => rmSync(folder, { recursive: true, force: true }));

interface Pristine {
  readonly path: string;
  readonly events: ReadonlyMap<string, RecordedEvent>;
  readonly rows: readonly StoredRow[];
}

/** Each session has a finished turn and one that was left open. */
async function makeStore(name: string, hasWal: boolean): Promise<Pristine> {
  const live = join(folder, `${name}-live.db`);
  const path = join(folder, `${name}.db`);
  const store = await openConversationStore(live, {
    durability: "process",
    flushIntervalMs: 0,
    views: false,
  });
  for (let index = 0; index < SESSIONS; index++) {
    const whole = await store.beginTurn(`s${index}`, { user: "hi" });
    for (const word of WORDS.slice(0, 20)) void whole.textDelta(word);
    await whole.finish();
    const open = await store.beginTurn(`s${index}`, { user: "again" });
    for (const [number, word] of WORDS.entries()) {
      void open.textDelta(word);
      if (number % 3 === 0) await open.flush();
    }
    await open.flush();
  }
  if (hasWal) copyStore(live, path);
  await store.close();
  if (!hasWal) copyStore(live, path);
  return look(path);
}

async function look(path: string): Promise<Pristine> {
  const log = await openEventLog(path, { readOnly: true });
  const events = new Map<string, RecordedEvent>();
  for await (const event of log.readAll()) events.set(event.id, event);
  await log.close();
  const names = new Set([...events.values()].map(({ stream }) => stream));
  return { path, events, rows: rowsOf(path, [...names]) };
}

interface Told {
  turns: { sessionId: string; text: string }[];
}

describe.each([
  ["a file", false],
  ["a file with its write-ahead log", true],
] as const)("%s, damaged at random", (name, hasWal) => {
  it(
    `in ${DAMAGES} ways: nothing crashes, hangs or invents, and no sound row is lost`,
    async () => {
      const seed = Number(process.env["TURNLOG_TEST_SEED"] ?? Math.floor(Math.random() * 1_000_000));
      const random = randoms(seed);
      const pristine = await makeStore(name, hasWal);
      const outcomes = { lost: 0, whole: 0, refused: 0, told: 0 };
      for (let n = 0; n < DAMAGES; n++) {
        const path = join(folder, `damaged-${n}.db`);
        copyStore(pristine.path, path);
        const damaged = damage(path, random);
        const where = `seed ${seed}, damage ${n}: ${damaged.what}`;
        try {
          const before = bytesOf(path);
          await checkReaders(path, random, where, outcomes);
          await checkSalvage(pristine, path, undamagedIds(pristine.rows, damaged), where, outcomes);
          expect({ where, isUntouched: before.equals(bytesOf(path)) }).toEqual({ where, isUntouched: true });
        } finally {
          removeStore(path);
          removeStore(`${path}.salvaged`);
        }
      }
      // They happen, or the damages are not what they are meant to be.
      for (const outcome of CERTAIN_OUTCOMES)
        expect({ seed, [outcome]: outcomes[outcome] }).not.toEqual({ seed, [outcome]: 0 });
    },
    60_000 + DAMAGES * 3000,
  );
});

/** Database and write-ahead log; an empty one may come and go. */
function bytesOf(path: string): Buffer {
  const read = (each: string): Buffer => {
    try {
      return readFileSync(each);
    } catch {
      return Buffer.alloc(0);
    }
  };
  return Buffer.concat([read(path), read(`${path}-wal`)]);
}

type Outcomes = Record<"lost" | "whole" | "refused" | "told", number>;

/** verify, show and autopsy on the damaged file itself. */
async function checkReaders(
  path: string,
  random: () => number,
  where: string,
  outcomes: Outcomes,
): Promise<void> {
  const readers = [["verify"], ["show", `s${Math.floor(random() * SESSIONS)}`, "--all"], ["autopsy"]];
  // One of them each time: opening a damaged file is the costly part.
  for (const args of readers.slice(Math.floor(random() * 3)).slice(0, 1)) {
    const { code, stdout, stderr } = await run([...args, "--json", "--store", path]);
    expect({ where, args, stderr }).not.toMatchObject({
      stderr: expect.stringContaining("unexpected failure"),
    });
    if (stdout === "") {
      outcomes.refused += 1;
      const lines = stderr.trimEnd().split("\n").length;
      expect({ where, args, code, lines }).toEqual({ where, args, code: code === 1 ? 1 : 3, lines: 1 });
      continue;
    }
    outcomes.told += 1;
    expect({ where, args, code }).toEqual({ where, args, code: code === 0 ? 0 : 1 });
    if (args[0] === "autopsy")
      for (const turn of (JSON.parse(stdout) as Told).turns) checkText(turn.text, where);
    if (args[0] === "show") checkShown(stdout, where);
  }
}

/** What is told is what was written, up to some delta. */
function checkText(text: string, where: string): void {
  expect({ where, isPrefix: TEXT.startsWith(text), isWord: /^$|\s$/.test(text) }).toEqual({
    where,
    isPrefix: true,
    isWord: true,
  });
}

function checkShown(json: string, where: string): void {
  checkMessages((JSON.parse(json) as { messages: StoredMessage[] }).messages, where);
}

function checkMessages(messages: readonly StoredMessage[], where: string): void {
  for (const { role, parts } of messages) {
    const text = parts.map((part) => String((part as { text?: unknown }).text)).join("");
    if (role === "assistant") checkText(text, where);
    else expect({ where, text }).toEqual({ where, text: expect.stringMatching(/^(hi|again)$/) });
  }
}

async function checkSalvage(
  { events }: Pristine,
  path: string,
  undamaged: ReadonlySet<string>,
  where: string,
  outcomes: Outcomes,
): Promise<void> {
  const to = `${path}.salvaged`;
  const { code, stdout, stderr } = await run(["salvage", path, "--to", to, "--json", "--quiet"]);
  expect({ where, stderr }).not.toMatchObject({ stderr: expect.stringContaining("unexpected failure") });
  if (stdout === "") {
    // Nothing is left in it, and then nothing sound can have been.
    outcomes.refused += 1;
    expect({ where, stderr, undamaged: undamaged.size }).toEqual({
      where,
      stderr: expect.any(String),
      undamaged: 0,
    });
    return;
  }
  const report = JSON.parse(stdout) as SalvageReport;
  expect({ where, code }).toEqual({ where, code: report.isLossy ? 1 : 0 });
  outcomes[report.isLossy ? "lost" : "whole"] += 1;
  const kept = await keptIn(to, events, where);
  const missing = [...undamaged].filter((id) => !kept.has(id));
  expect({ where, missing }).toEqual({ where, missing: [] });
  // Of the newest events nothing may tell once they are gone; of all others something does.
  const lost = [...events.values()].filter(({ id }) => !kept.has(id)).map(({ position }) => position);
  const newest = [...kept].reduce((most, id) => Math.max(most, events.get(id)?.position ?? -1), -1);
  if (lost.some((position) => position < newest)) expect({ where, code }).toEqual({ where, code: 1 });
  await checkNewLog(to, where);
}

/** Each session of the new log can be read, and so can its turns. */
async function checkNewLog(path: string, where: string): Promise<void> {
  const store = await openConversationStore(path, { readOnly: true, views: false });
  for (let index = 0; index < SESSIONS; index++)
    checkMessages(await store.listMessages(`s${index}`, { includeReplaced: true }), where);
  for (const { text } of (await autopsy(store)).turns) checkText(text, where);
  await store.close();
}

/** Ids of the events that the new log has, as they were or set aside; each is exactly what was written. */
async function keptIn(
  path: string,
  events: ReadonlyMap<string, RecordedEvent>,
  where: string,
): Promise<Set<string>> {
  const kept = new Set<string>();
  const log = await openEventLog(path, { readOnly: true });
  for await (const { id, type, data, metadata, stream, revision } of log.readAll()) {
    const aside = type === "EventSetAside" ? (data as unknown as RecordedEvent) : undefined;
    const original = events.get(aside?.id ?? id);
    if (original === undefined) {
      expect({ where, type }).toEqual({
        where,
        type: expect.stringMatching(/^(EventLost|MessageIdsReserved)$/),
      });
      continue;
    }
    const as = aside ?? { type, data, metadata };
    expect({ where, stream, revision, type: as.type, data: as.data, metadata: as.metadata }).toEqual({
      where,
      stream: original.stream,
      revision: original.revision,
      type: original.type,
      data: original.data,
      metadata: original.metadata,
    });
    kept.add(original.id);
  }
  await log.close();
  return kept;
}
