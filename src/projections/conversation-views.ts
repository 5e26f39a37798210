import { setImmediate as nextTick } from "node:timers/promises";
import { retryWhileBusy } from "../log/sqlite/busy-retry.ts";
import { Checkpointer } from "../log/sqlite/checkpointer.ts";
import { type Database, type Statement, isBusy } from "../log/sqlite/engine.ts";
import { tidyBeforeClosing } from "../log/sqlite/free-space.ts";
import { isDamagedViews } from "./view-errors.ts";
import { ViewGeneration } from "./view-generation.ts";
import { createGenerationIndexes, createGenerationTables, dropGeneration } from "./views-schema.ts";

/** Raised when the fold makes something else of the same events: views of another version are made anew. */
export const FOLD_VERSION = 2;

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

/** How long a write waits for another process. */
export const VIEWS_BUSY_TIMEOUT_MS = 10_000;
const PAGES_GIVEN_BACK = 2000;
/** When SQLite moves pages by itself: its own default. */
const AUTOCHECKPOINT_PAGES = 1000;

/**
 * The views file of a log, opened. All reads are synchronous and inside `read`, which sees one state of it; the
 * current generation may change between two reads, when a rebuild puts another in its place.
 */
export class ConversationViews {
  readonly path: string;
  readonly #database: Database;
  readonly #generations = new Map<number, ViewGeneration>();
  readonly #isReadOnly: boolean;
  #selectRecords: Statement | undefined;
  #checkpointer: Checkpointer | undefined;

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
    const result = this.#database.write(work);
    try {
      // They are written now and then: the thread catches up in between.
      this.#checkpointer?.look();
    } catch {
      // What was written stands. What stopped the checkpoint will stop a write, which says so.
    }
    return result;
  }

  /**
   * For who is going to write much: from here on a thread of its own moves pages from the write-ahead log into the file,
   * which would stop the event loop for tens of ms now and then.
   */
  checkpointAside(): void {
    if (this.path === ":memory:" || this.#checkpointer !== undefined) return;
    this.#database.exec("PRAGMA wal_autocheckpoint = 0");
    this.#checkpointer = new Checkpointer(this.path, this.#database);
  }

  /** Resolves when the thread has gone, where there is one. Before `close`. */
  async endCheckpoints(): Promise<void> {
    const checkpointer = this.#checkpointer;
    if (checkpointer === undefined) return;
    this.#checkpointer = undefined;
    this.#database.exec(`PRAGMA wal_autocheckpoint = ${AUTOCHECKPOINT_PAGES}`);
    await checkpointer.close();
  }

  /** Runs a write again until no other process holds the lock. */
  whileBusy<Result>(work: () => Result): Promise<Result> {
    return retryWhileBusy(this.path, VIEWS_BUSY_TIMEOUT_MS, work);
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
      tidyBeforeClosing(this.#database);
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
