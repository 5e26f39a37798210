import { crc32 } from "node:zlib";
import { DamageError } from "../../errors.ts";
import type { ColumnGroup, EventColumns } from "../event-columns.ts";
import type { RecordedEvent } from "../event-log.ts";
import { type FlatEvent, unflattenEvent } from "./event-shape.ts";
import { type DecodedRecord, decodeRecord, encodeRecord } from "./packed-record.ts";
import {
  type HotHeader,
  decodeHotHeader,
  decodePackedHeader,
  encodeHotHeader,
  encodePackedHeader,
} from "./row-header.ts";

/**
 * The rows of the tables `hot` and `packed`, to and from events. Every row carries a CRC-32 over all that it says;
 * whatever does not fit is a `DamageError` that names table, positions and stream.
 */

/** An event taken apart, with its place. */
export interface StoredEvent {
  readonly stream: string;
  readonly revision: number;
  readonly position: number;
  /** Epoch ms. */
  readonly recordedAt: number;
  readonly flat: FlatEvent;
}

/** One commit's events, of any streams, in order of position. */
export interface HotRow {
  /** The key: at or below the position of the first event. */
  readonly position: number;
  readonly count: number;
  readonly encoding: number;
  readonly crc: number;
  readonly payload: Uint8Array;
}

/** A run of one stream's events with gapless revisions. */
export interface PackedRow {
  readonly firstPosition: number;
  readonly lastPosition: number;
  readonly firstRevision: number;
  readonly count: number;
  readonly encoding: number;
  readonly crc: number;
  readonly payload: Uint8Array;
}

export function recordedEventOf(event: StoredEvent): RecordedEvent {
  const { stream, revision, position, recordedAt, flat } = event;
  const { data, metadata } = unflattenEvent(flat);
  return { stream, revision, position, recordedAt, id: flat.id, type: flat.shape.type, data, metadata };
}

/** Encodes at least one event, all of one commit. `position`: the row's key, where it is not that of the first event. */
export function encodeHotRow(events: readonly StoredEvent[], position = events[0]?.position ?? 0): HotRow {
  // A hot row lives for a moment: deflating it would cost more than it saves.
  const record = encodeRecord(
    encodeHotHeader(events, position),
    events.map((event) => event.flat),
    { deflate: false },
  );
  const row = { position, count: events.length, ...record };
  return { ...row, crc: hotRowCrc(row) };
}

/** @throws {DamageError} `damaged-row` */
export function decodeHotRow(row: HotRow): StoredEvent[] {
  try {
    if (hotRowCrc(row) !== row.crc) throw new Error("its checksum is wrong");
    const { header, record } = decodeRecord(row.encoding, row.payload, row.count);
    return hotEvents(decodeHotHeader(header, row), record);
  } catch (error) {
    throw damagedRow("hot", row.position, row.position + row.count - 1, undefined, error);
  }
}

const MOST_SHARED_NAMES = 20_000;
const sharedNames = new Map<string, string>();

/** The same string for the same stream: a thousand hot rows of a thousand streams would hold a million names. */
function sharedName(name: string): string {
  const known = sharedNames.get(name);
  if (known !== undefined) return known;
  if (sharedNames.size >= MOST_SHARED_NAMES) sharedNames.clear();
  sharedNames.set(name, name);
  return name;
}

/** An event of a hot row that was read: taken out of the columns only when it is asked for. */
class LoadedHotEvent implements StoredEvent {
  readonly stream: string;
  readonly revision: number;
  readonly position: number;
  readonly #row: { readonly record: DecodedRecord; readonly recordedAt: number };
  readonly #index: number;

  constructor(
    stream: string,
    revision: number,
    position: number,
    row: { record: DecodedRecord; recordedAt: number },
    index: number,
  ) {
    this.stream = stream;
    this.revision = revision;
    this.position = position;
    this.#row = row;
    this.#index = index;
  }

  get recordedAt(): number {
    return this.#row.recordedAt;
  }

  get flat(): FlatEvent {
    return this.#row.record.flat(this.#index);
  }
}

function hotEvents(header: HotHeader, record: DecodedRecord): StoredEvent[] {
  const row = { record, recordedAt: header.recordedAt };
  const { positions, streamIndexes } = header;
  const names = header.names.map(sharedName);
  const next = [...header.firstRevisions];
  return streamIndexes.map((streamIndex, index) => {
    const stream = names[streamIndex];
    const revision = next[streamIndex];
    const position = positions[index];
    if (stream === undefined || revision === undefined || position === undefined)
      throw new Error("an event has no stream");
    next[streamIndex] = revision + 1;
    return new LoadedHotEvent(stream, revision, position, row, index);
  });
}

/** Encodes at least one event of one stream, with gapless revisions. */
export function encodePackedRow(events: readonly StoredEvent[]): PackedRow {
  const first = events[0];
  const last = events.at(-1);
  if (first === undefined || last === undefined) throw new RangeError("A packed row has at least one event.");
  const record = encodeRecord(
    encodePackedHeader(events, first.position),
    events.map((event) => event.flat),
    { deflate: true },
  );
  const row = {
    firstPosition: first.position,
    lastPosition: last.position,
    firstRevision: first.revision,
    count: events.length,
    ...record,
  };
  return { ...row, crc: packedRowCrc(first.stream, row) };
}

/** A decoded packed row, whose events are put together when asked for. */
export class PackedRun implements EventColumns {
  readonly stream: string;
  readonly firstRevision: number;
  readonly positions: readonly number[];
  /** What it takes in memory, about, in UTF-16 units. */
  readonly textUnits: number;
  readonly #recordedAt: readonly number[];
  readonly #record: DecodedRecord;

  constructor(
    stream: string,
    firstRevision: number,
    positions: readonly number[],
    recordedAt: readonly number[],
    { record, textUnits }: { record: DecodedRecord; textUnits: number },
  ) {
    this.stream = stream;
    this.firstRevision = firstRevision;
    this.positions = positions;
    this.textUnits = textUnits;
    this.#recordedAt = recordedAt;
    this.#record = record;
  }

  get count(): number {
    return this.positions.length;
  }

  id(index: number): string {
    return this.#record.id(index);
  }

  group(index: number): ColumnGroup {
    return this.#record.group(index);
  }

  rank(index: number): number {
    return this.#record.rank(index);
  }

  recordedEvent(index: number): RecordedEvent {
    const { type, data, metadata } = this.#record.event(index);
    return {
      stream: this.stream,
      revision: this.firstRevision + index,
      position: this.positions[index] ?? 0,
      recordedAt: this.#recordedAt[index] ?? 0,
      id: this.id(index),
      type,
      data,
      metadata,
    };
  }

  storedEvent(index: number): StoredEvent {
    return {
      stream: this.stream,
      revision: this.firstRevision + index,
      position: this.positions[index] ?? 0,
      recordedAt: this.#recordedAt[index] ?? 0,
      flat: this.#record.flat(index),
    };
  }
}

/** @throws {DamageError} `damaged-row` */
export function decodePackedRow(stream: string, row: PackedRow): PackedRun {
  try {
    if (packedRowCrc(stream, row) !== row.crc) throw new Error("its checksum is wrong");
    const { header, ...decoded } = decodeRecord(row.encoding, row.payload, row.count);
    const { positions, recordedAt } = decodePackedHeader(header, row);
    return new PackedRun(stream, row.firstRevision, positions, recordedAt, decoded);
  } catch (error) {
    throw damagedRow("packed", row.firstPosition, row.lastPosition, stream, error);
  }
}

function hotRowCrc(row: Omit<HotRow, "crc">): number {
  return crc32(row.payload, crc32(`hot ${row.position} ${row.count} ${row.encoding}`));
}

function packedRowCrc(stream: string, row: Omit<PackedRow, "crc">): number {
  const { firstRevision, firstPosition, lastPosition, count, encoding } = row;
  return crc32(
    row.payload,
    crc32(`packed ${firstRevision} ${firstPosition} ${lastPosition} ${count} ${encoding} ${stream}`),
  );
}

export function damagedRow(
  table: "hot" | "packed",
  firstPosition: number,
  lastPosition: number,
  stream: string | undefined,
  cause: unknown,
): DamageError {
  const place = stream === undefined ? "" : ` of stream "${stream}"`;
  const reason = cause instanceof Error ? cause.message : String(cause);
  return new DamageError(
    "damaged-row",
    `The row of table ${table} at positions ${firstPosition} to ${lastPosition}${place} is damaged: ${reason}.`,
    { cause, details: { table, firstPosition, lastPosition, ...(stream === undefined ? {} : { stream }) } },
  );
}
