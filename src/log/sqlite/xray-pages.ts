import { closeSync, fstatSync, openSync, readSync } from "node:fs";

/** The page size of every log (see schema.ts). What a damaged header says of it is not asked. */
export const PAGE_BYTES = 4_096;
/** Where the file's header names the first page of the list of free pages. */
const FREE_LIST_OFFSET = 32;
const WAL_HEADER_BYTES = 32;
const FRAME_HEADER_BYTES = 24;
/** Stands for a frame that does not say which page it is a copy of. */
const NO_PAGE = 0;
/** Beyond it a page number is damage: it would be read as a file of terabytes. */
const MOST_PAGES = 2 ** 31;
const FRAME_BYTES = FRAME_HEADER_BYTES + PAGE_BYTES;

/** One stored copy of a page: the database's own, or a frame of the write-ahead log. */
export interface PageImage {
  /** From 1. */
  readonly page: number;
  /** Index of the frame, -1 for the copy in the database. */
  readonly frame: number;
}

/**
 * Every copy of every page in a database file and its write-ahead log, read past SQLite. Nothing is trusted but the
 * places of things: a copy is worth what the checksums of the rows in it say.
 */
export class PageImages {
  /** Pages of the file and of the frames. */
  readonly pageCount: number;
  /** Copies in all. */
  readonly imageCount: number;
  readonly #filePages: number;
  readonly #file: number;
  readonly #wal: number | undefined;
  /** Page of each committed frame. */
  readonly #framePages: readonly number[];
  /** For each frame the last one of its transaction. */
  readonly #transactionEnd: readonly number[];
  readonly #framesOfPage = new Map<number, number[]>();

  /**
   * No connection of this process may be open on the file, but for one that is closed first: closing a descriptor of
   * it drops the process's locks.
   */
  constructor(path: string) {
    this.#file = openSync(path, "r");
    try {
      this.#wal = openIfThere(`${path}-wal`);
      this.#filePages = Math.ceil(fstatSync(this.#file).size / PAGE_BYTES);
      const { pages, transactionEnd } = this.#wal === undefined ? NO_FRAMES : readFrames(this.#wal);
      this.#framePages = pages;
      this.#transactionEnd = transactionEnd;
    } catch (error) {
      this.close();
      throw error;
    }
    let highest = this.#filePages;
    for (const [frame, page] of this.#framePages.entries()) {
      if (page === NO_PAGE) continue;
      highest = Math.max(highest, page);
      const known = this.#framesOfPage.get(page);
      if (known === undefined) this.#framesOfPage.set(page, [frame]);
      else known.push(frame);
    }
    this.pageCount = highest;
    this.imageCount = this.#filePages + this.#framePages.length;
  }

  /** The newest copies come first, so that what is found twice is taken as it was last. */
  *all(): Generator<PageImage> {
    for (let frame = this.#framePages.length - 1; frame >= 0; frame--) {
      yield { page: this.#framePages[frame] ?? NO_PAGE, frame };
    }
    for (let page = 1; page <= this.#filePages; page++) yield { page, frame: -1 };
  }

  isNewest({ page, frame }: PageImage): boolean {
    if (page === NO_PAGE) return false;
    return (this.#framesOfPage.get(page)?.at(-1) ?? -1) === frame;
  }

  newest(page: number): PageImage | undefined {
    return this.#upTo(page, Infinity);
  }

  /** The page as a reader saw it who saw `other`, at the end of its transaction. */
  asOf(page: number, other: PageImage): PageImage | undefined {
    return this.#upTo(page, other.frame === -1 ? -1 : (this.#transactionEnd[other.frame] ?? -1));
  }

  #upTo(page: number, lastFrame: number): PageImage | undefined {
    const frame = this.#framesOfPage.get(page)?.findLast((each) => each <= lastFrame);
    if (frame !== undefined) return { page, frame };
    return page >= 1 && page <= this.#filePages ? { page, frame: -1 } : undefined;
  }

  /** A whole page; what the file has lost of it is zeros. */
  bytes({ page, frame }: PageImage): Buffer {
    const bytes = Buffer.alloc(PAGE_BYTES);
    if (frame === -1) readSync(this.#file, bytes, 0, PAGE_BYTES, (page - 1) * PAGE_BYTES);
    else if (this.#wal !== undefined) {
      const start = WAL_HEADER_BYTES + frame * FRAME_BYTES + FRAME_HEADER_BYTES;
      readSync(this.#wal, bytes, 0, PAGE_BYTES, start);
    }
    return bytes;
  }

  close(): void {
    closeSync(this.#file);
    if (this.#wal !== undefined) closeSync(this.#wal);
  }
}

/** Pages that SQLite has let go of, as far as their list can be followed. What is in them is of the past. */
export function freePages(images: PageImages): Set<number> {
  const free = new Set<number>();
  const read = (page: number): Buffer | undefined => {
    const image = images.newest(page);
    return image && images.bytes(image);
  };
  let trunk = read(1)?.readUInt32BE(FREE_LIST_OFFSET) ?? 0;
  // A list that comes back to itself is damaged: it ends there.
  while (trunk !== 0 && !free.has(trunk)) {
    const page = read(trunk);
    if (page === undefined) break;
    free.add(trunk);
    const leaves = Math.min(page.readUInt32BE(4), PAGE_BYTES / 4 - 2);
    for (let leaf = 0; leaf < leaves; leaf++) free.add(page.readUInt32BE(8 + leaf * 4));
    trunk = page.readUInt32BE(0);
  }
  return free;
}

/** Entries of five bytes on a page of the map that auto_vacuum keeps; the first such page is the second of the file. */
const MAPPED_PAGES = Math.floor(PAGE_BYTES / 5);

/** SQLite locks bytes of this page and never writes it. */
const LOCK_PAGE = 2 ** 30 / PAGE_BYTES + 1;

/** True for pages that may have nothing in them: SQLite's map from pages to what points at them, and its lock page. */
export function mayBeEmpty(page: number): boolean {
  return page === LOCK_PAGE || (page >= 2 && (page - 2) % (MAPPED_PAGES + 1) === 0);
}

function openIfThere(path: string): number | undefined {
  try {
    return openSync(path, "r");
  } catch (error) {
    if ((error as { code?: unknown }).code === "ENOENT") return undefined;
    throw error;
  }
}

interface Frames {
  readonly pages: number[];
  readonly transactionEnd: number[];
}

const NO_FRAMES: Frames = { pages: [], transactionEnd: [] };

/**
 * The frames that belong to committed transactions: those of the log's present run (its salts are in every frame), up
 * to the last that ends a transaction. SQLite stops at the first frame whose checksum is wrong; here rows have their
 * own.
 */
function readFrames(wal: number): Frames {
  const { size } = fstatSync(wal);
  const header = Buffer.alloc(WAL_HEADER_BYTES + FRAME_HEADER_BYTES);
  if (size < header.length) return NO_FRAMES;
  readSync(wal, header, 0, header.length, 0);
  const salts = { own: header.subarray(16, 24), first: header.subarray(40, 48) };
  const byOwn = readFramesWith(wal, size, salts.own);
  return byOwn.pages.length > 0 ? byOwn : readFramesWith(wal, size, salts.first);
}

function readFramesWith(wal: number, size: number, salts: Buffer): Frames {
  const pages: number[] = [];
  const transactionEnd: number[] = [];
  const header = Buffer.alloc(FRAME_HEADER_BYTES);
  const count = Math.ceil((size - WAL_HEADER_BYTES) / FRAME_BYTES);
  let committed = 0;
  for (let frame = 0; frame < count; frame++) {
    header.fill(0);
    readSync(wal, header, 0, FRAME_HEADER_BYTES, WAL_HEADER_BYTES + frame * FRAME_BYTES);
    const page = header.readUInt32BE(0);
    // Of a page that its damaged header does not name only the rows count.
    pages.push(page <= MOST_PAGES ? page : NO_PAGE);
    // A run is written from the beginning on: what lies before one of its frames is its own, whatever it says.
    if (!header.subarray(8, 16).equals(salts) || header.readUInt32BE(4) === 0) continue;
    while (committed <= frame) {
      transactionEnd.push(frame);
      committed += 1;
    }
  }
  return { pages: pages.slice(0, committed), transactionEnd };
}
