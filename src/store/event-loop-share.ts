import { FairQueue } from "../log/fair-queue.ts";

/** How much of a round of the event loop commands may take before the others wait for the next one, ms. */
const SHARE_MS = 4;
/** Those that wait go on so many in a round. */
const AT_ONCE = 64;

/**
 * Lets commands run at once while there are few, and spreads them over rounds of the event loop where a thousand
 * sessions call in the same moment: nothing else would have its turn until the last of them was encoded.
 */
export class EventLoopShare {
  readonly #now: () => number;
  readonly #queue = new FairQueue(AT_ONCE);
  #roundBegan: number | undefined;

  /** @param now a clock that is never set, ms */
  constructor(now: () => number = () => performance.now()) {
    this.#now = now;
  }

  /** Undefined where the caller may go on; else resolves in a later round, in the order of the calls. */
  turn(): Promise<void> | undefined {
    if (this.#queue.isWaitedFor) return this.#queue.turn();
    if (this.#roundBegan === undefined) {
      this.#roundBegan = this.#now();
      setImmediate(() => (this.#roundBegan = undefined));
    } else if (this.#now() - this.#roundBegan >= SHARE_MS) return this.#queue.turn();
    return undefined;
  }
}
