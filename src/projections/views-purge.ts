import { readdir, rm } from "node:fs/promises";
import { basename, dirname, join } from "node:path";
import { setTimeout as sleep } from "node:timers/promises";
import { StoreError } from "../errors.ts";
import type { EventLog } from "../log/event-log.ts";
import { rewriteFile } from "../log/sqlite/rewrite-file.ts";
import type { ConversationViews } from "./conversation-views.ts";
import { HolderLock } from "./holder-lock.ts";

/** A session's deletion, as the log has it. */
export interface Deletion {
  sessionId: string;
  /** Of the SessionDeleted event. */
  revision: number;
  position: number;
}

const TIMEOUT_MS = 10_000;
const LOOK_MS = 25;

/**
 * Removes what the views file still holds of a deleted session: rows, what an interrupted rebuild had built, files that
 * were set aside as damaged, and the free pages that the rows have left.
 * @throws {StoreError} `still-readable` where another process has not followed, or keeps the file from being rewritten
 */
export async function purgeFromViews(
  log: EventLog,
  views: ConversationViews,
  deletion: Deletion,
  timeoutMs = TIMEOUT_MS,
): Promise<void> {
  if (views.path === ":memory:") return;
  await untilProjected(log, views, deletion, timeoutMs);
  await dropUnfinished(views);
  await rewriteFile(views.path, timeoutMs);
  await removeSetAside(views.path);
}

/**
 * Whoever keeps the views up to date may hold the session's text in memory and write it once more: not before it has
 * seen the deletion are the rows gone for good. Where nobody does, they are removed here.
 */
async function untilProjected(
  log: EventLog,
  views: ConversationViews,
  deletion: Deletion,
  timeoutMs: number,
): Promise<void> {
  const lock = new HolderLock(`${views.path}-projector`);
  const deadline = Date.now() + timeoutMs;
  for (;;) {
    if (isProjected(log, views, deletion)) return removeRows(views, deletion);
    if (lock.tryAcquire()) {
      try {
        return await removeRows(views, deletion);
      } finally {
        lock.release();
      }
    }
    if (Date.now() >= deadline) throw stillReadable(views.path, "has not followed the log for a while");
    await sleep(LOOK_MS);
  }
}

function isProjected(
  log: EventLog,
  views: ConversationViews,
  { sessionId, revision, position }: Deletion,
): boolean {
  return views.read(() => {
    const current = views.serving(log.logId);
    if (current === undefined) return false;
    if (current.checkpoint.position >= position) return true;
    return (views.rows(current.generation).placeOf(sessionId)?.revision ?? -1) >= revision;
  });
}

/** Also of a session that the fold could not follow to its end. */
function removeRows(views: ConversationViews, { sessionId, revision }: Deletion): Promise<void> {
  return views.whileBusy(() =>
    views.write(() => {
      for (const { generation, state } of views.records()) {
        if (state !== "current") continue;
        const place = views.rows(generation).placeOf(sessionId);
        if (place === undefined || place.revision >= revision) continue;
        const { database } = views;
        database.prepare(`DELETE FROM messages_${generation} WHERE session = ?`).run(place.session);
        database.prepare(`DELETE FROM sessions_${generation} WHERE session = ?`).run(place.session);
      }
    }),
  );
}

/** What an interrupted rebuild has left is only worth the time that it saves. */
async function dropUnfinished(views: ConversationViews): Promise<void> {
  const unfinished = views.read(() => views.records()).filter(({ state }) => state !== "current");
  if (unfinished.length === 0) return;
  const lock = new HolderLock(`${views.path}-rebuild`);
  if (!lock.tryAcquire()) throw stillReadable(views.path, "is rebuilding it");
  try {
    for (const { generation } of unfinished) await views.whileBusy(() => views.drop(generation));
  } finally {
    lock.release();
  }
}

async function removeSetAside(path: string): Promise<void> {
  const folder = dirname(path);
  const prefix = `${basename(path)}.damaged-`;
  for (const name of await readdir(folder)) {
    if (name.startsWith(prefix)) await rm(join(folder, name), { force: true });
  }
}

function stillReadable(path: string, what: string): StoreError {
  return new StoreError(
    "still-readable",
    `The session is deleted, but its text may still be in the views ${path}: another process ${what}. Purge again when that is done.`,
    { details: { path } },
  );
}
