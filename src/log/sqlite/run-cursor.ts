import type { EventColumns } from "../event-columns.ts";
import type { EventRuns, ReadRunsOptions, RecordedEvent } from "../event-log.ts";
import type { CommittedState } from "./committed-state.ts";
import type { PackedPlace } from "./log-tables.ts";
import { endOfHole } from "./position-cursor.ts";
import { type PackedRow, type StoredEvent, decodePackedRow, recordedEventOf } from "./stored-rows.ts";

const SMALLEST_WINDOW = 64;
const LARGEST_WINDOW = 1_024;
/** Events and bytes, about, that a page holds before it is made shorter: who takes it whole holds what it inflates to. */
const PAGE_EVENTS = 4_096;
const PAGE_BYTES = 32_768;

/**
 * Reads all streams row by row: a packed row, which reaches over thousands of positions where many streams are written
 * at once, is decoded once and given whole, instead of being kept until its last event's position is reached. Like
 * `PositionCursor` it looks at a window of positions in one transaction; rows may be packed between two of them. A row is
 * decoded when its turn has come: what is decoded of a whole window outlives a collection of garbage.
 */
export class RunCursor {
  readonly #state: CommittedState;
  #completeTo: number;
  #window: number;
  readonly #largestWindow: number;
  /**
   * Rows that begin before the window may hold what has not been given: at the start, and where an event before it was
   * still hot, which may be packed with later ones. Looking for such rows costs as much as reading a window.
   */
  #mayOverlap = true;
  /** Nothing has been packed since the page before while this is the state's. */
  #packings = -1;
  /** Of streams of which more has been given than the position asks for: up to where. */
  readonly #ahead = new Map<string, number>();

  constructor(state: CommittedState, { after = -1, pieceEvents = LARGEST_WINDOW }: ReadRunsOptions) {
    this.#state = state;
    this.#completeTo = after;
    this.#largestWindow = Math.min(pieceEvents, LARGEST_WINDOW);
    this.#window = Math.min(SMALLEST_WINDOW, this.#largestWindow);
  }

  /**
   * The rows that begin in the next window, and what is hot in it; undefined at the log's end. Inside a transaction,
   * after `sync`. Going through it throws a `DamageError`, `damaged-row`, where one is damaged.
   */
  nextPage(): EventRuns | undefined {
    const { tables, hot, highestPosition: head } = this.#state;
    const first = this.#completeTo + 1;
    if (first > head) return undefined;
    const pieces: Piece[] = [];
    let size = NOTHING;
    const looksBack = this.#mayOverlap && this.#packings !== this.#state.packings;
    for (const place of looksBack ? tables.placesOverlapping(first) : [])
      if (place.lastPosition > this.#given(place.stream)) size = this.#take(place, pieces, size);
    let last = Math.min(this.#completeTo + this.#window, head);
    for (const place of tables.placesBetween(first, last)) {
      if (place.firstPosition > first && (size.bytes > PAGE_BYTES || size.events > PAGE_EVENTS)) {
        last = place.firstPosition - 1;
        break;
      }
      size = this.#take(place, pieces, size);
    }
    // A stream's hot events are behind its packed ones. Where another process has packed them, they are both.
    const hotEvents = hot
      .between(first, last)
      .filter(({ stream, position }) => position > this.#given(stream));
    const isHole = pieces.length === 0 && hotEvents.length === 0;
    this.#completeTo = isHole ? endOfHole(this.#state, last, head) : last;
    this.#packings = this.#state.packings;
    this.#mayOverlap = (hot.nextPosition(-1) ?? Infinity) <= this.#completeTo;
    this.#window = Math.min(this.#largestWindow, this.#window * 2);
    for (const [stream, position] of this.#ahead)
      if (position <= this.#completeTo) this.#ahead.delete(stream);
    return {
      runs: runsOf(pieces, hotEvents),
      byColumn: columnsOf(pieces, hotEvents),
      completeTo: this.#completeTo,
    };
  }

  /** Up to where all events of the stream have been given. */
  #given(stream: string): number {
    return Math.max(this.#completeTo, this.#ahead.get(stream) ?? -1);
  }

  #take({ stream, firstPosition }: PackedPlace, pieces: Piece[], size: Size): Size {
    const row = this.#state.tables.packedAt(firstPosition);
    if (row === undefined) return size;
    const given = this.#given(stream);
    pieces.push({ stream, row, given });
    this.#ahead.set(stream, Math.max(given, row.lastPosition));
    return { events: size.events + row.count, bytes: size.bytes + row.payload.length };
  }
}

/** A row, and the position up to which its events have been given already. */
interface Piece {
  readonly stream: string;
  readonly row: PackedRow;
  readonly given: number;
}

interface Size {
  readonly events: number;
  readonly bytes: number;
}

const NOTHING: Size = { events: 0, bytes: 0 };

function* runsOf(
  pieces: readonly Piece[],
  hotEvents: readonly StoredEvent[],
): Generator<RecordedEvent[], undefined, undefined> {
  for (const piece of pieces) yield eventsOf(piece);
  yield hotEvents.map(recordedEventOf);
}

function eventsOf({ stream, row, given }: Piece): RecordedEvent[] {
  const run = decodePackedRow(stream, row);
  const events: RecordedEvent[] = [];
  for (let index = 0; index < run.count; index++)
    if ((run.positions[index] ?? -1) > given) events.push(run.recordedEvent(index));
  return events;
}

/** Runs of which a part has been given are few. */
function* columnsOf(
  pieces: readonly Piece[],
  hotEvents: readonly StoredEvent[],
): Generator<RecordedEvent[] | EventColumns, undefined, undefined> {
  for (const piece of pieces)
    yield piece.row.firstPosition > piece.given ? decodePackedRow(piece.stream, piece.row) : eventsOf(piece);
  yield hotEvents.map(recordedEventOf);
}
