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
  /** The last of them, and where what it inserted ends. */
  #newest: Splice | undefined;
  #end = 0;
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
  add([at, del, ins]: Splice, now: number): void {
    this.#mark(ins.length, now);
    if (this.#newest !== undefined && del === 0 && at === this.#end) this.#newest[2] += ins;
    else this.#splices.push((this.#newest = [at, del, ins]));
    this.#end = at + ins.length;
  }

  /** As `add`, of a pure insertion: the commonest delta, without an object made for it. */
  insert(at: number, ins: string, now: number): void {
    if (this.#newest === undefined || at !== this.#end) return this.add([at, 0, ins], now);
    this.#mark(ins.length, now);
    this.#newest[2] += ins;
    this.#end += ins.length;
  }

  #mark(units: number, now: number): void {
    if (this.isEmpty) this.#time = this.#last = now;
    this.#marks.push(Math.max(0, now - this.#last), units);
    this.#last = Math.max(now, this.#last);
    this.#units += units;
  }

  take(): CoalescedDeltas | undefined {
    if (this.isEmpty) return undefined;
    const marks = this.#marks.length > 2 ? inPairs(this.#marks) : undefined;
    const taken = { time: this.#time, splices: this.#splices, marks };
    this.#splices = [];
    this.#newest = undefined;
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
