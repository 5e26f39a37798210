import { setImmediate as nextTick } from "node:timers/promises";
import { StateError } from "../errors.ts";

export interface TransferProgress {
  /** Events seen. */
  events: number;
  /** Position in the source, and up to where it goes. */
  position: number;
  head: number;
}

export interface TransferPaceOptions {
  onProgress?: ((progress: TransferProgress) => void) | undefined;
  /** Stops in an orderly way: the same call goes on from there. */
  signal?: AbortSignal | undefined;
}

const EVENTS_A_REPORT = 1_000;

/** Counts what passes, reports it, lets others have their turn, and stops when it is told to. */
export class TransferPace {
  events = 0;
  readonly #head: number;
  readonly #options: TransferPaceOptions;

  constructor(head: number, options: TransferPaceOptions) {
    this.#head = head;
    this.#options = options;
  }

  /** @throws {StateError} `transfer-interrupted` */
  async pass({ position }: { position: number }): Promise<void> {
    const { onProgress, signal } = this.#options;
    if (signal?.aborted === true) {
      throw new StateError(
        "transfer-interrupted",
        "It was interrupted. What was copied is complete; run it again to go on.",
        { cause: signal.reason },
      );
    }
    this.events += 1;
    if (this.events % EVENTS_A_REPORT !== 0) return;
    onProgress?.({ events: this.events, position, head: this.#head });
    await nextTick();
  }
}
