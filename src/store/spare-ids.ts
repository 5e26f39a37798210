import { isRefusal } from "./append-refusals.ts";
import { nextInBlock } from "./message-ids.ts";

/** Thrown inside a command that has no id left; the session reserves a block and asks again. */
export const NEEDS_IDS = Symbol("needs ids");

/** The message ids that a session may give: the rest of its newest block, and blocks that it has reserved and not begun. */
export class SpareIds {
  /** First ids. */
  readonly #blocks: number[] = [];

  /** @param block first id of a block that has been reserved for the session */
  add(block: number): void {
    this.#blocks.push(block);
  }

  /** Gives the ids behind `last`, in order; the blocks that it begins are noted in `begun`. What it gives throws `NEEDS_IDS`. */
  after(last: number, begun: number[]): () => number {
    return () => {
      let next = nextInBlock(last);
      if (next === undefined) {
        next = this.#blocks[begun.length];
        if (next === undefined) throw NEEDS_IDS;
        begun.push(next);
      }
      last = next;
      return next;
    };
  }

  /**
   * Runs an append of events that begin these blocks: they are spare again where it wrote nothing. After an unknown
   * outcome they may be in use: they are given up, since holes are legal and doubles are not.
   */
  async appending(begun: readonly number[], append: () => Promise<boolean>): Promise<boolean> {
    this.#blocks.splice(0, begun.length);
    let isUnused = false;
    try {
      const isAppended = await append();
      isUnused = !isAppended;
      return isAppended;
    } catch (error) {
      isUnused = isRefusal(error);
      throw error;
    } finally {
      if (isUnused) this.#blocks.unshift(...begun);
    }
  }
}
