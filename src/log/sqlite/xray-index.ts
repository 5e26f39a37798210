import type { RecordedEvent } from "../event-log.ts";
import { type StoredEvent, recordedEventOf } from "./stored-rows.ts";

/** A run of one stream's events with gapless revisions, from one row. */
export interface XraySegment {
  readonly firstRevision: number;
  readonly count: number;
  readonly firstPosition: number;
  readonly lastPosition: number;
  readonly table: "hot" | "packed";
  /** False where it lies in a page, or a copy of one, that is of the past. */
  readonly isLive: boolean;
  /** The events, in order. Decodes a packed row again each time. */
  readonly load: () => readonly StoredEvent[];
}

/** From one revision to another, both included. */
export interface RevisionRange {
  readonly from: number;
  readonly to: number;
}

/** What a damaged file still says of one stream. */
export class XrayStream {
  readonly name: string;
  /** What its row of the table `streams` says; undefined where that is lost or it has none. */
  row: { readonly firstRevision: number; readonly headRevision: number } | undefined;
  #segments: XraySegment[] = [];
  #isSorted = true;

  constructor(name: string) {
    this.name = name;
  }

  add(segment: XraySegment): void {
    this.#segments.push(segment);
    this.#isSorted = false;
  }

  /** In order of revision; some may overlap, where a row was packed or rewritten. */
  get segments(): readonly XraySegment[] {
    if (!this.#isSorted) {
      this.#segments.sort((a, b) => a.firstRevision - b.firstRevision || b.count - a.count);
      this.#isSorted = true;
    }
    return this.#segments;
  }

  /**
   * Everything below was truncated, as far as is known. No checksum covers what the table says of it: where live rows
   * hold older events, it is damaged.
   */
  get firstRevision(): number {
    const first = this.row?.firstRevision ?? 0;
    const isContradicted = this.segments.some((each) => each.isLive && each.firstRevision < first);
    return isContradicted ? 0 : first;
  }

  /** What is wrong with its row of the table `streams`, undefined where nothing is or there is none. */
  get contradiction(): string | undefined {
    const { row } = this;
    if (row === undefined) return undefined;
    const packed = this.segments.filter((each) => each.isLive && each.table === "packed");
    const oldest = packed[0]?.firstRevision ?? Infinity;
    const newest = packed.reduce((most, each) => Math.max(most, each.firstRevision + each.count - 1), -1);
    const isRight = oldest >= row.firstRevision && newest <= row.headRevision;
    if (isRight) return undefined;
    return `revisions ${row.firstRevision} to ${row.headRevision}, and rows hold ${oldest} to ${newest}`;
  }

  /** Events that are there, each once. */
  get eventCount(): number {
    return this.ranges().reduce((sum, { from, to }) => sum + to - from + 1, 0);
  }

  /** The revisions that are there, in order. */
  ranges(): RevisionRange[] {
    const ranges: { from: number; to: number }[] = [];
    for (const { firstRevision, count } of this.segments) {
      const from = Math.max(firstRevision, this.firstRevision);
      const to = firstRevision + count - 1;
      if (to < from) continue;
      const last = ranges.at(-1);
      if (last !== undefined && from <= last.to + 1) last.to = Math.max(last.to, to);
      else ranges.push({ from, to });
    }
    return ranges;
  }

  /** The revisions that were there once and are lost, those at the stream's end included where they are known of. */
  lost(): RevisionRange[] {
    const lost: RevisionRange[] = [];
    let next = this.firstRevision;
    for (const { from, to } of this.ranges()) {
      if (from > next) lost.push({ from: next, to: from - 1 });
      next = to + 1;
    }
    const head = this.row?.headRevision ?? -1;
    if (head >= next) lost.push({ from: next, to: head });
    return lost;
  }

  /** The events in order of revision, each once. */
  *events(): Generator<RecordedEvent> {
    let next = this.firstRevision;
    for (const segment of this.segments) {
      if (segment.firstRevision + segment.count <= next) continue;
      for (const event of segment.load()) {
        if (event.revision < next) continue;
        yield recordedEventOf(event);
        next = event.revision + 1;
      }
    }
  }
}

/** Positions that are put in order at a time: a packed row, which may span more, is then decoded several times. */
const WINDOW_POSITIONS = 16_384;

/** The events of all streams in order of position, each once, a window of positions in memory at a time. */
export function* eventsByPosition(streams: Iterable<XrayStream>): Generator<RecordedEvent> {
  const places: Place[] = [];
  for (const stream of streams) for (const segment of stream.segments) places.push({ stream, segment });
  places.sort((a, b) => a.segment.firstPosition - b.segment.firstPosition);
  let open: Place[] = [];
  let next = 0;
  let start = 0;
  for (;;) {
    if (open.length === 0) {
      const first = places[next];
      if (first === undefined) return;
      start = first.segment.firstPosition;
    }
    const end = start + WINDOW_POSITIONS;
    for (let place = places[next]; place !== undefined; place = places[next]) {
      if (place.segment.firstPosition >= end) break;
      open.push(place);
      next += 1;
    }
    yield* eventsOfWindow(open, start, end);
    open = open.filter(({ segment }) => segment.lastPosition >= end);
    start = end;
  }
}

interface Place {
  readonly stream: XrayStream;
  readonly segment: XraySegment;
}

function* eventsOfWindow(places: readonly Place[], start: number, end: number): Generator<RecordedEvent> {
  const events: StoredEvent[] = [];
  for (const { stream, segment } of places) {
    for (const event of segment.load()) {
      if (event.position < start || event.position >= end || event.revision < stream.firstRevision) continue;
      events.push(event);
    }
  }
  events.sort((a, b) => a.position - b.position);
  let last: StoredEvent | undefined;
  for (const event of events) {
    // Hot rows keep what has been packed until all of them is.
    const isSame = last?.stream === event.stream && last.revision === event.revision;
    last = event;
    if (!isSame) yield recordedEventOf(event);
  }
}
