interface WaitingPiece {
  /** Undefined once it has been taken back. */
  run: (() => void) | undefined;
}

/** What all that can wait takes of a round of the event loop together, before the rest waits for the next one, ms. */
const SHARE_MS = 4;
/** Pieces that have run are forgotten when there are so many. */
const MOST_SPENT = 1_024;

/**
 * Spreads what can wait over rounds of the event loop: commits, reads, commands, followers and writes of views each go in
 * pieces of a few ms, but a thousand sessions bring a piece of every kind in the same round, and nothing else has its
 * turn until the last of them is done. So they share one share of a round, and go on in the order in which they asked.
 */
export class EventLoopRounds {
  readonly #shareMs: number;
  readonly #now: () => number;
  #waiting: WaitingPiece[] = [];
  #spent = 0;
  #turnsWaiting = 0;
  #roundBegan: number | undefined;
  #ranInRound = 0;
  #leastInRound = 1;

  /** @param now a clock that is never set, ms */
  constructor(shareMs: number = SHARE_MS, now: () => number = () => performance.now()) {
    this.#shareMs = shareMs;
    this.#now = now;
  }

  /** Runs a piece in the next round, or a later one where others take the share of that; returns the way to take it back. */
  schedule(run: () => void): () => void {
    const piece: WaitingPiece = { run };
    this.#waiting.push(piece);
    // A callback for each, so that the promises that a piece resolves count as its own time.
    setImmediate(this.#runNext);
    return () => {
      piece.run = undefined;
    };
  }

  /** Undefined where the caller may go on at once; else resolves in a later round, in the order of the calls. */
  turn(): Promise<void> | undefined {
    if (this.#turnsWaiting === 0) {
      if (this.#roundBegan === undefined) this.#beginRound();
      if (this.#hasTime()) return undefined;
    }
    this.#turnsWaiting++;
    return new Promise((resolve) => {
      this.schedule(() => {
        this.#turnsWaiting--;
        resolve();
      });
    });
  }

  #hasTime(): boolean {
    return this.#now() - (this.#roundBegan ?? 0) < this.#shareMs;
  }

  #beginRound(): void {
    this.#roundBegan = this.#now();
    this.#ranInRound = 0;
    // Some of those that wait at least: rounds may be long, for reasons of others.
    this.#leastInRound = Math.max(1, (this.#waiting.length - this.#spent) >> 6);
    setImmediate(() => (this.#roundBegan = undefined));
  }

  readonly #runNext = (): void => {
    if (this.#roundBegan === undefined) this.#beginRound();
    else if (this.#ranInRound >= this.#leastInRound && !this.#hasTime()) {
      setImmediate(this.#runNext);
      return;
    }
    this.#ranInRound++;
    const piece = this.#waiting[this.#spent++];
    if (this.#spent === this.#waiting.length || this.#spent >= MOST_SPENT) {
      this.#waiting = this.#waiting.slice(this.#spent);
      this.#spent = 0;
    }
    piece?.run?.();
  };
}

/** Of the one event loop of this process, whatever is open. */
export const eventLoopRounds = new EventLoopRounds();
