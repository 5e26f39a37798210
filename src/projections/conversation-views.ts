import { mkdir, rename, stat } from "node:fs/promises";
import { dirname } from "node:path";
import { setImmediate as nextTick } from "node:timers/promises";
import type { EventLog } from "../log/event-log.ts";
import { retryWhileBusy } from "../log/sqlite/busy-retry.ts";
import { giveBackFreePages } from "../log/sqlite/free-space.ts";
import { Database, type Statement, isBusy, isNotDatabase } from "../log/sqlite/engine.ts";
import { DamagedView, StaleView } from "./message-collection.ts";
import { ViewGeneration } from "./view-generation.ts";
import {
  VIEWS_FORMAT,
  configureViews,
  createGenerationIndexes,
  createGenerationTables,
  createViews,
  dropGeneration,
  foreignViews,
  newerViews,
  viewsKind,
} from "./views-schema.ts";

/** Raised when the fold makes something else of the same events: views of another version are made anew. */
export const FOLD_VERSION = 1;

/** How far a generation has come. */
export interface Checkpoint {
  /** Everything up to this position is in the rows. */
  position: number;
  /** Id of the event there. */
  eventId: string | undefined;
}

export interface GenerationRecord {
  generation: number;
  state: "building" | "current" | "retired";
  logId: string;
  foldVersion: number;
  checkpoint: Checkpoint;
  /** The newest event that any row has seen: rows may be ahead of the checkpoint. */
  highest: Checkpoint;
}

export interface OpenViewsOptions {
  /** Path of the views file, or ":memory:". */
  path: string;
  /** Told when views are set aside or made anew. Default: `process.emitWarning`. */
  onWarning?: ((message: string) => void) | undefined;
  /** Check all of the file, however large. Default: a small file whole, a large one at its top. */
  isThorough?: boolean | undefined;
}

const BUSY_TIMEOUT_MS = 10_000;
const PAGES_GIVEN_BACK = 2000;
const MOST_BYTES_CHECKED = 4 * 1024 * 1024;

/**
 * The views file of a log, opened. All reads are synchronous and inside `read`, which sees one state of it; the
 * current generation may change between two reads, when a rebuild puts another in its place.
 */
export class ConversationViews {
  readonly path: string;
  readonly #database: Database;
  readonly #generations = new Map<number, ViewGeneration>();
  #selectRecords: Statement | undefined;

  readonly #isReadOnly: boolean;

  constructor(path: string, database: Database, isReadOnly = false) {
    this.path = path;
    this.#database = database;
    this.#isReadOnly = isReadOnly;
  }

  read<Result>(work: () => Result): Result {
    return this.#database.read(work);
  }

  /** @throws SQLite's busy error while another process writes: try again (`whileBusy`). */
  write<Result>(work: () => Result): Result {
    return this.#database.write(work);
  }

  /** Runs a write again until no other process holds the lock. */
  whileBusy<Result>(work: () => Result): Promise<Result> {
    return retryWhileBusy(this.path, BUSY_TIMEOUT_MS, work);
  }

  /** The generation in service, whatever made it; undefined before the first is. */
  current(): GenerationRecord | undefined {
    return this.records().find(({ state }) => state === "current");
  }

  /**
   * The generation in service, where it is this log's and this fold's: a process of another version of turnlog may
   * have put its own there since the views were opened.
   */
  serving(logId: string): GenerationRecord | undefined {
    const current = this.current();
    return current?.logId === logId && current.foldVersion === FOLD_VERSION ? current : undefined;
  }

  records(): GenerationRecord[] {
    this.#selectRecords ??= this.#database.prepare(
      `SELECT generation, state, log_id, fold_version, checkpoint, checkpoint_event, highest, highest_event
        FROM generations ORDER BY generation`,
    );
    const rows = this.#selectRecords.all();
    const eventId = (value: unknown): string | undefined => (value === null ? undefined : String(value));
    return rows.map((row) => ({
      generation: Number(row[0]),
      state: String(row[1]) as GenerationRecord["state"],
      logId: String(row[2]),
      foldVersion: Number(row[3]),
      checkpoint: { position: Number(row[4]), eventId: eventId(row[5]) },
      highest: { position: Number(row[6]), eventId: eventId(row[7]) },
    }));
  }

  rows(generation: number): ViewGeneration {
    let rows = this.#generations.get(generation);
    if (rows === undefined) {
      rows = new ViewGeneration(this.#database, generation);
      this.#generations.set(generation, rows);
    }
    return rows;
  }

  /** Tables for another generation. Inside a write. */
  createGeneration(logId: string, state: "building" | "current"): number {
    this.#database
      .prepare(
        "INSERT INTO generations (state, log_id, fold_version, checkpoint, highest) VALUES (?, ?, ?, -1, -1)",
      )
      .run(state, logId, FOLD_VERSION);
    const generation = this.#database.number("SELECT max(generation) FROM generations");
    createGenerationTables(this.#database, generation);
    if (state === "current") createGenerationIndexes(this.#database, generation);
    return generation;
  }

  /** Inside a write. */
  saveCheckpoint(generation: number, checkpoint: Checkpoint, highest: Checkpoint): void {
    this.#database
      .prepare(
        "UPDATE generations SET checkpoint = ?, checkpoint_event = ?, highest = ?, highest_event = ? WHERE generation = ?",
      )
      .run(
        checkpoint.position,
        checkpoint.eventId ?? null,
        highest.position,
        highest.eventId ?? null,
        generation,
      );
  }

  /** Makes the indexes that queries need, once the rows are there. Inside a write. */
  createIndexes(generation: number): void {
    createGenerationIndexes(this.#database, generation);
  }

  /**
   * Puts a generation that was being built in the place of the current one. Readers go over by themselves. Inside a
   * write.
   */
  promote(generation: number): void {
    this.#database.exec("UPDATE generations SET state = 'retired' WHERE state = 'current'");
    this.#database.prepare("UPDATE generations SET state = 'current' WHERE generation = ?").run(generation);
  }

  /** Removes a generation that is out of service. Its space is given back by `giveSpaceBack`. */
  drop(generation: number): void {
    this.#generations.delete(generation);
    this.write(() => dropGeneration(this.#database, generation));
  }

  /** Gives free pages back to the file system, a few at a time: nobody has to wait for long. */
  async giveSpaceBack(): Promise<void> {
    const freePages = (): number => this.#database.number("PRAGMA freelist_count");
    for (let free = freePages(); free > 0;) {
      await this.whileBusy(() => this.#database.exec(`PRAGMA incremental_vacuum(${PAGES_GIVEN_BACK})`));
      const left = freePages();
      if (left >= free) break;
      free = left;
      await nextTick();
    }
    try {
      // Else the write-ahead log would stay as large as it was, for as long as anybody has the views open.
      this.#database.exec("PRAGMA wal_checkpoint(TRUNCATE)");
    } catch (error) {
      if (!isBusy(error)) throw error;
    }
  }

  setHolder(role: string, holder: { pid: number; since: number } | undefined): void {
    this.write(() => {
      this.#database.prepare("DELETE FROM holders WHERE role = ?").run(role);
      if (holder === undefined) return;
      this.#database
        .prepare("INSERT INTO holders (role, pid, since) VALUES (?, ?, ?)")
        .run(role, holder.pid, holder.since);
    });
  }

  holder(role: string): { pid: number; since: number } | undefined {
    const row = this.#database.prepare("SELECT pid, since FROM holders WHERE role = ?").get(role);
    return row && { pid: Number(row[0]), since: Number(row[1]) };
  }

  get database(): Database {
    return this.#database;
  }

  #tidy(): void {
    try {
      giveBackFreePages(this.#database);
      this.#database.exec("PRAGMA wal_checkpoint(TRUNCATE)");
    } catch (error) {
      // Busy: others go on with it. Damaged: who opens it next makes it anew. Neither is lost by closing.
      if (!isBusy(error) && !isDamagedViews(error)) throw error;
    }
  }

  close(): void {
    this.#generations.clear();
    try {
      if (!this.#isReadOnly) this.#tidy();
    } finally {
      this.#database.close();
    }
  }
}

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
export async function openSound({
  path,
  onWarning,
  isThorough,
}: OpenViewsOptions): Promise<ConversationViews> {
  try {
    const views = await openFile(path);
    await checkIntegrity(views, isThorough === true);
    return views;
  } catch (error) {
    if (!isDamagedViews(error)) throw error;
    const aside = await setAside(path);
    onWarning?.(`The views ${path} are damaged; they were set aside as ${aside} and are being made anew.`);
    return openFile(path);
  }
}

async function openFile(path: string): Promise<ConversationViews> {
  // The folder for caches may never have been used.
  if (path !== ":memory:") await mkdir(dirname(path), { recursive: true });
  const database = await retryWhileBusy(path, BUSY_TIMEOUT_MS, () => new Database(path));
  try {
    const kind = await retryWhileBusy(path, BUSY_TIMEOUT_MS, () => viewsKind(database));
    if (kind === "newer") throw newerViews(path);
    if (kind === "foreign") throw foreignViews(path);
    if (kind === "older") throw new DamagedView(`format ${VIEWS_FORMAT} is needed`);
    await retryWhileBusy(path, BUSY_TIMEOUT_MS, () => {
      if (kind === "blank") createViews(database);
      configureViews(database);
    });
    return new ConversationViews(path, database);
  } catch (error) {
    database.close();
    throw error;
  }
}

/** True for what SQLite, or a row's checksum, says of a file that cannot be made sense of. */
export function isDamagedViews(error: unknown): boolean {
  const cause = error instanceof Error && error.cause !== undefined ? error.cause : error;
  const code = (cause as { errcode?: unknown } | null)?.errcode;
  return (
    error instanceof DamagedView || isNotDatabase(cause) || (typeof code === "number" && (code & 0xff) === 11)
  );
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

/** Renamed, not deleted: nobody has it open but us, and somebody may want to look. */
async function setAside(path: string): Promise<string> {
  const aside = `${path}.damaged-${Date.now()}`;
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

export function isViewsBusy(error: unknown): boolean {
  return isBusy(error);
}

export async function fileExists(path: string): Promise<boolean> {
  return stat(path).then(
    () => true,
    () => false,
  );
}
