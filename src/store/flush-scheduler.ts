/** Something with deltas that wait for the end of the window. */
export interface Flushable {
  flushWindow(): void;
}

const MOST_FLUSHED_AT_ONCE = 256;

/**
 * One window for all turns of a store: the first delta opens it, its end flushes every turn that has deltas, so
 * that they share a commit. The timer holds the process open while something is not flushed.
 */
export class FlushScheduler {
  readonly #intervalMs: number;
  readonly #waiting = new Set<Flushable>();
  #timer: NodeJS.Timeout | NodeJS.Immediate | undefined;
  /** Of a window that is over, what has not been flushed yet. */
  #ended: Flushable[] = [];
  #rest: NodeJS.Immediate | undefined;

  /** @param intervalMs length of the window; 0 is the end of the tick. */
  constructor(intervalMs: number) {
    this.#intervalMs = intervalMs;
  }

  schedule(target: Flushable): void {
    this.#waiting.add(target);
    if (this.#timer !== undefined) return;
    const end = (): void => this.#endWindow();
    this.#timer = this.#intervalMs === 0 ? setImmediate(end) : setTimeout(end, this.#intervalMs);
  }

  /** Forgets the open window: its turns have been flushed otherwise. */
  stop(): void {
    clearTimeout(this.#timer as NodeJS.Timeout | undefined);
    clearImmediate(this.#timer as NodeJS.Immediate | undefined);
    clearImmediate(this.#rest);
    this.#timer = this.#rest = undefined;
    this.#waiting.clear();
    this.#ended = [];
  }

  #endWindow(): void {
    this.#timer = undefined;
    for (const target of this.#waiting) this.#ended.push(target);
    this.#waiting.clear();
    if (this.#rest === undefined) this.#flushEnded();
  }

  /** A thousand turns at once would stop the event loop: some of them, and the rest in its next turn. */
  #flushEnded(): void {
    const targets = this.#ended.splice(0, MOST_FLUSHED_AT_ONCE);
    if (this.#ended.length > 0) {
      this.#rest = setImmediate(() => {
        this.#rest = undefined;
        this.#flushEnded();
      });
    }
    for (const target of targets) target.flushWindow();
  }
}
