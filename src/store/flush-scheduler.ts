import { eventLoopRounds } from "../log/event-loop-rounds.ts";

/** Something with deltas that wait for the end of the window. */
export interface Flushable {
  flushWindow(): void;
}

const SHORTEST_WINDOW_MS = 20;
const LONGEST_WINDOW_MS = 100;
/** Each turn of a window costs an append: longer windows of many turns keep that a small share of the time. */
const WINDOW_MS_PER_TURN = 0.1;
/** Turns that are flushed before the event loop has its turn again. */
const TURNS_IN_SLICE = 32;

/**
 * One window for all turns of a store: the first delta opens it, its end flushes every turn that has deltas, so
 * that they share commits. The timer holds the process open while something is not flushed.
 */
export class FlushScheduler {
  readonly #intervalMs: number | undefined;
  /** Turns with deltas in the open window. */
  #waiting = new Set<Flushable>();
  #window: NodeJS.Timeout | NodeJS.Immediate | undefined;
  #turnsInLastWindow = 0;
  /** Turns of windows that have ended, and how many of them have been flushed. */
  #due: Flushable[] = [];
  #flushed = 0;
  #takeBackSlice: (() => void) | undefined;

  /**
   * @param intervalMs length of a window; 0 is the end of the tick. Default: 20, and 0.1 for each turn above 200 that
   * streams at once, at most 100.
   */
  constructor(intervalMs?: number) {
    this.#intervalMs = intervalMs;
  }

  schedule(target: Flushable): void {
    this.#waiting.add(target);
    if (this.#window !== undefined) return;
    const end = (): void => this.#endWindow();
    const windowMs = this.#intervalMs ?? windowMsFor(this.#turnsInLastWindow);
    this.#window = windowMs === 0 ? setImmediate(end) : setTimeout(end, windowMs);
  }

  /** Forgets all windows: their turns have been flushed otherwise. */
  stop(): void {
    clearTimeout(this.#window as NodeJS.Timeout | undefined);
    clearImmediate(this.#window as NodeJS.Immediate | undefined);
    this.#takeBackSlice?.();
    this.#window = this.#takeBackSlice = undefined;
    this.#waiting.clear();
    this.#due = [];
    this.#flushed = 0;
  }

  #endWindow(): void {
    this.#window = undefined;
    this.#turnsInLastWindow = this.#waiting.size;
    this.#due.push(...this.#waiting);
    this.#waiting = new Set();
    if (this.#takeBackSlice !== undefined) return;
    // A few turns go at once; many share the round with what else can wait.
    if (this.#due.length <= TURNS_IN_SLICE) this.#flushSlice();
    else this.#scheduleSlice();
  }

  #scheduleSlice(): void {
    this.#takeBackSlice = eventLoopRounds.schedule(() => this.#flushSlice());
  }

  #flushSlice(): void {
    this.#takeBackSlice = undefined;
    const end = Math.min(this.#due.length, this.#flushed + TURNS_IN_SLICE);
    for (; this.#flushed < end; this.#flushed++) this.#due[this.#flushed]?.flushWindow();
    if (end < this.#due.length) return this.#scheduleSlice();
    this.#due = [];
    this.#flushed = 0;
  }
}

function windowMsFor(turns: number): number {
  return Math.min(LONGEST_WINDOW_MS, Math.max(SHORTEST_WINDOW_MS, turns * WINDOW_MS_PER_TURN));
}
