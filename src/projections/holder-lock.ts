import { Database, isBusy } from "../log/sqlite/engine.ts";

/**
 * A lock over processes that the operating system releases when its holder dies, however it dies: the write lock of
 * a small SQLite file of its own. No pid file can be stale.
 */
export class HolderLock {
  readonly #path: string | undefined;
  #database: Database | undefined;

  /** @param path of the lock's file; undefined for a lock that nobody else can want. */
  constructor(path: string | undefined) {
    this.#path = path;
  }

  get isHeld(): boolean {
    return this.#database !== undefined;
  }

  /** False where another holds it. */
  tryAcquire(): boolean {
    if (this.#path === undefined || this.#database !== undefined) return true;
    const database = new Database(this.#path);
    try {
      database.exec("PRAGMA journal_mode = DELETE; BEGIN EXCLUSIVE");
    } catch (error) {
      database.close();
      if (isBusy(error)) return false;
      throw error;
    }
    this.#database = database;
    return true;
  }

  release(): void {
    const database = this.#database;
    this.#database = undefined;
    // A connection that is closed with prepared statements lives on, with its lock, until they are collected.
    database?.exec("ROLLBACK");
    database?.close();
  }
}
