import { NumberSet } from "./verify-number-set.ts";

/** Digits of an event's id before its counter. */
const PREFIX_LENGTH = 24;

/** A set of event ids. Those that writers make, a prefix and a counter, take next to no room. */
export class EventIdSet {
  readonly #counters = new Map<string, NumberSet>();

  /** False where it is in the set already, or is no id. */
  add(id: string): boolean {
    const prefix = id.slice(0, PREFIX_LENGTH);
    let counters = this.#counters.get(prefix);
    if (counters === undefined) {
      counters = new NumberSet();
      this.#counters.set(prefix, counters);
    }
    const counter = Number.parseInt(id.slice(PREFIX_LENGTH), 16);
    return Number.isSafeInteger(counter) && counters.add(counter);
  }
}
