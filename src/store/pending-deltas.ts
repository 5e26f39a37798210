import type { Mark, Splice } from "../events/conversation-event.ts";

/** An event longer than this is closed: readers fold events whole. UTF-16 units. */
export const LONGEST_EVENT = 65_536;

/** The deltas of one window on their way into one event. */
export interface CoalescedDeltas {
  /** Epoch ms of the first. */
  time: number;
  splices: Splice[];
  /** Absent for a single delta: its mark would repeat the event's time and the splice's length. */
  marks: Mark[] | undefined;
}

/** Coalesces deltas: text that streams in at one place becomes one splice, with a mark per delta. */
export class PendingDeltas {
  #time = 0;
  #last = 0;
  #splices: Splice[] = [];
  /** Time and units of each mark, alternating: what waits for the end of the window is thousands of deltas and no objects. */
  #marks: number[] = [];
  #units = 0;

  get isEmpty(): boolean {
    return this.#splices.length === 0;
  }

  get isFull(): boolean {
    return this.#units >= LONGEST_EVENT;
  }

  /** @param now epoch ms */
  add(splice: Splice, now: number): void {
    if (this.isEmpty) this.#time = this.#last = now;
    const units = splice[2].length;
    this.#marks.push(Math.max(0, now - this.#last), units);
    this.#last = Math.max(now, this.#last);
    this.#units += units;
    const newest = this.#splices.at(-1);
    const continues = newest !== undefined && splice[1] === 0 && splice[0] === newest[0] + newest[2].length;
    if (continues) newest[2] += splice[2];
    else this.#splices.push(splice);
  }

  take(): CoalescedDeltas | undefined {
    if (this.isEmpty) return undefined;
    const marks = this.#marks.length > 2 ? inPairs(this.#marks) : undefined;
    const taken = { time: this.#time, splices: this.#splices, marks };
    this.#splices = [];
    this.#marks = [];
    this.#units = 0;
    return taken;
  }
}

function inPairs(numbers: readonly number[]): Mark[] {
  const marks: Mark[] = [];
  for (let index = 0; index < numbers.length; index += 2)
    marks.push([numbers[index] ?? 0, numbers[index + 1] ?? 0]);
  return marks;
}
