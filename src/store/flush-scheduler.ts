/** Something with deltas that wait for the end of the window. */
export interface Flushable {
  flushWindow(): void;
}

/**
 * One window for all turns of a store: the first delta opens it, its end flushes every turn that has deltas, so
 * that they share a commit. The timer holds the process open while something is not flushed.
 */
export class FlushScheduler {
  readonly #intervalMs: number;
  readonly #waiting = new Set<Flushable>();
  #timer: NodeJS.Timeout | NodeJS.Immediate | undefined;

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
    this.#timer = undefined;
    this.#waiting.clear();
  }

  #endWindow(): void {
    this.#timer = undefined;
    const targets = [...this.#waiting];
    this.#waiting.clear();
    for (const target of targets) target.flushWindow();
  }
}
