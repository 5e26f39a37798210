/** How much of a round of the event loop commands may take before the others wait for the next one, ms. */
const SHARE_MS = 4;
/** Those that wait go on so many in a round, or a sixteenth of them: rounds may be long, for reasons of others. */
const AT_ONCE = 64;

/**
 * Lets commands run at once while there are few, and spreads them over rounds of the event loop where a thousand
 * sessions call in the same moment: nothing else would have its turn until the last of them was encoded.
 */
export class EventLoopShare {
  readonly #now: () => number;
  #roundBegan: number | undefined;
  #waiting: (() => void)[] = [];
  #next = 0;

  /** @param now a clock that is never set, ms */
  constructor(now: () => number = () => performance.now()) {
    this.#now = now;
  }

  /** Undefined where the caller may go on; else resolves in a later round, in the order of the calls. */
  turn(): Promise<void> | undefined {
    if (this.#next < this.#waiting.length) return this.#wait();
    if (this.#roundBegan === undefined) this.#beginRound();
    else if (this.#now() - this.#roundBegan >= SHARE_MS) return this.#wait();
    return undefined;
  }

  #wait(): Promise<void> {
    return new Promise((resolve) => void this.#waiting.push(resolve));
  }

  #beginRound(): void {
    this.#roundBegan = this.#now();
    setImmediate(() => this.#endRound());
  }

  #endRound(): void {
    this.#roundBegan = undefined;
    const left = this.#waiting.length - this.#next;
    const end = this.#next + Math.min(left, Math.max(AT_ONCE, left >> 4));
    if (left === 0) return;
    this.#beginRound();
    while (this.#next < end) this.#waiting[this.#next++]?.();
    if (this.#next < this.#waiting.length) return;
    this.#waiting = [];
    this.#next = 0;
  }
}
