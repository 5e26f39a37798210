import { errorCode } from "../../errors.ts";
import type { RecordedEvent } from "../event-log.ts";
import {
  type HotRow,
  type PackedRow,
  type StoredEvent,
  decodeHotRow,
  decodePackedRow,
} from "./stored-rows.ts";
import {
  type Cell,
  type ReadPage,
  cellOffsets,
  indexCellAt,
  isInteriorOfTable,
  tableCellAt,
} from "./xray-cells.ts";
import { type XrayDamage, XrayDamages } from "./xray-damages.ts";
import { XrayStream } from "./xray-index.ts";
import { XrayNames } from "./xray-names.ts";
import {
  PAGE_BYTES,
  type PageImage,
  type PageImages,
  freePages,
  isFirstPage,
  isMap,
  mayBeEmpty,
} from "./xray-pages.ts";

/** A packed row that fits no name that is known of its stream. */
interface Orphan {
  readonly streamId: number;
  readonly row: PackedRow;
  readonly image: PageImage;
  readonly offset: number;
}

const EMPTY_PAGE = Buffer.alloc(PAGE_BYTES);

const MOST_ORPHANS = 10_000;

/** Goes through all copies of all pages and gathers the rows that their checksums prove. */
export class XrayReader {
  readonly streams = new Map<string, XrayStream>();
  readonly #damages = new XrayDamages();
  readonly #images: PageImages;
  readonly #names: XrayNames;
  readonly #free: ReadonlySet<number>;
  /** Copies that are not, or not wholly, a page of a table or index that holds what it should. */
  readonly #unsound: PageImage[] = [];
  /** Pages of the database that rows go on in. */
  readonly #overflow = new Set<number>();
  /** Rows that have been taken: most copies of a page differ in their newest row only. */
  readonly #taken = new Set<string>();
  readonly #namesIn: (event: RecordedEvent) => Iterable<string>;
  #orphans: Orphan[] = [];
  #highestPosition = -1;

  /** @param namesIn streams that an event names: one of them may be that of a row whose own name is lost */
  constructor(images: PageImages, namesIn: (event: RecordedEvent) => Iterable<string>) {
    this.#images = images;
    this.#namesIn = namesIn;
    this.#free = freePages(images);
    this.#names = new XrayNames((image) => this.#isLive(image));
  }

  get damages(): readonly XrayDamage[] {
    return this.#damages.found;
  }

  get logId(): string | undefined {
    return this.#names.logId;
  }

  get highestPosition(): number {
    return Math.max(this.#highestPosition, this.#names.highestPosition);
  }

  /** How many steps there are, as far as can be told. */
  get stepCount(): number {
    return 2 * this.#images.imageCount + this.#unsound.length;
  }

  /** Reads a page a step; afterwards everything is there. */
  *steps(): Generator<void> {
    for (const image of this.#images.all()) {
      this.#names.readPage(image, this.#images);
      yield;
    }
    for (const image of this.#images.all()) {
      if (!this.#readPage(image)) this.#unsound.push(image);
      yield;
    }
    for (const image of this.#unsound) {
      if (image.frame !== -1 || !this.#overflow.has(image.page)) this.#search(image);
      yield;
    }
    this.#adoptOrphans();
    this.#takeNameRows();
  }

  /** No checksum covers them, and every event takes a position. */
  #takeNameRows(): void {
    const rows = [...this.#names.rows].filter(([, row]) => row.headRevision <= this.highestPosition);
    // A name counts where a row's checksum has confirmed it.
    const confirmed = new Set(this.streams.keys());
    for (const [name, row] of rows) if (confirmed.has(name)) this.#stream(name).row = row;
    for (const [name, row] of rows) {
      if (confirmed.has(name)) continue;
      // The index may have such a name, where the table has another in its place.
      const inIndex = this.#names.ofStream(row.id).find((other) => confirmed.has(other));
      this.#stream(inIndex ?? name).row ??= row;
    }
  }

  /** False where something in it is not what it should be, or it is no page of a table or index. */
  #readPage(image: PageImage): boolean {
    const page = this.#images.bytes(image);
    const index = cellOffsets(page, image.page, "index");
    if (index !== undefined) {
      const read = this.#reader(image);
      return index.isSound && index.offsets.every((offset) => indexCellAt(page, offset, read) !== undefined);
    }
    const table = cellOffsets(page, image.page, "table");
    if (table === undefined)
      return isInteriorOfTable(page, this.#images.pageCount) || isMap(page, image.page);
    // The first page has the schema's table, whose rows are none of a log's.
    if (isFirstPage(page)) return true;
    let unreadable = table.isSound ? 0 : 1;
    let isSound = table.isSound;
    for (const offset of table.offsets) {
      const taken = this.#takeCell(page, image, offset, true);
      if (taken === undefined) unreadable += 1;
      if (taken !== true) isSound = false;
    }
    if (unreadable > 0 && this.#isLive(image)) this.#damages.page(image.page);
    return isSound;
  }

  /** Looks for rows at every byte of a page that does not say where they are. */
  #search(image: PageImage): void {
    const page = this.#images.bytes(image);
    if (page.equals(EMPTY_PAGE)) {
      // SQLite writes every page that it has asked for.
      if (this.#isLive(image) && !mayBeEmpty(image.page)) this.#damages.emptyPage(image.page);
      return;
    }
    for (let offset = 0; offset < PAGE_BYTES; offset++) this.#takeCell(page, image, offset, false);
  }

  /** True where the cell is what it should be, false for a row that its checksum does not fit, undefined for no row. */
  #takeCell(page: Buffer, image: PageImage, offset: number, isNamed: boolean): boolean | undefined {
    let result: boolean | undefined;
    // As its transaction saw the pages it goes on in; else, where that is damaged, as they are now.
    for (const read of [this.#reader(image), this.#newestReader]) {
      const cell = tableCellAt(page, offset, read);
      if (cell === undefined) continue;
      result = this.#takeRow(cell, image, offset);
      if (result || cell.overflow.length === 0) break;
    }
    if (result === false && isNamed && this.#isLive(image)) this.#reportCell(page, image, offset);
    return result;
  }

  #takeRow(cell: Cell, image: PageImage, offset: number): boolean {
    if (cell.kind === "hot") return this.#takeHot(hotRowOf(cell), cell, image);
    if (cell.kind !== "packed") return true;
    const streamId = Number(cell.values[1]);
    const row = packedRowOf(cell);
    for (const name of this.#names.ofStream(streamId)) {
      if (this.#takePacked(name, row, image, offset)) {
        this.#useOverflow(cell, image);
        return true;
      }
    }
    if (this.#orphans.length < MOST_ORPHANS) this.#orphans.push({ streamId, row, image, offset });
    // Named later, perhaps.
    return this.#names.ofStream(streamId).length === 0;
  }

  #takeHot(row: HotRow, cell: Cell, image: PageImage): boolean {
    const key = `hot ${row.position} ${row.crc} ${row.payload.length}`;
    if (this.#taken.has(key)) return true;
    const events = ifSound(() => decodeHotRow(row));
    if (events === undefined) return false;
    this.#taken.add(key);
    this.#useOverflow(cell, image);
    const ofStream = new Map<string, StoredEvent[]>();
    for (const event of events) {
      const known = ofStream.get(event.stream);
      if (known === undefined) ofStream.set(event.stream, [event]);
      else known.push(event);
    }
    for (const [name, run] of ofStream) this.#addHot(name, run, this.#isLive(image));
    return true;
  }

  #takePacked(name: string, row: PackedRow, image: PageImage, offset: number): boolean {
    const key = `packed ${row.firstPosition} ${row.crc} ${row.payload.length} ${name}`;
    if (this.#taken.has(key)) return true;
    const run = ifSound(() => decodePackedRow(name, row));
    if (run === undefined) return false;
    this.#taken.add(key);
    const { firstRevision, firstPosition, lastPosition, count } = row;
    this.#highestPosition = Math.max(this.#highestPosition, lastPosition);
    // Its payload is read again when it is needed: all of them together are the whole log.
    const load = (): StoredEvent[] => this.#loadPacked(name, image, offset);
    const isLive = this.#isLive(image);
    this.#stream(name).add({
      firstRevision,
      count,
      firstPosition,
      lastPosition,
      table: "packed",
      isLive,
      load,
    });
    return true;
  }

  #loadPacked(name: string, image: PageImage, offset: number): StoredEvent[] {
    const page = this.#images.bytes(image);
    for (const read of [this.#reader(image), this.#newestReader]) {
      const cell = tableCellAt(page, offset, read);
      const run = cell?.kind === "packed" && ifSound(() => decodePackedRow(name, packedRowOf(cell)));
      if (run) return Array.from({ length: run.count }, (_, index) => run.storedEvent(index));
    }
    return []; // The file has changed since: nobody can hold it still but a writer that is there.
  }

  #addHot(name: string, events: readonly StoredEvent[], isLive: boolean): void {
    const first = events[0];
    const last = events.at(-1);
    if (first === undefined || last === undefined) return;
    this.#highestPosition = Math.max(this.#highestPosition, last.position);
    this.#stream(name).add({
      firstRevision: first.revision,
      count: events.length,
      firstPosition: first.position,
      lastPosition: last.position,
      table: "hot",
      isLive,
      // Hot rows are bounded in number and bytes: they may stay in memory.
      load: () => events,
    });
  }

  #stream(name: string): XrayStream {
    let stream = this.streams.get(name);
    if (stream === undefined) {
      stream = new XrayStream(name);
      this.streams.set(name, stream);
    }
    return stream;
  }

  /** Rows of streams whose row in the table of names is lost: the checksum tells which of the known names is theirs. */
  #adoptOrphans(): void {
    const orphans = this.#orphans;
    this.#orphans = [];
    const adopted = new Map<number, string>();
    let candidates: readonly string[] | undefined;
    const hopeless = new Map<number, number>();
    for (const { streamId, row, image, offset } of orphans) {
      const known = adopted.get(streamId);
      if (known !== undefined && this.#takePacked(known, row, image, offset)) continue;
      const failures = hopeless.get(streamId) ?? 0;
      if (known === undefined && failures < MOST_FAILURES) {
        candidates ??= this.#names.candidates(this.streams, this.#namesIn);
        const name = candidates.find((each) => this.#takePacked(each, row, image, offset));
        if (name !== undefined) {
          adopted.set(streamId, name);
          continue;
        }
        hopeless.set(streamId, failures + 1);
      }
      if (this.#names.ofStream(streamId).length === 0 && this.#isLive(image))
        this.#damages.orphan(row, image.page);
    }
  }

  #isLive(image: PageImage): boolean {
    return this.#images.isNewest(image) && !this.#free.has(image.page);
  }

  #useOverflow(cell: Cell, image: PageImage): void {
    if (image.frame === -1) for (const page of cell.overflow) this.#overflow.add(page);
  }

  #reader(image: PageImage): ReadPage {
    return (page) => {
      const other = this.#images.asOf(page, image);
      return other && this.#images.bytes(other);
    };
  }

  readonly #newestReader: ReadPage = (page) => {
    const newest = this.#images.newest(page);
    return newest && this.#images.bytes(newest);
  };

  #reportCell(page: Buffer, image: PageImage, offset: number): void {
    const cell =
      tableCellAt(page, offset, this.#reader(image)) ?? tableCellAt(page, offset, this.#newestReader);
    if (cell?.kind === "hot") this.#damages.hotRow(hotRowOf(cell), image.page);
    if (cell?.kind !== "packed") return;
    const [stream] = this.#names.ofStream(Number(cell.values[1]));
    this.#damages.packedRow(packedRowOf(cell), stream, image.page);
  }
}

/** Rows of one stream that no name fits, before the rest of them is not tried any more. */
const MOST_FAILURES = 3;

function hotRowOf({ rowid, values }: Cell): HotRow {
  const [, count, encoding, crc, payload] = values;
  return {
    position: rowid,
    count: Number(count),
    encoding: Number(encoding),
    crc: Number(crc),
    payload: payload as Uint8Array,
  };
}

function packedRowOf({ rowid, values }: Cell): PackedRow {
  const [, , firstRevision, count, lastPosition, encoding, crc, payload] = values;
  return {
    firstPosition: rowid,
    firstRevision: Number(firstRevision),
    count: Number(count),
    lastPosition: Number(lastPosition),
    encoding: Number(encoding),
    crc: Number(crc),
    payload: payload as Uint8Array,
  };
}

/** Undefined where the row is not what its checksum says. */
function ifSound<Result>(decode: () => Result): Result | undefined {
  try {
    return decode();
  } catch (error) {
    if (errorCode(error) === "damaged-row") return undefined;
    throw error;
  }
}
