import { close, fdatasync, fdatasyncSync, fsync, open } from "node:fs";
import { dirname } from "node:path";
import { promisify } from "node:util";
import { StoreError } from "../../errors.ts";
import { pauseMs } from "./busy-retry.ts";
import type { Database } from "./engine.ts";
import { ShortSyncs } from "./short-syncs.ts";
import { WalRoom } from "./wal-room.ts";
import { setTimeout as sleep } from "node:timers/promises";

const openFile = promisify(open);
const closeFile = promisify(close);
const syncFolder = promisify(fsync);

/** `fs.fdatasync`, twice. */
export interface Fdatasync {
  /** In a thread of the pool. */
  later(descriptor: number): Promise<void>;
  /** Before it returns. */
  now(descriptor: number): void;
}

const FDATASYNC: Fdatasync = { later: promisify(fdatasync), now: fdatasyncSync };

interface Waiting {
  readonly resolve: () => void;
  readonly reject: (error: unknown) => void;
}

/**
 * Makes commits survive a loss of power without stopping the event loop for long: SQLite commits without a sync, then
 * the WAL file is synced, one sync at a time, which vouches for the commits before its start. It is left to the thread
 * pool, except where a single caller waits for it and this disk is faster than handing it over
 * (docs/decisions/2026-11-26-syncs.md).
 */
export class PowerSync {
  readonly #path: string;
  readonly #database: Database;
  readonly #fdatasync: Fdatasync;
  readonly #timeoutMs: number;
  readonly #room: WalRoom;
  readonly #shortSyncs = new ShortSyncs();
  #waiting: Waiting[] = [];
  #isRunning = false;
  /**
   * After a failed sync the system may have dropped the pages that it could not write, and a second sync would
   * succeed without them: only a checkpoint, which writes them anew into the database, ends that doubt.
   */
  #isInDoubt = false;
  #descriptor: number | undefined;

  constructor(path: string, database: Database, timeoutMs: number, fdatasyncOf: Fdatasync = FDATASYNC) {
    this.#path = path;
    this.#database = database;
    this.#timeoutMs = timeoutMs;
    this.#fdatasync = fdatasyncOf;
    this.#room = new WalRoom(database);
  }

  /**
   * Resolves when all that was committed before the call survives a loss of power.
   * @throws {StoreError} `durability-unknown`: it is committed, but may not survive.
   */
  confirm(): Promise<void> {
    return new Promise((resolve, reject) => {
      this.#waiting.push({ resolve, reject });
      if (this.#isRunning) return;
      this.#isRunning = true;
      // Not before all that was committed together has asked.
      process.nextTick(() => void this.#run());
    });
  }

  /** To be called when nothing waits any more. */
  async close(): Promise<void> {
    if (this.#descriptor !== undefined) await closeFile(this.#descriptor);
    this.#descriptor = undefined;
  }

  async #run(): Promise<void> {
    while (this.#waiting.length > 0) {
      const group = this.#waiting;
      this.#waiting = [];
      try {
        if (this.#isInDoubt) await this.#checkpoint();
        else await this.#sync(group.length === 1);
        for (const { resolve } of group) resolve();
      } catch (error) {
        this.#isInDoubt = true;
        for (const { reject } of group) reject(durabilityUnknown(this.#path, error));
      }
    }
    this.#isRunning = false;
  }

  /** @param isAlone one caller waits: others would have something to do meanwhile. */
  async #sync(isAlone: boolean): Promise<void> {
    const isFirst = this.#descriptor === undefined;
    const descriptor = (this.#descriptor ??= await this.#openWal());
    const isLong = this.#room.make(descriptor) || isFirst;
    if (!isAlone || isLong || !this.#shortSyncs.mayStop()) return this.#fdatasync.later(descriptor);
    const start = performance.now();
    this.#fdatasync.now(descriptor);
    this.#shortSyncs.took(performance.now() - start);
  }

  /** SQLite has made the WAL by now: it is opened after a commit. */
  async #openWal(): Promise<number> {
    // Windows cannot sync a folder, and needs a writable descriptor to sync a file.
    if (process.platform !== "win32") {
      const folder = await openFile(dirname(this.#path), "r");
      try {
        await syncFolder(folder);
      } finally {
        await closeFile(folder);
      }
    }
    return openFile(`${this.#path}-wal`, "r+");
  }

  async #checkpoint(): Promise<void> {
    const deadline = performance.now() + this.#timeoutMs;
    const truncate = this.#database.prepare("PRAGMA wal_checkpoint(TRUNCATE)");
    for (let attempt = 0; ; attempt++) {
      const isBlocked = truncate.get()?.[0] !== 0;
      if (!isBlocked) break;
      if (performance.now() >= deadline) throw new Error("a checkpoint was blocked by another process");
      await sleep(pauseMs(attempt));
    }
    this.#isInDoubt = false;
  }
}

function durabilityUnknown(path: string, cause: unknown): StoreError {
  return new StoreError(
    "durability-unknown",
    `The log ${path} could not be synced to disk: what was appended is committed, but may not survive a loss of power. Check the disk; an identical retry confirms it.`,
    { cause, details: { path } },
  );
}
