import { Worker } from "node:worker_threads";
import { type Database, type Statement, enginePath } from "./engine.ts";
import { FEWEST_PAGES, MOST_PAGES } from "./free-space.ts";
import { DURABLE_SETTINGS } from "./schema.ts";

const COMMITS_BETWEEN_LOOKS = 64;
const BYTES_BETWEEN_LOOKS = 1_048_576;

/** Pages of the WAL. */
export interface WalBounds {
  /** So many that wait are worth a checkpoint: few enough that reading stays fast, enough that pages are written once for many commits. */
  readonly perCheckpoint: number;
  /** From here on the WAL is to begin anew. */
  readonly long: number;
  /** So many are moved while the writer waits. */
  readonly few: number;
  /** Where it has not begun anew in spite of that (another process writes, or reads an old state), the writer waits again. */
  readonly betweenPauses: number;
  /** From here on, all or those that wait, the thread does not keep up, or could not be started. */
  readonly farTooLong: number;
  readonly mostPending: number;
}

/** Long is 64 MB. */
export const DEFAULT_WAL_BOUNDS: WalBounds = {
  perCheckpoint: 4_000,
  long: 16_000,
  few: 256,
  betweenPauses: 2_000,
  farTooLong: 32_000,
  mostPending: 12_000,
};

/**
 * CommonJS, as text: it must run beside compiled code, in tests and in bundles alike. What fails at the end, who closes the
 * database meets again.
 */
const WORKER_SOURCE = `
const { parentPort, workerData } = require("node:worker_threads");
const { DatabaseSync } = require(workerData.engine);
const database = new DatabaseSync(workerData.path, { timeout: 0 });
database.exec(workerData.settings);
const tidy = () => {
  const { freelist_count: free } = database.prepare("PRAGMA freelist_count").get();
  if (free >= ${FEWEST_PAGES}) database.exec("PRAGMA incremental_vacuum(${MOST_PAGES})");
  database.exec("PRAGMA wal_checkpoint(TRUNCATE)");
};
parentPort.on("message", (message) => {
  try {
    database.exec("PRAGMA wal_checkpoint(PASSIVE)");
    if (message === "close") tidy();
  } finally {
    if (message === "close") {
      database.close();
      parentPort.close();
    } else parentPort.postMessage("done");
  }
});
`;

/** Who writes, for it to wait while the last pages are moved. */
export interface PausableWriter {
  pause(): void;
  resume(): void;
}

/**
 * Moves pages from the WAL into the database in a thread of its own, so that the event loop does not stop for it.
 * The thread is started when the WAL has grown for the first time: a short-lived process never needs it.
 */
export class Checkpointer {
  readonly #path: string;
  readonly #database: Database;
  readonly #selectPages: Statement;
  #commits = 0;
  #bytes = 0;
  #worker: Worker | undefined;
  #workerExited: Promise<void> = Promise.resolve();
  #isWorking = false;
  #hasFailed = false;
  readonly #writer: PausableWriter | undefined;
  #isWriterPaused = false;
  #isClosing = false;
  readonly #bounds: WalBounds;
  #longPages: number;

  /** @param writer waits while the last pages of a long WAL are moved; without one nobody does, and it may go on growing */
  constructor(path: string, database: Database, writer?: PausableWriter, bounds = DEFAULT_WAL_BOUNDS) {
    this.#path = path;
    this.#database = database;
    this.#writer = writer;
    this.#bounds = bounds;
    this.#longPages = bounds.long;
    // Says how long the WAL is and does nothing. (Before SQLite 3.51 it is a small checkpoint: right, if slower.)
    this.#selectPages = database.prepare("PRAGMA wal_checkpoint(NOOP)");
  }

  /** To be called after each commit, outside a transaction. */
  afterCommit(bytes: number): void {
    this.#commits += 1;
    this.#bytes += bytes;
    if (this.#commits < COMMITS_BETWEEN_LOOKS && this.#bytes < BYTES_BETWEEN_LOOKS) return;
    this.#commits = 0;
    this.#bytes = 0;
    this.look();
  }

  /**
   * Has the pages moved where the WAL has grown long enough. Outside a transaction. Beside a writer that can be paused they
   * may be moved before it returns, where the thread does not keep up.
   */
  look(): void {
    const row = this.#selectPages.get();
    const pages = Number(row?.[1] ?? 0);
    const pendingPages = pages - Number(row?.[2] ?? 0);
    const bounds = this.#bounds;
    if (pages <= bounds.long) this.#longPages = bounds.long;
    const isLong = pages > this.#longPages;
    const isBehind = pages > bounds.farTooLong || pendingPages > bounds.mostPending;
    const writer = this.#writer;
    if (this.#hasFailed ? isLong || isBehind : isBehind && writer !== undefined)
      return this.#database.exec("PRAGMA wal_checkpoint(PASSIVE)");
    const isToBeginAnew = isLong && writer !== undefined;
    if (pendingPages <= bounds.perCheckpoint && !isToBeginAnew) return;
    // A busy writer is always some pages ahead of the thread, and SQLite begins the WAL anew only when none are left: the
    // writer waits while the last few are moved. If it moved them itself, the event loop would stop for their sync.
    if (this.#nudge() && isToBeginAnew && pendingPages <= bounds.few) this.#pause(writer, pages);
  }

  #pause(writer: PausableWriter, pages: number): void {
    this.#isWriterPaused = true;
    this.#longPages = pages + this.#bounds.betweenPauses;
    this.#worker?.ref(); // What is to be written holds the process.
    writer.pause();
  }

  #resumeWriter(): void {
    if (!this.#isWriterPaused) return;
    this.#isWriterPaused = false;
    if (!this.#isClosing) this.#worker?.unref();
    this.#writer?.resume();
  }

  /**
   * Ends the thread, which first moves what is left, gives free pages back and empties the WAL: all but nothing is left of
   * that for who closes the database then. Resolves when the thread is gone and its connection closed.
   */
  async close(): Promise<void> {
    this.#isClosing = true;
    this.#worker?.ref(); // Else nothing might hold the process until the thread has answered.
    this.#worker?.postMessage("close", []);
    await this.#workerExited;
  }

  /** False where the thread is at it already: pages that were written since may be left. */
  #nudge(): boolean {
    if (this.#isWorking || this.#hasFailed) return false;
    this.#worker ??= this.#start();
    this.#isWorking = true;
    this.#worker.postMessage("checkpoint", []);
    return true;
  }

  #start(): Worker {
    const worker = new Worker(WORKER_SOURCE, {
      eval: true,
      execArgv: [],
      workerData: { engine: enginePath(), settings: DURABLE_SETTINGS, path: this.#path },
    });
    worker.unref();
    worker.on("message", () => {
      this.#isWorking = false;
      this.#commits = COMMITS_BETWEEN_LOOKS; // The sooner the next look, the fewer pages are left.
      this.#resumeWriter();
    });
    // Not a failure of the log: checkpoints then run here, when the WAL is long.
    worker.on("error", () => {
      this.#hasFailed = true;
      this.#resumeWriter();
    });
    this.#workerExited = new Promise((resolve) => {
      worker.once("exit", () => {
        this.#worker = undefined;
        this.#resumeWriter();
        resolve();
      });
    });
    return worker;
  }
}
