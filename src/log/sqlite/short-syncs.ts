/**
 * A thread of the pool takes some tenths of a millisecond to be woken and to wake the event loop again. A sync that
 * takes less than this, ms, is done where it is asked for.
 */
const LONGEST_SHORT_MS = 1;
const FEWEST_BY_THREAD = 16;
const MOST_BY_THREAD = 4_096;

/**
 * Whether the next sync may stop the event loop: the last ones have told how long it takes. After a long one so many
 * are left to threads before it is tried again, twice as many each time.
 */
export class ShortSyncs {
  #byThread = FEWEST_BY_THREAD;
  #left = 0;

  /** To be asked once for each sync. */
  mayStop(): boolean {
    if (this.#left === 0) return true;
    this.#left -= 1;
    return false;
  }

  /** How long one took that stopped the event loop, ms. */
  took(ms: number): void {
    if (ms <= LONGEST_SHORT_MS) {
      this.#byThread = Math.max(FEWEST_BY_THREAD, this.#byThread / 2);
      return;
    }
    this.#left = this.#byThread;
    this.#byThread = Math.min(MOST_BY_THREAD, this.#byThread * 2);
  }
}
