import { fstatSync, writeSync } from "node:fs";
import { type Database, isBusy } from "./engine.ts";

/** A process that syncs a few times and ends would write the zeros for nothing. */
const SYNCS_BEFORE_ROOM = 4;
const FIRST_ROOM_BYTES = 131_072;
const MOST_ROOM_BYTES = 4_194_304;

/**
 * Keeps zeros behind the end of the WAL. A sync of what overwrites them takes half the time of one of what makes the
 * file longer: the file system need not write its own journal. For SQLite they are what an earlier WAL may leave there:
 * a frame of page 0 is none (https://www.sqlite.org/walformat.html).
 */
export class WalRoom {
  readonly #database: Database;
  #syncs = 0;
  #bytes = FIRST_ROOM_BYTES;
  /** The file's size with the zeros: as long as it has it, SQLite has not got beyond them. */
  #size = -1;
  #isOff = false;

  constructor(database: Database) {
    this.#database = database;
  }

  /**
   * To be called before each sync, outside a transaction.
   * @returns true where it has written zeros, and the sync takes longer for it.
   */
  make(descriptor: number): boolean {
    this.#syncs += 1;
    if (this.#isOff || this.#syncs <= SYNCS_BEFORE_ROOM || fstatSync(descriptor).size === this.#size)
      return false;
    try {
      // With the write lock, so that nobody makes the file longer or shorter meanwhile.
      return this.#database.write(() => this.#append(descriptor));
    } catch (error) {
      // No room on the disk, say. It is only to be faster.
      this.#isOff = !isBusy(error);
      return false;
    }
  }

  #append(descriptor: number): boolean {
    const { size } = fstatSync(descriptor);
    const bytes = this.#bytes;
    this.#size = size + writeSync(descriptor, Buffer.alloc(bytes), 0, bytes, size);
    this.#bytes = Math.min(MOST_ROOM_BYTES, bytes * 2);
    return true;
  }
}
