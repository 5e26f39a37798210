import type { JsonObject, JsonValue } from "../event-log.ts";
import { decodeIntegers, encodeColumn } from "./column.ts";

/**
 * The header of a row's record: what a row says of its events beside the events themselves. Positions are counted
 * from the row's key. Objects are headers of the first encoding: read, no longer written.
 */

/** Where an event stands. */
interface Place {
  readonly stream: string;
  readonly revision: number;
  readonly position: number;
  readonly recordedAt: number;
}

export interface HotHeader {
  readonly recordedAt: number;
  readonly positions: readonly number[];
  /** Of each event, into `names`. */
  readonly streamIndexes: readonly number[];
  readonly names: readonly string[];
  /** Of each stream, the revision of its first event here. */
  readonly firstRevisions: readonly number[];
}

/** `[time, positions, stream of each event, name, first revision, name, first revision, …]` */
export function encodeHotHeader(events: readonly Place[], key: number): JsonValue {
  const [first] = events;
  if (events.length === 1 && first !== undefined)
    return [first.recordedAt, first.position - key, 0, first.stream, first.revision];
  const indexes = new Map<string, number>();
  const streams: (string | number)[] = [];
  const streamIndexes: number[] = [];
  for (const { stream, revision } of events) {
    let index = indexes.get(stream);
    if (index === undefined) {
      index = indexes.size;
      indexes.set(stream, index);
      streams.push(stream, revision);
    }
    streamIndexes.push(index);
  }
  const positions = encodeColumn(events.map((event) => event.position - key));
  return [first?.recordedAt ?? 0, positions, encodeColumn(streamIndexes), ...streams];
}

/** @throws {Error} where it is no header of `count` events. */
export function decodeHotHeader(header: JsonValue, row: { position: number; count: number }): HotHeader {
  if (!Array.isArray(header)) return decodeNamedHotHeader(header, row.count);
  const [recordedAt, offsets, streamIndexes, ...streams] = header;
  if (typeof recordedAt !== "number" || streams.length % 2 !== 0) throw noHeader("hot");
  const names: string[] = [];
  const firstRevisions: number[] = [];
  for (let index = 0; index < streams.length; index += 2) {
    names.push(stringOf(streams[index]));
    firstRevisions.push(numberOf(streams[index + 1]));
  }
  const positions = fromKey(row.position, decodeIntegers(offsets, row.count));
  return {
    recordedAt,
    positions,
    streamIndexes: decodeIntegers(streamIndexes, row.count),
    names,
    firstRevisions,
  };
}

function decodeNamedHotHeader(header: JsonValue, count: number): HotHeader {
  if (!isObject(header) || !Array.isArray(header["streams"])) throw noHeader("hot");
  const { streams, stream, position, recordedAt } = header;
  if (!streams.every(Array.isArray)) throw noHeader("hot");
  const pairs = streams as JsonValue[][];
  return {
    recordedAt: numberOf(recordedAt),
    positions: decodeIntegers(position, count),
    streamIndexes: decodeIntegers(stream, count),
    names: pairs.map(([name]) => stringOf(name)),
    firstRevisions: pairs.map(([, revision]) => numberOf(revision)),
  };
}

export interface PackedHeader {
  readonly positions: readonly number[];
  readonly recordedAt: readonly number[];
}

/** `[positions, times]` */
export function encodePackedHeader(events: readonly Place[], key: number): JsonValue {
  return [
    encodeColumn(events.map((event) => event.position - key)),
    encodeColumn(events.map((event) => event.recordedAt)),
  ];
}

/** @throws {Error} where it is no header of `count` events. */
export function decodePackedHeader(
  header: JsonValue,
  row: { firstPosition: number; count: number },
): PackedHeader {
  if (Array.isArray(header)) {
    const [offsets, times] = header;
    const positions = fromKey(row.firstPosition, decodeIntegers(offsets, row.count));
    return { positions, recordedAt: decodeIntegers(times, row.count) };
  }
  if (!isObject(header)) throw noHeader("packed");
  const { position, recordedAt } = header;
  return {
    positions: decodeIntegers(position, row.count),
    recordedAt: decodeIntegers(recordedAt, row.count),
  };
}

function fromKey(key: number, offsets: readonly number[]): number[] {
  return offsets.map((offset) => key + offset);
}

function isObject(value: JsonValue): value is JsonObject {
  return typeof value === "object" && value !== null && !Array.isArray(value);
}

function stringOf(value: JsonValue | undefined): string {
  if (typeof value !== "string") throw noHeader("hot");
  return value;
}

function numberOf(value: JsonValue | undefined): number {
  if (typeof value !== "number") throw noHeader("hot");
  return value;
}

function noHeader(table: "hot" | "packed"): Error {
  return new Error(`its header is not that of a ${table} row`);
}
