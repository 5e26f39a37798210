import { firstIndexAbove } from "../first-index-above.ts";
import type { StoredEvent } from "./stored-rows.ts";

interface IndexedRow {
  readonly position: number;
  readonly bytes: number;
  readonly events: readonly StoredEvent[];
  /** Events that are not known to be packed. */
  live: number;
}

const keyOf = ({ position }: IndexedRow): number => position;

/** Keys of rows, both inclusive. */
export type KeyRange = readonly [first: number, last: number];

interface HotStream {
  /** Live events, in order of revision, and the row of each. */
  events: StoredEvent[];
  rows: IndexedRow[];
}

/**
 * The hot rows in memory: by position and by stream. An event whose stream another process has packed may still
 * count as live here; a packed row then holds the same event at the same position.
 */
export class HotIndex {
  /** In order of position. */
  #rows: IndexedRow[] = [];
  /** Streams that have live events. */
  readonly #streams = new Map<string, HotStream>();
  #events = 0;
  #bytes = 0;

  get rowCount(): number {
    return this.#rows.length;
  }

  get eventCount(): number {
    return this.#events;
  }

  get byteCount(): number {
    return this.#bytes;
  }

  get newestEvent(): StoredEvent | undefined {
    return this.#rows.at(-1)?.events.at(-1);
  }

  clear(): void {
    this.#rows = [];
    this.#streams.clear();
    this.#events = 0;
    this.#bytes = 0;
  }

  /** Takes in a row above all others. */
  add(position: number, bytes: number, events: readonly StoredEvent[]): void {
    const row: IndexedRow = { position, bytes, events, live: events.length };
    this.#rows.push(row);
    this.#events += events.length;
    this.#bytes += bytes;
    for (const event of events) {
      let stream = this.#streams.get(event.stream);
      if (stream === undefined) {
        stream = { events: [], rows: [] };
        this.#streams.set(event.stream, stream);
      }
      stream.events.push(event);
      stream.rows.push(row);
    }
  }

  /** Keeps the rows with these keys (in order) and forgets the others, which other processes have dropped. */
  keepOnly(positions: readonly number[]): void {
    const keep = new Set(positions);
    const kept = this.#rows.filter((row) => keep.has(row.position));
    this.clear();
    for (const row of kept) this.add(row.position, row.bytes, row.events);
  }

  /** A stream's live events, in order of revision. */
  stream(name: string): readonly StoredEvent[] {
    return this.#streams.get(name)?.events ?? [];
  }

  /** Streams with at least so many live events. */
  streamsWithAtLeast(count: number): string[] {
    return [...this.#streams].filter(([, stream]) => stream.events.length >= count).map(([name]) => name);
  }

  /** Streams with live events in the oldest row. */
  streamsOfOldestRow(): string[] {
    const streams = new Set<string>();
    for (const event of this.#rows[0]?.events ?? []) if (this.#isLive(event)) streams.add(event.stream);
    return [...streams];
  }

  /** The keys of the rows that hold events of a stream, spent ones included, with their events. */
  rowsHolding(stream: string): { position: number; events: readonly StoredEvent[] }[] {
    return this.#rows.filter((row) => row.events.some((event) => event.stream === stream));
  }

  /** Live events between two positions, inclusive, in order. */
  between(first: number, last: number): StoredEvent[] {
    const found: StoredEvent[] = [];
    for (let index = this.#rowIndexBefore(first); index < this.#rows.length; index++) {
      const row = this.#rows[index];
      if (row === undefined || row.position > last) break;
      for (const event of row.events) {
        if (event.position >= first && event.position <= last && this.#isLive(event)) found.push(event);
      }
    }
    return found;
  }

  /** Position of the first live event above, undefined where there is none. */
  nextPosition(above: number): number | undefined {
    for (let index = this.#rowIndexBefore(above); index < this.#rows.length; index++) {
      const event = this.#rows[index]?.events.find((event) => event.position > above && this.#isLive(event));
      if (event !== undefined) return event.position;
    }
    return undefined;
  }

  /**
   * Notes that a stream's events up to `revision` are packed. Gives the ranges of keys between which no row holds
   * anything else any more: one range for a stream that was alone, a range a row where others are in between.
   */
  markPacked(name: string, revision: number): KeyRange[] {
    const stream = this.#streams.get(name);
    if (stream === undefined) return [];
    const firstAbove = stream.events.findIndex((event) => event.revision > revision);
    const count = firstAbove === -1 ? stream.events.length : firstAbove;
    const spent: IndexedRow[] = [];
    for (const row of stream.rows.slice(0, count)) {
      row.live -= 1;
      if (row.live === 0) spent.push(row);
    }
    if (count === stream.events.length) this.#streams.delete(name);
    else {
      stream.events = stream.events.slice(count);
      stream.rows = stream.rows.slice(count);
    }
    const ranges: KeyRange[] = [];
    // From behind, so that what is removed moves no row that is still to be.
    for (let index = spent.length - 1; index >= 0; index--) {
      const [first, last] = this.#removeSpentAround(spent[index]?.position ?? 0);
      ranges.push([first, last]);
      while (index > 0 && (spent[index - 1]?.position ?? 0) >= first) index--;
    }
    return ranges;
  }

  #isLive(event: StoredEvent): boolean {
    const oldest = this.#streams.get(event.stream)?.events[0];
    return oldest !== undefined && event.revision >= oldest.revision;
  }

  /** Removes a row that holds nothing any more, and those around it that do not either. */
  #removeSpentAround(position: number): KeyRange {
    const rows = this.#rows;
    let first = this.#rowIndexBefore(position);
    let last = first;
    // Never a row that holds something: what is between these keys is deleted.
    if (rows[first]?.live !== 0) return [position, position];
    while (rows[first - 1]?.live === 0) first--;
    while (rows[last + 1]?.live === 0) last++;
    const removed = rows.splice(first, last - first + 1);
    for (const row of removed) {
      this.#events -= row.events.length;
      this.#bytes -= row.bytes;
    }
    return [removed[0]?.position ?? position, removed.at(-1)?.position ?? position];
  }

  /** Index of the last row whose key is at or below `position`, 0 where there is none. */
  #rowIndexBefore(position: number): number {
    return Math.max(0, firstIndexAbove(this.#rows, position, keyOf) - 1);
  }
}
