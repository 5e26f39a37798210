import type { ReplayStep } from "./replay.ts";

/** What a timer can wait, ms. */
const LONGEST_TIMER_MS = 2 ** 31 - 1;

export interface PlayerClock {
  /** Ms from any start; never goes back. */
  now(): number;
  /** Returns what cancels it. */
  after(ms: number, run: () => void): () => void;
}

const systemClock: PlayerClock = {
  now: () => performance.now(),
  after: (ms, run) => {
    const timer = setTimeout(run, ms);
    return () => clearTimeout(timer);
  },
};

export interface PlayerOptions {
  /** 2 is twice as fast. Above 0. */
  speed?: number | undefined;
  /** Told whenever something is to be shown anew. */
  onChange?: (() => void) | undefined;
  clock?: PlayerClock | undefined;
}

/** Ms to wait before a step; a repair came when somebody ran it, which is no part of what is replayed. */
export function waitBefore({ waitMs, changes }: ReplayStep): number {
  return changes.some((change) => change.kind === "turn-ended" && change.isRepair) ? 0 : waitMs;
}

/**
 * Goes through steps at their recorded times, and by hand. Each step is due at its distance from the one before, so
 * that what showing them costs does not add up.
 */
export class ReplayPlayer {
  readonly #steps: readonly ReplayStep[];
  readonly #clock: PlayerClock;
  readonly #onChange: () => void;
  #speed: number;
  /** How many steps are shown. */
  #shown = 0;
  #isPaused = true;
  #due = 0;
  #cancel: (() => void) | undefined;

  constructor(steps: readonly ReplayStep[], options: PlayerOptions = {}) {
    this.#steps = steps;
    this.#clock = options.clock ?? systemClock;
    this.#speed = options.speed ?? 1;
    this.#onChange = options.onChange ?? ((): void => undefined);
  }

  get shown(): number {
    return this.#shown;
  }

  get state(): "playing" | "paused" | "end" {
    if (this.#shown === this.#steps.length) return "end";
    return this.#isPaused ? "paused" : "playing";
  }

  get speed(): number {
    return this.#speed;
  }

  set speed(speed: number) {
    this.#speed = speed;
    this.#restart();
  }

  play(): void {
    this.#isPaused = false;
    this.#restart();
  }

  pause(): void {
    this.#isPaused = true;
    this.#restart();
  }

  /** At the end it plays from the start. */
  toggle(): void {
    if (this.state === "end") this.#shown = 0;
    else if (!this.#isPaused) return this.pause();
    this.play();
  }

  /** One delta on (1) or back (-1); pauses. */
  stepBy(count: 1 | -1): void {
    this.#goTo(this.#shown + count);
  }

  /** To the end of the next event (1) or of the one before (-1); pauses. */
  eventBy(count: 1 | -1): void {
    const revisionAt = (shown: number): number | undefined => this.#steps[shown - 1]?.revision;
    let target = this.#shown + count;
    // An event ends where the next step is another's.
    while (target > 0 && target < this.#steps.length && revisionAt(target) === revisionAt(target + 1))
      target += count;
    this.#goTo(target);
  }

  stop(): void {
    this.#cancel?.();
    this.#cancel = undefined;
  }

  #goTo(shown: number): void {
    this.#shown = Math.min(Math.max(0, shown), this.#steps.length);
    this.pause();
  }

  /** The next step is due at its whole distance from now. */
  #restart(): void {
    this.stop();
    this.#due = this.#clock.now();
    if (this.state === "playing") this.#wait();
    this.#onChange();
  }

  #wait(): void {
    const next = this.#steps[this.#shown];
    if (next === undefined) return;
    this.#due += waitBefore(next) / this.#speed;
    this.#sleep();
  }

  #sleep(): void {
    const leftMs = this.#due - this.#clock.now();
    this.#cancel = this.#clock.after(Math.min(Math.max(0, leftMs), LONGEST_TIMER_MS), () => this.#wake());
  }

  #wake(): void {
    if (this.#clock.now() < this.#due) return this.#sleep();
    // Everything that is due is shown at once.
    while (this.state === "playing" && this.#due <= this.#clock.now()) {
      this.#shown++;
      const next = this.#steps[this.#shown];
      if (next !== undefined) this.#due += waitBefore(next) / this.#speed;
    }
    if (this.state === "playing") this.#sleep();
    this.#onChange();
  }
}
