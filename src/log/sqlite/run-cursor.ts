import type { EventColumns } from "../event-columns.ts";
import type { EventRuns, ReadRunsOptions, RecordedEvent } from "../event-log.ts";
import type { CommittedState } from "./committed-state.ts";
import type { PackedPlace } from "./log-tables.ts";
import { endOfHole } from "./position-cursor.ts";
import { type PackedRun, type StoredEvent, decodePackedRow, recordedEventOf } from "./stored-rows.ts";

const SMALLEST_WINDOW = 64;
const LARGEST_WINDOW = 1_024;
/** Events and UTF-16 units of text, about, that a page decodes before it is made shorter. */
const PAGE_EVENTS = 4_096;
const PAGE_UNITS = 2_097_152;

/**
 * Reads all streams row by row: a packed row, which reaches over thousands of positions where many streams are written
 * at once, is decoded once and given whole, instead of being kept until its last event's position is reached. Like
 * `PositionCursor` it looks at a window of positions in one transaction; rows may be packed between two of them.
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
   * after `sync`.
   * @throws {DamageError} `damaged-row`
   */
  nextPage(): EventRuns | undefined {
    const { tables, hot, highestPosition: head } = this.#state;
    const first = this.#completeTo + 1;
    if (first > head) return undefined;
    const pieces: Piece[] = [];
    let size = NOTHING;
    for (const place of this.#mayOverlap ? tables.placesOverlapping(first) : [])
      if (place.lastPosition > this.#given(place.stream)) size = this.#take(place, pieces, size);
    let last = Math.min(this.#completeTo + this.#window, head);
    for (const place of tables.placesBetween(first, last)) {
      if (place.firstPosition > first && (size.units > PAGE_UNITS || size.events > PAGE_EVENTS)) {
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
    const run = decodePackedRow(stream, row);
    const given = this.#given(stream);
    pieces.push({ run, given });
    this.#ahead.set(stream, Math.max(given, row.lastPosition));
    return { events: size.events + run.count, units: size.units + run.textUnits };
  }
}

/** A run, and the position up to which its events have been given already. */
interface Piece {
  readonly run: PackedRun;
  readonly given: number;
}

interface Size {
  readonly events: number;
  readonly units: number;
}

const NOTHING: Size = { events: 0, units: 0 };

/** Each is made when it is asked for: made all at once they would outlive their use, which collecting them costs. */
function* runsOf(
  pieces: readonly Piece[],
  hotEvents: readonly StoredEvent[],
): Generator<RecordedEvent[], undefined, undefined> {
  for (const piece of pieces) yield eventsOf(piece);
  yield hotEvents.map(recordedEventOf);
}

function eventsOf({ run, given }: Piece): RecordedEvent[] {
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
    yield (piece.run.positions[0] ?? -1) > piece.given ? piece.run : eventsOf(piece);
  yield hotEvents.map(recordedEventOf);
}
