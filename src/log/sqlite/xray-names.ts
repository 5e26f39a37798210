import { isStreamName } from "../append-checks.ts";
import type { RecordedEvent } from "../event-log.ts";
import { recordedEventOf } from "./stored-rows.ts";
import { type Cell, cellOffsets, indexCellAt, tableCellAt } from "./xray-cells.ts";
import type { XrayStream } from "./xray-index.ts";
import type { PageImage, PageImages } from "./xray-pages.ts";

const UNREADABLE = (): undefined => undefined;

/** What the table of streams says of one, beside its name. */
interface NameRow {
  /** Its number, by which packed rows name it. */
  readonly id: number;
  readonly firstRevision: number;
  readonly headRevision: number;
}

/**
 * What the small tables say: streams' names and bounds, the log's id, its highest position. No checksum covers them, so
 * a name counts only where a row's checksum confirms it.
 */
export class XrayNames {
  /** By name, as the newest copy has it. */
  readonly rows = new Map<string, NameRow>();
  logId: string | undefined;
  highestPosition = -1;
  readonly #isLive: (image: PageImage) => boolean;
  readonly #ofStream = new Map<number, string[]>();

  constructor(isLive: (image: PageImage) => boolean) {
    this.#isLive = isLive;
  }

  readPage(image: PageImage, images: PageImages): void {
    const page = images.bytes(image);
    for (const offset of cellOffsets(page, image.page, "table")?.offsets ?? []) {
      const cell = tableCellAt(page, offset, UNREADABLE);
      if (cell?.kind === "stream") this.#takeStream(cell, image);
      if (cell?.kind === "state" && this.#isLive(image))
        this.highestPosition = Math.max(this.highestPosition, Number(cell.values[1]));
    }
    for (const offset of cellOffsets(page, image.page, "index")?.offsets ?? []) {
      const cell = indexCellAt(page, offset, UNREADABLE);
      // The index of names says it a second time.
      if (cell?.kind === "name") this.#addName(Number(cell.values[1]), textOf(cell, 0));
      if (cell?.kind === "meta" && textOf(cell, 0) === "log_id") this.logId ??= textOf(cell, 1);
    }
  }

  /** The names that are known of a stream's number. */
  ofStream(id: number): readonly string[] {
    return this.#ofStream.get(id) ?? [];
  }

  /** Every name that occurs in what has been read, for rows whose own is lost; events may name other streams. */
  candidates(
    streams: ReadonlyMap<string, XrayStream>,
    namesIn: (event: RecordedEvent) => Iterable<string>,
  ): string[] {
    const names = new Set([...streams.keys(), ...[...this.#ofStream.values()].flat()]);
    for (const stream of streams.values()) {
      for (const segment of stream.segments) {
        for (const event of segment.load())
          for (const name of namesIn(recordedEventOf(event))) names.add(name);
      }
    }
    return [...names];
  }

  #takeStream(cell: Cell, image: PageImage): void {
    const name = textOf(cell, 1);
    if (!this.#addName(cell.rowid, name)) return;
    if (!this.#isLive(image) || this.rows.has(name)) return;
    this.rows.set(name, {
      id: cell.rowid,
      headRevision: Number(cell.values[2]),
      firstRevision: Number(cell.values[3]),
    });
  }

  /** False for a name that no stream can have: it is damaged. */
  #addName(id: number, name: string): boolean {
    if (!isStreamName(name)) return false;
    const known = this.#ofStream.get(id);
    if (known === undefined) this.#ofStream.set(id, [name]);
    else if (!known.includes(name)) known.push(name);
    return true;
  }
}

function textOf(cell: Cell, index: number): string {
  const value = cell.values[index];
  return typeof value === "object" && value !== null && "text" in value ? value.text : "";
}
