const LONGEST_NAME = 100;
const MOST_KINDS = 1000;

/** How often each kind of something came. What an input makes up fills neither the memory nor a terminal. */
export class KindCounts {
  readonly #counts = new Map<string, number>();

  add(kind: string): void {
    const isNew = !this.#counts.has(kind);
    const counted =
      kind.length > LONGEST_NAME || (isNew && this.#counts.size >= MOST_KINDS) ? "(others)" : kind;
    this.#counts.set(counted, (this.#counts.get(counted) ?? 0) + 1);
  }

  get counts(): ReadonlyMap<string, number> {
    return this.#counts;
  }
}
