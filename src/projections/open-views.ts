import { randomUUID } from "node:crypto";
import { mkdir, rename, stat } from "node:fs/promises";
import { dirname } from "node:path";
import { setTimeout as sleep } from "node:timers/promises";
import type { EventLog } from "../log/event-log.ts";
import { retryWhileBusy } from "../log/sqlite/busy-retry.ts";
import { Database } from "../log/sqlite/engine.ts";
import {
  type Checkpoint,
  ConversationViews,
  FOLD_VERSION,
  VIEWS_BUSY_TIMEOUT_MS,
} from "./conversation-views.ts";
import { HolderLock } from "./holder-lock.ts";
import { DamagedView, StaleView } from "./message-collection.ts";
import { isDamagedViews } from "./view-errors.ts";
import {
  VIEWS_FORMAT,
  configureViews,
  createViews,
  foreignViews,
  newerViews,
  viewsKind,
} from "./views-schema.ts";

export interface OpenViewsOptions {
  /** Path of the views file, or ":memory:". */
  path: string;
  /** Told when views are set aside or made anew. Default: `process.emitWarning`. */
  onWarning?: ((message: string) => void) | undefined;
  /** Check all of the file, however large. Default: a small file whole, a large one at its top. */
  isThorough?: boolean | undefined;
}

const MOST_BYTES_CHECKED = 4 * 1024 * 1024;
/** How often a process that waits for another to replace damaged views looks again. */
const ASIDE_LOOK_MS = 25;

/**
 * Opens views that are there already, for a store that never writes; undefined where there are none that can be
 * served. Nothing is put right, and nothing is said: without views a reader folds the log.
 */
export async function openViewsReadOnly(log: EventLog, path: string): Promise<ConversationViews | undefined> {
  if (!(await fileExists(path))) return undefined;
  let database: Database | undefined;
  try {
    database = new Database(path, { readOnly: true });
    if (viewsKind(database) === "ours") {
      const views = new ConversationViews(path, database, true);
      const current = views.read(() => views.current());
      if (current !== undefined && (await whyUnusable(log, views)) === undefined) return views;
    }
  } catch {
    // A folder that cannot be written, a damaged or locked file: all the same to a reader that has the log.
  }
  database?.close();
  return undefined;
}

/**
 * Opens the views of a log. What cannot be used is put right here, with a warning and without asking: a damaged file
 * is set aside, an older format made anew, a current generation of another log, another fold, or ahead of the log,
 * taken out of service.
 * @throws {StoreError} `newer-views`, `not-a-views-file`
 */
export async function openViews(log: EventLog, options: OpenViewsOptions): Promise<ConversationViews> {
  const warn = options.onWarning ?? ((message: string) => process.emitWarning(message, "TurnlogWarning"));
  const views = await openSound({ ...options, onWarning: warn });
  try {
    const reason = await whyUnusable(log, views);
    if (reason !== undefined) {
      warn(`The views ${options.path} are being made anew: ${reason}.`);
      await views.whileBusy(() => discardOutOfService(views));
      await views.giveSpaceBack();
    }
    await views.whileBusy(() =>
      views.write(() => {
        if (views.current() === undefined) views.createGeneration(log.logId, "current");
      }),
    );
    return views;
  } catch (error) {
    views.close();
    throw error;
  }
}

/**
 * Opens the views as they are, whatever log or fold they are of: for a rebuild, which compares with them. What is
 * damaged is set aside.
 * @throws {StoreError} `newer-views`, `not-a-views-file`
 */
export async function openSound(options: OpenViewsOptions): Promise<ConversationViews> {
  try {
    return await openChecked(options);
  } catch (error) {
    if (!isDamagedViews(error)) throw error;
    return replaceDamaged(options, error);
  }
}

async function openChecked({ path, isThorough }: OpenViewsOptions): Promise<ConversationViews> {
  const views = await openFile(path);
  await checkIntegrity(views, isThorough === true);
  return views;
}

/** One at a time: who comes second finds what the first has made, and must not set that aside as well. */
async function replaceDamaged(options: OpenViewsOptions, damage: unknown): Promise<ConversationViews> {
  const { path, onWarning } = options;
  const lock = new HolderLock(`${path}-aside`);
  const deadline = performance.now() + VIEWS_BUSY_TIMEOUT_MS;
  while (!lock.tryAcquire()) {
    if (performance.now() >= deadline) throw damage;
    await sleep(ASIDE_LOOK_MS);
  }
  try {
    return await openChecked(options);
  } catch (error) {
    if (!isDamagedViews(error)) throw error;
    const aside = await setAside(path);
    onWarning?.(`The views ${path} are damaged; they were set aside as ${aside} and are being made anew.`);
    return await openFile(path);
  } finally {
    lock.release();
  }
}

async function openFile(path: string): Promise<ConversationViews> {
  // The folder for caches may never have been used.
  if (path !== ":memory:") await mkdir(dirname(path), { recursive: true });
  const database = await retryWhileBusy(path, VIEWS_BUSY_TIMEOUT_MS, () => new Database(path));
  try {
    const kind = await retryWhileBusy(path, VIEWS_BUSY_TIMEOUT_MS, () => viewsKind(database));
    if (kind === "newer") throw newerViews(path);
    if (kind === "foreign") throw foreignViews(path);
    if (kind === "older") throw new DamagedView(`format ${VIEWS_FORMAT} is needed`);
    await retryWhileBusy(path, VIEWS_BUSY_TIMEOUT_MS, () => {
      if (kind === "blank") createViews(database);
      configureViews(database);
    });
    return new ConversationViews(path, database);
  } catch (error) {
    database.close();
    throw error;
  }
}

/** Looks at the structure of a small file whole, of a large one at its top: opening must not grow with the log. */
async function checkIntegrity(views: ConversationViews, isThorough: boolean): Promise<void> {
  try {
    const bytes = views.database.number("PRAGMA page_count") * views.database.number("PRAGMA page_size");
    const check = isThorough || bytes <= MOST_BYTES_CHECKED ? "PRAGMA quick_check(1)" : "SELECT 'ok'";
    const verdict = await views.whileBusy(() => views.database.prepare(check).get()?.[0]);
    if (verdict !== "ok") throw new DamagedView(String(verdict));
    views.read(() => {
      const current = views.current();
      if (current !== undefined) views.rows(current.generation).list({ limit: 1, prefix: "" });
    });
  } catch (cause) {
    views.close();
    // Its record says that it is in service: tables that are not there are damage.
    throw cause instanceof StaleView ? new DamagedView("tables are missing", { cause }) : cause;
  }
}

/** Renamed, not deleted: somebody may want to look. Who still has it open goes on with the renamed file. */
async function setAside(path: string): Promise<string> {
  const aside = `${path}.damaged-${Date.now()}-${randomUUID().slice(0, 8)}`;
  for (const suffix of ["", "-wal", "-shm"]) {
    await rename(path + suffix, aside + suffix).catch((error: unknown) => {
      if ((error as { code?: unknown }).code !== "ENOENT") throw error;
    });
  }
  return aside;
}

/** Why the current generation must not be served, undefined where it may. */
async function whyUnusable(log: EventLog, views: ConversationViews): Promise<string | undefined> {
  const current = views.read(() => views.current());
  if (current === undefined) return undefined;
  if (current.logId !== log.logId) return "they belong to another log";
  if (current.foldVersion !== FOLD_VERSION) return "they were folded by another version of turnlog";
  for (const point of [current.checkpoint, current.highest]) {
    if (!(await isOfLog(log, point)))
      return "the log lacks events that they hold (it may have lost its newest in a power cut)";
  }
  return undefined;
}

/** True where the log has exactly this event at exactly this position. */
export async function isOfLog(log: EventLog, { position, eventId }: Checkpoint): Promise<boolean> {
  if (position < 0 || eventId === undefined) return true;
  for await (const event of log.readAll({ after: position - 1, limit: 1 })) {
    // Truncated since: what is above it proves that the log had come as far.
    return event.position === position ? event.id === eventId : event.position > position;
  }
  return (await log.head()) >= position;
}

function discardOutOfService(views: ConversationViews): void {
  for (const { generation, state } of views.read(() => views.records())) {
    // What is being built is the business of whoever builds it.
    if (state !== "building") views.drop(generation);
  }
}

export async function fileExists(path: string): Promise<boolean> {
  return stat(path).then(
    () => true,
    () => false,
  );
}
