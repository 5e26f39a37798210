import type { CommittedState } from "./committed-state.ts";
import type { StreamRow } from "./log-tables.ts";
import { type StoredEvent, encodePackedRow } from "./stored-rows.ts";
import { liveEvents } from "./stream-pages.ts";

/** A stream with so many hot events is packed. */
export const PACKED_AT_EVENTS = 64;
const MOST_EVENTS_IN_ROW = 256;
const MOST_BYTES_IN_ROW = 262_144;

/** Bounds of what is hot, above which the oldest is packed whatever its stream. */
export interface HotBounds {
  readonly rows: number;
  readonly events: number;
  readonly bytes: number;
}

/** From this share of the bounds on, some streams are packed with each commit. */
const NEAR_BOUNDS = 0.8;

export const DEFAULT_HOT_BOUNDS: HotBounds = { rows: 4_096, events: 65_536, bytes: 16_777_216 };

/**
 * Moves events from hot rows to packed rows of their stream. Works inside the caller's write transaction and
 * changes the committed state as it goes: a transaction that fails must invalidate it.
 */
export class Packer {
  readonly #state: CommittedState;
  readonly #bounds: HotBounds;
  /** Streams to be packed, first come, first served: only so many are packed in one commit. */
  readonly #due = new Set<string>();

  constructor(state: CommittedState, bounds: HotBounds) {
    this.#state = state;
    this.#bounds = bounds;
  }

  /** Asks for a stream to be packed in this commit or one of the next. */
  request(stream: string): void {
    this.#due.add(stream);
  }

  /** Takes the streams whose turn it is. Commits of many events may pack more, so that packing keeps up. */
  takeDue(eventsInCommit: number): string[] {
    const taken: string[] = [];
    const most = Math.max(8, eventsInCommit >> 4);
    for (const stream of this.#due) {
      if (taken.length >= most) break;
      this.#due.delete(stream);
      taken.push(stream);
    }
    return taken;
  }

  /**
   * Packs a stream's hot events and, behind them, events that are being appended.
   * @throws {DamageError} `missing-events` rather than number what is left anew.
   * @returns the stream's row, undefined for a stream that has never been packed and has nothing to pack.
   */
  pack(stream: string, appended: readonly StoredEvent[] = []): StreamRow | undefined {
    const { tables } = this.#state;
    this.#due.delete(stream);
    const known = tables.stream(stream);
    const packedHead = known?.headRevision ?? -1;
    // Another process, or a crashed one, may have packed some of them already.
    const events = [...liveEvents(this.#state, stream, packedHead), ...appended];
    const last = events.at(-1);
    const first = events[0];
    if (first === undefined || last === undefined) {
      this.#dropSpent(stream, packedHead);
      return known;
    }
    this.#state.packings += 1;
    const row = known ?? tables.insertStream(stream, last.revision, first.revision);
    for (const run of rowsOf(events, tables.packSpan)) tables.insertPacked(row.id, encodePackedRow(run));
    const packed = { ...row, headRevision: last.revision };
    if (known !== undefined) tables.updateStream(packed);
    this.#dropSpent(stream, last.revision);
    return packed;
  }

  /**
   * Packs streams of the oldest hot rows: as many as events were appended while the bounds do not hold, which keeps up
   * with any streams; near the bounds a few, so that it seldom comes to that, and no commit is long: twice as many events
   * as it appended are enough then.
   */
  packOldest(eventsInCommit: number): void {
    this.#packOldest(1, Math.max(8, eventsInCommit), Infinity);
    this.#packOldest(NEAR_BOUNDS, Math.max(1, eventsInCommit >> 4), 2 * eventsInCommit);
  }

  #packOldest(shareOfBounds: number, mostStreams: number, enoughEvents: number): void {
    const { hot } = this.#state;
    let streamsLeft = mostStreams;
    let packed = 0;
    while (this.#isOverBounds(shareOfBounds)) {
      const streams = hot.streamsOfOldestRow();
      if (streams.length === 0) return;
      for (const stream of streams) {
        if (streamsLeft <= 0 || packed >= enoughEvents) return;
        packed += hot.stream(stream).length;
        streamsLeft -= 1;
        this.pack(stream);
      }
    }
  }

  #isOverBounds(share: number): boolean {
    const { hot } = this.#state;
    return (
      hot.rowCount > share * this.#bounds.rows ||
      hot.eventCount > share * this.#bounds.events ||
      hot.byteCount > share * this.#bounds.bytes
    );
  }

  #dropSpent(stream: string, packedHead: number): void {
    for (const [first, last] of this.#state.hot.markPacked(stream, packedHead)) {
      this.#state.tables.deleteHotBetween(first, last);
      this.hasDroppedRows = true;
    }
  }

  /** Set when a hot row was dropped: the tables must then say what the highest position was. */
  hasDroppedRows = false;
}

/** Cuts a stream's events into rows. */
function rowsOf(events: readonly StoredEvent[], packSpan: number): StoredEvent[][] {
  const rows: StoredEvent[][] = [];
  let row: StoredEvent[] = [];
  let bytes = 0;
  for (const event of events) {
    const { size } = event.flat;
    const isFull =
      row.length >= MOST_EVENTS_IN_ROW ||
      bytes + size > MOST_BYTES_IN_ROW ||
      event.position - (row[0]?.position ?? event.position) >= packSpan;
    if (isFull && row.length > 0) {
      rows.push(row);
      row = [];
      bytes = 0;
    }
    row.push(event);
    bytes += size;
  }
  if (row.length > 0) rows.push(row);
  return rows;
}
