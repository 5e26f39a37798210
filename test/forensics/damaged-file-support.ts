import { copyFileSync, existsSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { decodeHotRow, decodePackedRow } from "../../src/log/sqlite/stored-rows.ts";
import { cellOffsets, tableCellAt } from "../../src/log/sqlite/xray-cells.ts";
import { PAGE_BYTES, type PageImage, PageImages } from "../../src/log/sqlite/xray-pages.ts";

/** mulberry32: a failure can be repeated by its seed. */
export function randoms(seed: number): () => number {
  let state = seed;
  return () => {
    state = (state + 0x6d2b79f5) | 0;
    let t = Math.imul(state ^ (state >>> 15), 1 | state);
    t = (t + Math.imul(t ^ (t >>> 7), 61 | t)) ^ t;
    return ((t ^ (t >>> 14)) >>> 0) / 4_294_967_296;
  };
}

/** Bytes of the database ("") or its write-ahead log. */
export interface Bytes {
  readonly suffix: "" | "-wal";
  readonly from: number;
  /** Exclusive. */
  readonly to: number;
}

const SUFFIXES = ["", "-wal"] as const;

export function copyStore(from: string, to: string): void {
  for (const suffix of SUFFIXES) if (existsSync(from + suffix)) copyFileSync(from + suffix, to + suffix);
}

export function removeStore(path: string): void {
  for (const suffix of [...SUFFIXES, "-shm"]) rmSync(path + suffix, { force: true });
}

/** Flips a bit, zeroes a piece, or cuts the file. */
export function damage(path: string, random: () => number): Bytes & { what: string } {
  const suffix = existsSync(`${path}-wal`) && random() < 0.5 ? "-wal" : "";
  const bytes = readFileSync(path + suffix);
  const at = Math.floor(random() * bytes.length);
  const kind = random();
  if (kind < 0.2) {
    writeFileSync(path + suffix, bytes.subarray(0, at));
    return { suffix, from: at, to: bytes.length, what: `file${suffix} cut at ${at}` };
  }
  const length = kind < 0.6 ? 1 : 1 + Math.floor(random() * 4096);
  const to = Math.min(bytes.length, at + length);
  if (length === 1) bytes[at] = (bytes[at] ?? 0) ^ (1 << Math.floor(random() * 8));
  else bytes.fill(0, at, to);
  writeFileSync(path + suffix, bytes);
  return {
    suffix,
    from: at,
    to,
    what: `file${suffix} ${length === 1 ? "bit flipped" : `${length} bytes zeroed`} at ${at}`,
  };
}

/** A row of a sound file: ids of its events, and the bytes without which it is not there. */
export interface StoredRow {
  readonly ids: readonly string[];
  readonly bytes: readonly Bytes[];
}

const WAL_HEADER_BYTES = 32;
const FRAME_HEADER_BYTES = 24;

/**
 * Every row of a sound file, in every copy of its page. A row needs its cell, the pages that it goes on in, and in the
 * write-ahead log the header of the frame that commits its transaction.
 */
export function rowsOf(path: string, names: readonly string[]): StoredRow[] {
  const images = new PageImages(path);
  const rows: StoredRow[] = [];
  try {
    for (const image of images.all()) {
      const page = images.bytes(image);
      const offsets = cellOffsets(page, image.page, "table")?.offsets ?? [];
      for (const offset of offsets) {
        const read = (number: number): Buffer | undefined => {
          const other = images.asOf(number, image);
          return other && images.bytes(other);
        };
        const cell = tableCellAt(page, offset, read);
        if (cell?.kind !== "hot" && cell?.kind !== "packed") continue;
        const end = offsets
          .filter((each) => each > offset)
          .reduce((least, each) => Math.min(least, each), PAGE_BYTES);
        const others = cell.overflow
          .map((number) => images.asOf(number, image))
          .filter((each) => each !== undefined);
        rows.push({
          ids: idsIn(cell, names),
          bytes: [
            inImage(image, offset, end),
            ...others.map((each) => inImage(each, 0, PAGE_BYTES)),
            ...[image, ...others].filter(({ frame }) => frame !== -1).map(commitOf(path)),
          ],
        });
      }
    }
  } finally {
    images.close();
  }
  return rows;
}

function inImage({ page, frame }: PageImage, from: number, to: number): Bytes {
  if (frame === -1)
    return { suffix: "", from: (page - 1) * PAGE_BYTES + from, to: (page - 1) * PAGE_BYTES + to };
  const start = frameStart(frame) + FRAME_HEADER_BYTES;
  return { suffix: "-wal", from: start + from, to: start + to };
}

function frameStart(frame: number): number {
  return WAL_HEADER_BYTES + frame * (FRAME_HEADER_BYTES + PAGE_BYTES);
}

/** The header of the frame that ends a frame's transaction. */
function commitOf(path: string): (image: PageImage) => Bytes {
  const wal = readFileSync(`${path}-wal`);
  return ({ frame }) => {
    let last = frame;
    while (wal.readUInt32BE(frameStart(last) + 4) === 0) last += 1;
    return { suffix: "-wal", from: frameStart(last), to: frameStart(last) + FRAME_HEADER_BYTES };
  };
}

function idsIn(cell: NonNullable<ReturnType<typeof tableCellAt>>, names: readonly string[]): string[] {
  const { rowid, values } = cell;
  if (cell.kind === "hot") {
    const [, count, encoding, crc, payload] = values as [null, number, number, number, Uint8Array];
    return decodeHotRow({ position: rowid, count, encoding, crc, payload }).map(({ flat }) => flat.id);
  }
  const [, , firstRevision, count, lastPosition, encoding, crc, payload] = values as [
    ...[null, number, number, number, number, number, number],
    Uint8Array,
  ];
  const row = { firstPosition: rowid, firstRevision, count, lastPosition, encoding, crc, payload };
  for (const name of names) {
    try {
      const run = decodePackedRow(name, row);
      return Array.from({ length: run.count }, (_, index) => run.storedEvent(index).flat.id);
    } catch {
      // Another stream's.
    }
  }
  throw new Error(`the row at position ${rowid} is of no stream`);
}

/** Ids of events of which at least one row is as it was. */
export function undamagedIds(rows: readonly StoredRow[], damaged: Bytes): Set<string> {
  const isHit = ({ suffix, from, to }: Bytes): boolean =>
    suffix === damaged.suffix && from < damaged.to && damaged.from < to;
  return new Set(rows.filter(({ bytes }) => !bytes.some(isHit)).flatMap(({ ids }) => ids));
}
