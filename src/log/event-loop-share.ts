import { FairQueue } from "./fair-queue.ts";

/**
 * Lets those that ask go on at once while there are few, and spreads them over rounds of the event loop where a thousand
 * sessions ask in the same moment, or one asks again and again: nothing else would have its turn until the last of them
 * was done.
 */
export class EventLoopShare {
  readonly #shareMs: number;
  readonly #now: () => number;
  readonly #queue: FairQueue;
  #roundBegan: number | undefined;

  /**
   * @param shareMs how much of a round they may take before the others wait for the next one
   * @param atOnce so many of those that wait go on in a round (see `FairQueue`)
   * @param now a clock that is never set, ms
   */
  constructor(shareMs: number, atOnce: number, now: () => number = () => performance.now()) {
    this.#shareMs = shareMs;
    this.#queue = new FairQueue(atOnce);
    this.#now = now;
  }

  /** Undefined where the caller may go on; else resolves in a later round, in the order of the calls. */
  turn(): Promise<void> | undefined {
    if (this.#queue.isWaitedFor) return this.#queue.turn();
    if (this.#roundBegan === undefined) {
      this.#roundBegan = this.#now();
      setImmediate(() => (this.#roundBegan = undefined));
    } else if (this.#now() - this.#roundBegan >= this.#shareMs) return this.#queue.turn();
    return undefined;
  }
}
