import { Worker } from "node:worker_threads";
import { type Database, type Statement, enginePath } from "./engine.ts";
import { DURABLE_SETTINGS } from "./schema.ts";

const COMMITS_BETWEEN_LOOKS = 64;
const BYTES_BETWEEN_LOOKS = 1_048_576;
/** Pages in the WAL that are worth a checkpoint: small enough that reading stays fast, large enough that pages are written once for many commits. */
const PAGES_PER_CHECKPOINT = 4_000;
/** 64 MB. */
const LONGEST_WAL_PAGES = 16_000;
/** The thread does not keep up, or could not be started. */
const MOST_PENDING_PAGES = 12_000;

/** CommonJS, as text: it must run beside compiled code, in tests and in bundles alike. */
const WORKER_SOURCE = `
const { parentPort, workerData } = require("node:worker_threads");
const { DatabaseSync } = require(workerData.engine);
const database = new DatabaseSync(workerData.path, { timeout: 0 });
database.exec(workerData.settings);
parentPort.on("message", (message) => {
  try {
    database.exec("PRAGMA wal_checkpoint(PASSIVE)");
  } finally {
    if (message === "close") {
      database.close();
      parentPort.close();
    } else parentPort.postMessage("done");
  }
});
`;

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

  constructor(path: string, database: Database) {
    this.#path = path;
    this.#database = database;
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
   * Has the pages moved where the WAL has grown long enough. Outside a transaction.
   * @param mayStop pages may be moved before it returns, where the thread does not keep up.
   */
  look(mayStop = true): void {
    const row = this.#selectPages.get();
    const pages = Number(row?.[1] ?? 0);
    const pendingPages = pages - Number(row?.[2] ?? 0);
    // A busy writer is always some pages ahead of the thread, and SQLite begins the WAL anew only when none are
    // left: those few are moved here, between two commits.
    const isTooLong = pages > LONGEST_WAL_PAGES || pendingPages > MOST_PENDING_PAGES;
    if (isTooLong && (mayStop || this.#hasFailed)) this.#database.exec("PRAGMA wal_checkpoint(PASSIVE)");
    else if (pendingPages > PAGES_PER_CHECKPOINT) this.#nudge();
  }

  /** Ends the thread, which moves what is left first; resolves when it is gone and its connection closed. */
  async close(): Promise<void> {
    this.#worker?.ref(); // Else nothing might hold the process until the thread has answered.
    this.#worker?.postMessage("close", []);
    await this.#workerExited;
  }

  #nudge(): void {
    if (this.#isWorking || this.#hasFailed) return;
    this.#worker ??= this.#start();
    this.#isWorking = true;
    this.#worker.postMessage("checkpoint", []);
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
    });
    // Not a failure of the log: checkpoints then run here, when the WAL is long.
    worker.on("error", () => {
      this.#hasFailed = true;
    });
    this.#workerExited = new Promise((resolve) => {
      worker.once("exit", () => {
        this.#worker = undefined;
        resolve();
      });
    });
    return worker;
  }
}
