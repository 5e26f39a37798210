import { deflateRawSync, inflateRawSync } from "node:zlib";
import type { ColumnGroup, Leaf } from "../event-columns.ts";
import type { JsonObject, JsonValue } from "../event-log.ts";
import { decodeColumn, decodeIntegers, encodeColumn } from "./column.ts";
import { type EventIds, decodeEventIds, encodeEventIds } from "./event-id-column.ts";
import {
  type EventShape,
  type FlatEvent,
  type ShapeDescription,
  type Skeleton,
  shapeOf,
  shapeOfNumber,
} from "./event-shape.ts";
import { type ColumnSource, type ValueBuilder, valueBuilder } from "./value-builder.ts";

/**
 * The packed record: a run of events, stored column by column, in hot and packed rows alike. Text in UTF-8. Its
 * first line is the JSON `[header, ids, shape of each event, [a shape, column, column, …], …]`, a shape being its
 * number among the known ones, else its description; each further line is the JSON text of a leaf that was not taken
 * apart (JSON text has no raw line breaks), in the order of shapes, leaves, events. In place of such a leaf's column
 * stands the number of its lines.
 *
 * This is stored for ever: a change needs a new encoding number.
 */

/** The first encoding: every shape is described, and the header is an object. Read, no longer written. */
const ENCODING_DESCRIBED = 1;
const ENCODING_DESCRIBED_DEFLATED = 2;
/** The encoding byte of a row. */
export const ENCODING_COLUMNS = 3;
/** The same, deflated (raw). */
export const ENCODING_DEFLATED = 4;

export interface EncodedRecord {
  readonly encoding: number;
  readonly payload: Uint8Array;
}

export interface EncodeOptions {
  /** Deflate where that makes it smaller. */
  readonly deflate: boolean;
}

// Below this a deflated record saves less than it costs.
const SMALLEST_DEFLATED_BYTES = 512;
// A small window sets up three times faster than zlib's default, and records are small.
const SMALL_WINDOW = { level: 1, windowBits: 13, memLevel: 6 };
const LARGE_WINDOW = { level: 1 };
const LARGE_RECORD_BYTES = 32_768;
/** No record comes near it: a guard against a payload made to exhaust memory. */
const MOST_INFLATED_BYTES = 1_000_000_000;
/** Of the memory that is taken at once for what is inflated. */
const LEAST_CHUNK_BYTES = 4_096;
const MOST_CHUNK_BYTES = 65_536;

/** Encodes at least one event. */
export function encodeRecord(
  header: JsonValue,
  events: readonly FlatEvent[],
  options: EncodeOptions,
): EncodedRecord {
  const text = Buffer.from(encodeText(header, events));
  if (!options.deflate || text.length < SMALLEST_DEFLATED_BYTES)
    return { encoding: ENCODING_COLUMNS, payload: text };
  const deflated = deflateRawSync(text, text.length < LARGE_RECORD_BYTES ? SMALL_WINDOW : LARGE_WINDOW);
  if (deflated.length >= text.length) return { encoding: ENCODING_COLUMNS, payload: text };
  return { encoding: ENCODING_DEFLATED, payload: deflated };
}

function encodeText(header: JsonValue, events: readonly FlatEvent[]): string {
  const [first] = events;
  if (events.length === 1 && first !== undefined) {
    const texts: string[] = [];
    return textOfLines(header, events, 0, `,${encodeGroup(first.shape, events, texts)}`, texts);
  }
  const groups = new Map<EventShape, FlatEvent[]>();
  const order: number[] = [];
  let lastShape: EventShape | undefined;
  let lastGroup: FlatEvent[] = [];
  let lastIndex = 0;
  const indexes = new Map<EventShape, number>();
  for (const event of events) {
    if (event.shape !== lastShape) {
      lastShape = event.shape;
      const known = groups.get(lastShape);
      lastGroup = known ?? [];
      if (known === undefined) {
        indexes.set(lastShape, groups.size);
        groups.set(lastShape, lastGroup);
      }
      lastIndex = indexes.get(lastShape) ?? 0;
    }
    lastGroup.push(event);
    order.push(lastIndex);
  }
  const texts: string[] = [];
  let encodedGroups = "";
  for (const [shape, members] of groups) encodedGroups += `,${encodeGroup(shape, members, texts)}`;
  return textOfLines(header, events, encodeColumn(order), encodedGroups, texts);
}

function textOfLines(
  header: JsonValue,
  events: readonly FlatEvent[],
  order: JsonValue,
  encodedGroups: string,
  texts: readonly string[],
): string {
  const firstLine = `[${JSON.stringify(header)},${JSON.stringify(encodeEventIds(events))},${JSON.stringify(order)}${encodedGroups}]`;
  return texts.length === 0 ? firstLine : `${firstLine}\n${texts.join("\n")}`;
}

/** The JSON of a group; what is JSON text already is added to `texts`. */
function encodeGroup(shape: EventShape, members: readonly FlatEvent[], texts: string[]): string {
  let json = `[${shape.reference}`;
  const [only] = members;
  for (let leaf = 0; leaf < shape.textLeaves.length; leaf++) {
    if (members.length === 1 && shape.textLeaves[leaf] !== true) {
      const value = only?.leaves[leaf] ?? null;
      // Numbers need no escaping, and are half of what there is.
      json += typeof value === "number" ? `,${value}` : `,${JSON.stringify(value)}`;
      continue;
    }
    const values: Leaf[] = [];
    for (const member of members) values.push(member.leaves[leaf] ?? null);
    if (shape.textLeaves[leaf] !== true) {
      json += `,${JSON.stringify(encodeColumn(values))}`;
      continue;
    }
    const lines = values.every((value) => value === values[0]) ? values.slice(0, 1) : values;
    json += `,${lines.length}`;
    for (const line of lines) texts.push(String(line));
  }
  return `${json}]`;
}

/** Events of one shape in a decoded record. */
interface DecodedGroup extends ColumnGroup {
  readonly shape: EventShape;
  readonly columns: readonly ColumnSource[];
  data?: ValueBuilder;
  metadata?: ValueBuilder;
}

/** For each event its shape's index, and its place among the events of that shape. Undefined: all are of one shape. */
type EventPlaces = { readonly order: readonly number[]; readonly ranks: readonly number[] } | undefined;

/** A record whose events are put together one by one, when asked for. */
export class DecodedRecord {
  readonly count: number;
  readonly #ids: EventIds;
  readonly #groups: readonly DecodedGroup[];
  readonly #places: EventPlaces;

  constructor(count: number, ids: EventIds, places: EventPlaces, groups: readonly DecodedGroup[]) {
    this.count = count;
    this.#ids = ids;
    this.#places = places;
    this.#groups = groups;
  }

  id(index: number): string {
    return this.#ids.at(index);
  }

  /** What an event says. */
  event(index: number): { type: string; data: JsonValue; metadata: JsonObject } {
    const group = this.group(index);
    const rank = this.rank(index);
    const { shape, columns } = group;
    group.data ??= valueBuilder(shape.data, columns, 0);
    group.metadata ??= valueBuilder(shape.metadata, columns, leafCount(shape.data));
    // What was stored as metadata was an object: append takes nothing else.
    const metadata = group.metadata.build(rank) as JsonObject;
    return { type: shape.type, data: group.data.build(rank), metadata };
  }

  /** The event as it was before encoding, to be encoded again. */
  flat(index: number): FlatEvent {
    const group = this.group(index);
    const rank = this.rank(index);
    const leaves = group.columns.map((column) =>
      column.same ? column.value : (column.values[rank] ?? null),
    );
    let size = 64;
    for (const leaf of leaves) size += typeof leaf === "string" ? leaf.length + 4 : 4;
    return { id: this.id(index), shape: group.shape, leaves, size };
  }

  /** The event's place among those of its shape. */
  rank(index: number): number {
    return this.#places === undefined ? index : (this.#places.ranks[index] ?? 0);
  }

  /** The events of this event's shape, in columns. */
  group(index: number): DecodedGroup {
    const group = this.#groups[this.#places === undefined ? 0 : (this.#places.order[index] ?? -1)];
    if (group === undefined) throw new RangeError(`A record of ${this.count} events has none at ${index}.`);
    return group;
  }
}

function leafCount(node: EventShape["data"]): number {
  if (node.kind === "plain" || node.kind === "text") return 1;
  let count = 0;
  for (const item of node.items) count += leafCount(item);
  return count;
}

/**
 * `textUnits`: what it takes in memory, in UTF-16 units; deflated text may have been a thousand times smaller.
 * @throws {Error} saying what is wrong, for an unknown encoding or a payload that is no record of `count` events.
 */
export function decodeRecord(
  encoding: number,
  payload: Uint8Array,
  count: number,
): { header: JsonValue; record: DecodedRecord; textUnits: number } {
  const bytes = Buffer.from(payload.buffer, payload.byteOffset, payload.byteLength);
  const text = textOf(encoding, bytes);
  const lines = text.includes("\n") ? text.split("\n") : [text];
  const parsed = JSON.parse(lines[0] ?? "") as JsonValue;
  if (!Array.isArray(parsed)) throw new Error("the record is no array");
  const [header = null, encodedIds = null, encodedOrder = null, ...encodedGroups] = parsed;
  const ids = decodeEventIds(encodedIds, count);
  const counts = encodedGroups.map(() => 0);
  const places = decodePlaces(encodedOrder, count, counts);
  let line = 1;
  const groups = encodedGroups.map((group, index) => {
    const decoded = decodeGroup(group, counts[index] ?? 0, lines, line);
    line = decoded.nextLine;
    return decoded.group;
  });
  if (line !== lines.length) throw new Error("the record has lines that belong to no column");
  return { header, record: new DecodedRecord(count, ids, places, groups), textUnits: text.length };
}

/** Counts the events of each shape on the way. */
function decodePlaces(encodedOrder: JsonValue, count: number, counts: number[]): EventPlaces {
  if (encodedOrder === 0 && counts.length === 1) {
    counts[0] = count;
    return undefined;
  }
  const order = decodeIntegers(encodedOrder, count);
  const ranks = order.map((group) => {
    const rank = counts[group];
    if (rank === undefined) throw new Error("an event is of a shape that the record does not hold");
    counts[group] = rank + 1;
    return rank;
  });
  return { order, ranks };
}

function textOf(encoding: number, bytes: Buffer): string {
  if (encoding === ENCODING_COLUMNS || encoding === ENCODING_DESCRIBED) return bytes.toString("utf8");
  if (encoding === ENCODING_DEFLATED || encoding === ENCODING_DESCRIBED_DEFLATED) {
    // What most rows need, instead of 16 KB for each: a rebuild takes 11 MB less at its peak.
    const chunkSize = Math.min(MOST_CHUNK_BYTES, Math.max(LEAST_CHUNK_BYTES, bytes.length * 4));
    return inflateRawSync(bytes, { maxOutputLength: MOST_INFLATED_BYTES, chunkSize }).toString("utf8");
  }
  throw new Error(`the encoding ${encoding} is not known to this version`);
}

function decodeGroup(
  encoded: JsonValue,
  count: number,
  lines: readonly string[],
  firstLine: number,
): { group: DecodedGroup; nextLine: number } {
  if (!Array.isArray(encoded)) throw new Error("a shape's columns are no array");
  const shape = decodeShape(encoded.shift());
  if (encoded.length !== shape.textLeaves.length) throw new Error("a shape has too few or too many columns");
  let line = firstLine;
  const columns = encoded.map((column, leaf): ColumnSource => {
    if (shape.textLeaves[leaf] !== true) return decodeColumn(column, count);
    const texts = lines.slice(line, line + Number(column));
    line += texts.length;
    if (texts.length === 1) return { same: true, value: texts[0] ?? "" };
    if (texts.length !== count)
      throw new Error(`a column of JSON has ${texts.length} lines instead of ${count}`);
    return { same: false, values: texts };
  });
  return { group: { structure: shape.description, shape, columns }, nextLine: line };
}

function decodeShape(encoded: JsonValue | undefined): EventShape {
  if (typeof encoded === "number") return shapeOfNumber(encoded);
  if (!isDescription(encoded)) throw new Error("a shape has no description");
  return shapeOf(encoded);
}

function isDescription(value: JsonValue | undefined): value is JsonValue & ShapeDescription {
  return (
    Array.isArray(value) &&
    value.length === 3 &&
    typeof value[0] === "string" &&
    isSkeleton(value[1]) &&
    isSkeleton(value[2])
  );
}

function isSkeleton(value: JsonValue | undefined): value is Skeleton {
  if (value === 0 || value === 1) return true;
  if (typeof value !== "object" || value === null) return false;
  return Object.values(value).every(isSkeleton);
}
