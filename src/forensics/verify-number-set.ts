const BITS_PER_CHUNK = 65_536;
/** More numbers are kept as bits. */
const MOST_LISTED = 256;

/**
 * A set of integers from 0, most of which follow each other: a million of them take a few hundred kilobytes, and a
 * lonely one, however large, no more than itself.
 */
export class NumberSet {
  #listed: Set<number> | undefined = new Set();
  readonly #chunks = new Map<number, Uint8Array>();
  #size = 0;
  #largest = -1;

  get size(): number {
    return this.#size;
  }

  /** -1 for an empty set. */
  get largest(): number {
    return this.#largest;
  }

  /** False where it is in the set already. */
  add(value: number): boolean {
    if (!this.#add(value)) return false;
    this.#size += 1;
    this.#largest = Math.max(this.#largest, value);
    return true;
  }

  #add(value: number): boolean {
    if (this.#listed === undefined) return this.#setBit(value);
    if (this.#listed.has(value)) return false;
    this.#listed.add(value);
    if (this.#listed.size > MOST_LISTED) {
      for (const each of this.#listed) this.#setBit(each);
      this.#listed = undefined;
    }
    return true;
  }

  #setBit(value: number): boolean {
    const number = Math.floor(value / BITS_PER_CHUNK);
    let chunk = this.#chunks.get(number);
    if (chunk === undefined) {
      chunk = new Uint8Array(BITS_PER_CHUNK / 8);
      this.#chunks.set(number, chunk);
    }
    const bit = value % BITS_PER_CHUNK;
    const mask = 1 << (bit & 7);
    const byte = chunk[bit >> 3] ?? 0;
    if ((byte & mask) !== 0) return false;
    chunk[bit >> 3] = byte | mask;
    return true;
  }

  has(value: number): boolean {
    if (this.#listed !== undefined) return this.#listed.has(value);
    const bit = value % BITS_PER_CHUNK;
    const byte = this.#chunks.get(Math.floor(value / BITS_PER_CHUNK))?.[bit >> 3] ?? 0;
    return (byte & (1 << (bit & 7))) !== 0;
  }

  /** In ascending order. */
  *values(): Generator<number> {
    if (this.#listed !== undefined) {
      yield* [...this.#listed].toSorted((a, b) => a - b);
      return;
    }
    for (const number of [...this.#chunks.keys()].toSorted((a, b) => a - b)) {
      const chunk = this.#chunks.get(number) ?? new Uint8Array();
      for (let bit = 0; bit < chunk.length * 8; bit++) {
        if (((chunk[bit >> 3] ?? 0) & (1 << (bit & 7))) !== 0) yield number * BITS_PER_CHUNK + bit;
      }
    }
  }

  /** What is missing between 0 and the largest, as ranges, both ends included. */
  *holes(): Generator<{ from: number; to: number }> {
    let next = 0;
    for (const value of this.values()) {
      if (value > next) yield { from: next, to: value - 1 };
      next = value + 1;
    }
  }
}
