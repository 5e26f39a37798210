import { PAGE_BYTES } from "./xray-pages.ts";

/**
 * SQLite's cells and records, as far as the tables of a log have them (see "Database File Format" of SQLite).
 * Everything is checked against the size that it must have, so that any bytes may be looked at.
 */

export const LEAF_TABLE_PAGE = 0x0d;
const LEAF_INDEX_PAGE = 0x0a;
const INTERIOR_INDEX_PAGE = 0x02;
const LEAF_HEADER_BYTES = 8;
const INTERIOR_HEADER_BYTES = 12;
/** Of the file's header, before the first page's own. */
const FILE_HEADER_BYTES = 100;
/** No record of a log has as many columns as would need more. */
const LONGEST_RECORD_HEADER = 64;
/** A row holds what one commit wrote: far more than a commit can is damage. */
const MOST_PAYLOAD_BYTES = 1_000_000_000;

export type CellValue = number | null | { readonly text: string } | Uint8Array;

/** What the types of a record's columns say of its table. */
export type RecordKind = "hot" | "packed" | "stream" | "state" | "name" | "meta" | "place";

export interface Cell {
  readonly kind: RecordKind;
  /** 0 in an index. */
  readonly rowid: number;
  /** The payload's overflow pages, if any. */
  readonly overflow: readonly number[];
  readonly values: readonly CellValue[];
}

/** Gives an overflow page, undefined where there is none. */
export type ReadPage = (page: number) => Buffer | undefined;

interface Varint {
  readonly value: number;
  readonly end: number;
}

function varintAt(bytes: Uint8Array, at: number): Varint | undefined {
  let value = 0;
  for (let index = 0; index < 9; index++) {
    const byte = bytes[at + index];
    if (byte === undefined) return undefined;
    if (index === 8) value = value * 256 + byte;
    else value = value * 128 + (byte & 0x7f);
    if (index === 8 || byte < 0x80)
      return Number.isSafeInteger(value) ? { value, end: at + index + 1 } : undefined;
  }
  return undefined;
}

const INTEGER_BYTES = [0, 1, 2, 3, 4, 6, 8];

/** Bytes of a value of a serial type, undefined for types that a log has not (floating point, reserved ones). */
function sizeOfType(type: number): number | undefined {
  if (type <= 6) return INTEGER_BYTES[type];
  if (type === 8 || type === 9) return 0;
  return type >= 12 ? (type - (type % 2 === 0 ? 12 : 13)) / 2 : undefined;
}

/** i: integer, n: NULL, b: blob, t: text, as a log's columns are declared. */
const KINDS: ReadonlyMap<string, RecordKind> = new Map([
  ["niiib", "hot"],
  ["niiiiiib", "packed"],
  ["ntii", "stream"],
  ["niii", "state"],
  ["ti", "name"],
  ["tt", "meta"],
  ["iii", "place"],
]);

function letterOf(type: number): string {
  if (type === 0) return "n";
  if (type < 12) return "i";
  return type % 2 === 0 ? "b" : "t";
}

/** Offsets of the cells that a page's own list names, undefined where the page is none of this kind. */
export function cellOffsets(
  page: Buffer,
  number: number,
  kind: "table" | "index",
): { offsets: number[]; isSound: boolean } | undefined {
  const start = number === 1 ? FILE_HEADER_BYTES : 0;
  const type = page[start];
  const isInterior = type === INTERIOR_INDEX_PAGE;
  if (kind === "table" ? type !== LEAF_TABLE_PAGE : type !== LEAF_INDEX_PAGE && !isInterior) return undefined;
  const count = page.readUInt16BE(start + 3);
  const list = start + (isInterior ? INTERIOR_HEADER_BYTES : LEAF_HEADER_BYTES);
  if (list + count * 2 > PAGE_BYTES) return undefined;
  const offsets: number[] = [];
  let isSound = true;
  for (let index = 0; index < count; index++) {
    const offset = page.readUInt16BE(list + index * 2);
    if (offset >= list + count * 2 && offset < PAGE_BYTES) offsets.push(offset + (isInterior ? 4 : 0));
    else isSound = false;
  }
  return { offsets, isSound };
}

const INTERIOR_TABLE_PAGE = 0x05;

/** True for a page that only says where a table's leaves are: there is no row to look for. */
export function isInteriorOfTable(page: Buffer, pageCount: number): boolean {
  if (page[0] !== INTERIOR_TABLE_PAGE) return false;
  const isPage = (number: number): boolean => number >= 1 && number <= pageCount;
  const count = page.readUInt16BE(3);
  const end = INTERIOR_HEADER_BYTES + count * 2;
  if (end > PAGE_BYTES || !isPage(page.readUInt32BE(8))) return false;
  for (let index = 0; index < count; index++) {
    const offset = page.readUInt16BE(INTERIOR_HEADER_BYTES + index * 2);
    if (offset < end || offset + 5 > PAGE_BYTES || !isPage(page.readUInt32BE(offset))) return false;
  }
  return true;
}

interface RecordHeader {
  readonly kind: RecordKind;
  readonly types: readonly number[];
  readonly bodyStart: number;
}

/** A record's header, where its columns are those of a table of ours and take exactly `bytes`. */
function recordHeader(page: Buffer, at: number, bytes: number): RecordHeader | undefined {
  const header = varintAt(page, at);
  if (header === undefined || header.value > LONGEST_RECORD_HEADER || header.value > bytes) return undefined;
  const end = at + header.value;
  const types: number[] = [];
  let letters = "";
  let size = header.value;
  let next = header.end;
  while (next < end) {
    const type = varintAt(page, next);
    const typeSize = type === undefined ? undefined : sizeOfType(type.value);
    if (type === undefined || typeSize === undefined) return undefined;
    types.push(type.value);
    letters += letterOf(type.value);
    size += typeSize;
    next = type.end;
  }
  const kind = KINDS.get(letters);
  if (kind === undefined || next !== end || size !== bytes) return undefined;
  return { kind, types, bodyStart: end - at };
}

/** The cell of a table's leaf at an offset, undefined where none of a log's tables is. */
export function tableCellAt(page: Buffer, offset: number, readPage: ReadPage): Cell | undefined {
  const size = varintAt(page, offset);
  if (size === undefined || size.value < 4 || size.value > MOST_PAYLOAD_BYTES) return undefined;
  const rowid = varintAt(page, size.end);
  if (rowid === undefined) return undefined;
  return cellOf(page, rowid.value, rowid.end, size.value, PAGE_BYTES - 35, readPage);
}

/** The cell of an index at an offset. */
export function indexCellAt(page: Buffer, offset: number, readPage: ReadPage): Cell | undefined {
  const size = varintAt(page, offset);
  if (size === undefined || size.value < 3 || size.value > MOST_PAYLOAD_BYTES) return undefined;
  return cellOf(page, 0, size.end, size.value, Math.floor(((PAGE_BYTES - 12) * 64) / 255) - 23, readPage);
}

function cellOf(
  page: Buffer,
  rowid: number,
  start: number,
  size: number,
  mostLocal: number,
  readPage: ReadPage,
): Cell | undefined {
  const header = recordHeader(page, start, size);
  if (header === undefined) return undefined;
  const payload = payloadOf(page, start, size, mostLocal, readPage);
  if (payload === undefined) return undefined;
  let at = header.bodyStart;
  const values: CellValue[] = [];
  for (const type of header.types) {
    values.push(valueOf(payload.bytes, at, type));
    at += sizeOfType(type) ?? 0;
  }
  return { kind: header.kind, rowid, overflow: payload.overflow, values };
}

function payloadOf(
  page: Buffer,
  start: number,
  size: number,
  mostLocal: number,
  readPage: ReadPage,
): { bytes: Buffer; overflow: number[] } | undefined {
  if (size <= mostLocal) {
    if (start + size > PAGE_BYTES) return undefined;
    return { bytes: page.subarray(start, start + size), overflow: [] };
  }
  const least = Math.floor(((PAGE_BYTES - 12) * 32) / 255) - 23;
  const wanted = least + ((size - least) % (PAGE_BYTES - 4));
  const local = wanted <= mostLocal ? wanted : least;
  if (start + local + 4 > PAGE_BYTES) return undefined;
  const pieces = [page.subarray(start, start + local)];
  const overflow = new Set<number>();
  let left = size - local;
  let next = page.readUInt32BE(start + local);
  while (left > 0) {
    const bytes = readPage(next);
    // A chain that comes back to itself would never end.
    if (bytes === undefined || overflow.has(next)) return undefined;
    overflow.add(next);
    pieces.push(bytes.subarray(4, 4 + Math.min(left, PAGE_BYTES - 4)));
    left -= PAGE_BYTES - 4;
    next = bytes.readUInt32BE(0);
  }
  return { bytes: Buffer.concat(pieces, size), overflow: [...overflow] };
}

function valueOf(bytes: Buffer, at: number, type: number): CellValue {
  if (type === 0) return null;
  if (type === 8) return 0;
  if (type === 9) return 1;
  if (type === 6) return Number(bytes.readBigInt64BE(at));
  const size = sizeOfType(type) ?? 0;
  if (type < 6) return bytes.readIntBE(at, size);
  const value = bytes.subarray(at, at + size);
  // A copy: a value may be kept when the page is long gone.
  return type % 2 === 0 ? new Uint8Array(value) : { text: value.toString("utf8") };
}
