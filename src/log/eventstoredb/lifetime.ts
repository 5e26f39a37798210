import { setTimeout as pause } from "node:timers/promises";

/** Told what ended the lifetime. */
type Ending = (failure: Error) => void;

/** How long something is open, and what must be cancelled when it ends. Cheaper than an AbortSignal per call. */
export class Lifetime {
  readonly #endings = new Set<Ending>();
  #failure: Error | undefined;

  get isOver(): boolean {
    return this.#failure !== undefined;
  }

  /** How many calls and subscriptions are under way. */
  get size(): number {
    return this.#endings.size;
  }

  /** @returns what removes it again */
  whenOver(ending: Ending): () => void {
    if (this.#failure !== undefined) {
      ending(this.#failure);
      return () => undefined;
    }
    this.#endings.add(ending);
    return () => void this.#endings.delete(ending);
  }

  end(failure: Error): void {
    if (this.#failure !== undefined) return;
    this.#failure = failure;
    for (const ending of this.#endings) ending(failure);
    this.#endings.clear();
  }

  /** Waits, and rejects with what ended the lifetime where that comes first. */
  async pause(ms: number): Promise<void> {
    const abort = new AbortController();
    const remove = this.whenOver(() => abort.abort());
    try {
      await pause(ms, undefined, { signal: abort.signal });
    } catch {
      // Only the end of the lifetime aborts it.
    } finally {
      remove();
    }
    if (this.#failure !== undefined) throw this.#failure;
  }
}
