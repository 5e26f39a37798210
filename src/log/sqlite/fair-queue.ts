/** So many go on in one round of the event loop. */
const AT_ONCE = 8;

/**
 * Lets those that ask go on one after the other, a few in each round of the event loop: a thousand sessions that are
 * opened at once must not stop it until the last of them has been read.
 */
export class FairQueue {
  #waiting: (() => void)[] = [];
  #next = 0;
  #isScheduled = false;

  /** Resolves in one of the next rounds of the event loop, in the order of the calls. */
  turn(): Promise<void> {
    return new Promise((resolve) => {
      this.#waiting.push(resolve);
      this.#schedule();
    });
  }

  #schedule(): void {
    if (this.#isScheduled) return;
    this.#isScheduled = true;
    setImmediate(() => this.#letGoOn());
  }

  #letGoOn(): void {
    this.#isScheduled = false;
    const end = Math.min(this.#waiting.length, this.#next + AT_ONCE);
    while (this.#next < end) this.#waiting[this.#next++]?.();
    if (this.#next < this.#waiting.length) this.#schedule();
    else {
      this.#waiting = [];
      this.#next = 0;
    }
  }
}
