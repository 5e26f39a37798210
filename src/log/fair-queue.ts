/**
 * Lets those that ask go on one after the other, a few in each round of the event loop: a thousand sessions that are
 * opened at once must not stop it until the last of them has been read.
 */
export class FairQueue {
  readonly #atOnce: number;
  #waiting: (() => void)[] = [];
  #next = 0;
  #isScheduled = false;

  /** @param atOnce so many go on in a round, or a sixteenth of those that wait: rounds may be long, for reasons of others. */
  constructor(atOnce: number) {
    this.#atOnce = atOnce;
  }

  get isWaitedFor(): boolean {
    return this.#next < this.#waiting.length;
  }

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
    const left = this.#waiting.length - this.#next;
    const end = this.#next + Math.min(left, Math.max(this.#atOnce, left >> 4));
    while (this.#next < end) this.#waiting[this.#next++]?.();
    if (this.isWaitedFor) this.#schedule();
    else {
      this.#waiting = [];
      this.#next = 0;
    }
  }
}
