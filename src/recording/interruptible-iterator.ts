/** An async iterator that a signal can interrupt while its source is silent. */
export class InterruptibleIterator<T> {
  readonly #source: AsyncIterator<T>;
  readonly #signal: AbortSignal | undefined;
  #wake: (() => void) | undefined;
  #isWaiting = false;

  constructor(source: AsyncIterator<T>, signal: AbortSignal | undefined) {
    this.#source = source;
    this.#signal = signal;
    // One listener for the whole run: racing a promise of the signal in every call would pile up reactions.
    signal?.addEventListener("abort", this.#onAbort);
  }

  readonly #onAbort = (): void => this.#wake?.();

  /** The next value; undefined at the end. */
  next(): Promise<T | "interrupted" | undefined> {
    if (this.#signal?.aborted === true) return Promise.resolve("interrupted");
    this.#isWaiting = true;
    return new Promise((resolve, reject) => {
      this.#wake = () => resolve("interrupted");
      this.#source.next().then(
        (result) => {
          this.#isWaiting = false;
          resolve(result.done === true ? undefined : result.value);
        },
        (error: unknown) => {
          this.#isWaiting = false;
          reject(error as Error);
        },
      );
    });
  }

  /** Lets go of the source; closes it, unless it is silent: a generator cannot be closed while it waits. */
  async close(): Promise<void> {
    this.#signal?.removeEventListener("abort", this.#onAbort);
    this.#wake = undefined;
    const closed = this.#source.return?.().catch(() => {
      // What an input says on being closed early is about the input alone: everything of use has been read.
    });
    if (!this.#isWaiting) await closed;
  }
}
