import type { RecordedEvent } from "../event-log.ts";
import type { CommittedState } from "./committed-state.ts";
import type { PackedPlace } from "./log-tables.ts";
import { type PackedRun, type StoredEvent, decodePackedRow, recordedEventOf } from "./stored-rows.ts";

const SMALLEST_WINDOW = 64;
const LARGEST_WINDOW = 1_024;
/** Who follows takes what is new on the writer's event loop, which is not to stop for long. */
const MOST_RECENT = 128;
/** UTF-16 units of text, about, that a window decodes before it is made shorter. */
const WINDOW_UNITS = 2_097_152;
/** The same of rows that are kept for the next window; more are decoded again. */
const CARRIED_UNITS = 33_554_432;

interface Window {
  readonly first: number;
  /** Inclusive. */
  readonly last: number;
  readonly hot: readonly StoredEvent[];
  /** Packed rows that begin in it, and those carried from before. */
  readonly runs: LoadedRun[];
}

interface LoadedRun {
  readonly run: PackedRun;
  readonly place: PackedPlace;
  /** First of its events that no window has passed. */
  next: number;
}

/**
 * Reads all streams by windows of positions. A window is looked at in one transaction, in hot and in packed rows,
 * and the cursor is a position: rows that are packed between two windows are neither missed nor doubled. Decoded
 * rows that reach beyond a window are carried to the next one; that is a cache and nothing else.
 */
export class PositionCursor {
  readonly #state: CommittedState;
  readonly #streamPrefix: string;
  #after: number;
  #window: number;
  #carried: LoadedRun[] = [];

  /** @param sizeHint how many events are wanted, at least: a short read does not decode a long window. */
  constructor(state: CommittedState, after: number, streamPrefix: string, sizeHint: number) {
    this.#state = state;
    this.#after = after;
    this.#streamPrefix = streamPrefix;
    this.#window = Math.min(LARGEST_WINDOW, Math.max(SMALLEST_WINDOW, sizeHint));
  }

  /** Every matching event up to here has been returned. */
  get position(): number {
    return this.#after;
  }

  /** True where the last page ended with the newest event that there was. */
  get isAtHead(): boolean {
    return this.#after >= this.#state.highestPosition;
  }

  /**
   * The events of the next window, perhaps none; undefined at the log's end. Inside a transaction, after `sync`.
   * @throws {DamageError} `damaged-row`
   */
  nextPage(): RecordedEvent[] | undefined {
    const head = this.#state.highestPosition;
    if (this.#after >= head) return undefined;
    const first = this.#after + 1;
    const window = this.#loadWindow(first, Math.min(this.#after + this.#window, head));
    const { last, hot, runs } = window;
    const slots: (RecordedEvent | undefined)[] = [];
    let found = 0;
    for (const run of runs) found += takeFrom(run, window, slots);
    for (const event of hot) {
      // A packed row may hold it as well, where another process packed it.
      if (slots[event.position - first] !== undefined || !event.stream.startsWith(this.#streamPrefix))
        continue;
      slots[event.position - first] = recordedEventOf(event);
      found += 1;
    }
    let isHole = runs.length === 0 && hot.length === 0;
    // With an event at every position there is nothing left that rows from before the window could hold.
    if (found < last - first + 1 && hot.length < last - first + 1) {
      isHole = !this.#takeOverlapping(window, slots) && isHole;
    }
    this.#carry(runs);
    this.#window = Math.min(LARGEST_WINDOW, this.#window * 2);
    this.#after = isHole ? endOfHole(this.#state, last, head) : last;
    return slots.filter((event) => event !== undefined);
  }

  /** As `nextPage`, out of what this process has just committed; undefined where the next event is not among that. */
  nextRecentPage(): RecordedEvent[] | undefined {
    const recent = this.#state.recent.from(this.#after + 1, MOST_RECENT);
    if (recent === undefined) return undefined;
    this.#carried = [];
    this.#after += recent.length;
    const isWanted = ({ stream }: StoredEvent): boolean => stream.startsWith(this.#streamPrefix);
    return recent.filter(isWanted).map(recordedEventOf);
  }

  /** What is hot in the window, and the packed rows that begin in it. Too large together, they make it shorter. */
  #loadWindow(first: number, last: number): Window {
    const hot = this.#state.hot.between(first, last);
    const runs = [...this.#carried];
    if (hot.length === last - first + 1) return { first, last, hot, runs };
    let units = 0;
    for (const place of this.#state.tables.placesBetween(first, last)) {
      if (units > WINDOW_UNITS && place.firstPosition > first) {
        const end = place.firstPosition - 1;
        return { first, last: end, hot: hot.filter((event) => event.position <= end), runs };
      }
      for (const loaded of this.#load(place)) {
        units += loaded.run.textUnits;
        runs.push(loaded);
      }
    }
    return { first, last, hot, runs };
  }

  /** Takes what rows from before the window hold of it. Kept for the next one are as many as may be carried. */
  #takeOverlapping(window: Window, slots: (RecordedEvent | undefined)[]): boolean {
    const { runs } = window;
    const known = new Set(runs.map(({ place }) => place.firstPosition));
    let units = runs.reduce((sum, { run }) => sum + run.textUnits, 0);
    let hasAny = false;
    for (const place of this.#state.tables.placesOverlapping(window.first)) {
      if (known.has(place.firstPosition)) continue;
      for (const loaded of this.#load(place)) {
        hasAny = true;
        takeFrom(loaded, window, slots);
        units += loaded.run.textUnits;
        if (units <= CARRIED_UNITS) runs.push(loaded);
      }
    }
    return hasAny;
  }

  #load(place: PackedPlace): LoadedRun[] {
    if (!place.stream.startsWith(this.#streamPrefix)) return [];
    const row = this.#state.tables.packedAt(place.firstPosition);
    return row === undefined ? [] : [{ run: decodePackedRow(place.stream, row), place, next: 0 }];
  }

  #carry(runs: readonly LoadedRun[]): void {
    this.#carried = [];
    let units = 0;
    for (const loaded of runs) {
      if (loaded.next >= loaded.run.count) continue;
      units += loaded.run.textUnits;
      if (units <= CARRIED_UNITS) this.#carried.push(loaded);
    }
  }
}

/** Truncation leaves holes of any length, which are not walked through window by window: where the next event is. */
export function endOfHole(state: CommittedState, last: number, head: number): number {
  const nextHot = state.hot.nextPosition(last) ?? Infinity;
  const nextPacked = state.tables.nextPlace(last) ?? Infinity;
  return Math.min(head, Math.max(last, Math.min(nextHot, nextPacked) - 1));
}

/** Puts the run's events of the window into their places; returns how many places were empty. */
function takeFrom(loaded: LoadedRun, { first, last }: Window, slots: (RecordedEvent | undefined)[]): number {
  const { run } = loaded;
  let found = 0;
  for (; loaded.next < run.count; loaded.next++) {
    const position = run.positions[loaded.next] ?? Infinity;
    if (position > last) break;
    if (position < first || slots[position - first] !== undefined) continue;
    slots[position - first] = run.recordedEvent(loaded.next);
    found += 1;
  }
  return found;
}
