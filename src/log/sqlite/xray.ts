import { setImmediate as nextTick } from "node:timers/promises";
import { StateError } from "../../errors.ts";
import type { RecordedEvent } from "../event-log.ts";
import { Database } from "./engine.ts";
import { isLogOpen } from "./shared-logs.ts";
import { resolveStorePath, storeNotFound } from "./store-path.ts";
import type { XrayDamage } from "./xray-damages.ts";
import { type XrayStream, eventsByPosition } from "./xray-index.ts";
import { PageImages } from "./xray-pages.ts";
import { XrayReader } from "./xray-reader.ts";

export type { XrayDamage } from "./xray-damages.ts";
export type { RevisionRange, XrayStream } from "./xray-index.ts";

export interface XrayOptions {
  /** Streams that an event names: a row whose own stream's name is lost may belong to one of them. */
  namesIn?: (event: RecordedEvent) => Iterable<string>;
  onProgress?: (progress: XrayProgress) => void;
}

export interface XrayProgress {
  readonly pages: number;
  readonly totalPages: number;
}

/** A log's file, looked at past SQLite: every row that its own checksum proves, wherever it lies. */
export interface Xray {
  /** Undefined where the file has lost it. */
  readonly logId: string | undefined;
  /** By name. */
  readonly streams: ReadonlyMap<string, XrayStream>;
  readonly damages: readonly XrayDamage[];
  /** Of the newest event that was ever appended, as far as anything still says; -1 for none. */
  readonly highestPosition: number;
  /** All events, each once, in order of position. */
  events(): Generator<RecordedEvent>;
  /** To be called when no more is read. */
  close(): void;
}

const PAGES_A_TICK = 500;

/**
 * Reads a damaged log's file, page by page, without SQLite: indexes, lists of pages and headers may all be broken. A
 * row counts where its checksum fits all that it says; what does not fit is reported and never guessed at. Nothing is
 * written. Rows that SQLite has let go of and not yet overwritten count as well.
 *
 * @throws {StateError} `log-open` where this process has the log open: reading its file would drop SQLite's locks.
 * @throws {StoreError} `store-not-found`
 */
export async function openXray(path: string, options: XrayOptions = {}): Promise<Xray> {
  const file = await resolveStorePath(path);
  if (file.sizeBytes === undefined || file.sizeBytes === 0) throw storeNotFound(file.path);
  if (isLogOpen(`writable ${file.path}`) || isLogOpen(`read-only ${file.path}`)) {
    throw new StateError(
      "log-open",
      `The log ${file.path} is open in this process: close it before its file is read past SQLite.`,
    );
  }
  const snapshot = holdSnapshot(file.path);
  let images: PageImages | undefined;
  // The connection first: closing the file drops the locks of a connection that is still open.
  const close = (): void => {
    if (snapshot !== undefined) release(snapshot);
    images?.close();
  };
  try {
    images = new PageImages(file.path);
    const reader = new XrayReader(images, options.namesIn ?? (() => []));
    let pages = 0;
    for (const _ of reader.steps()) {
      pages += 1;
      if (pages % PAGES_A_TICK !== 0) continue;
      options.onProgress?.({ pages, totalPages: reader.stepCount });
      await nextTick();
    }
    const { logId, streams, damages, highestPosition } = reader;
    return {
      logId,
      streams,
      damages,
      highestPosition,
      events: () => eventsByPosition(streams.values()),
      close,
    };
  } catch (error) {
    close();
    throw error;
  }
}

/** The transaction by itself: a connection whose statements are not collected yet would hold it on. */
function release(snapshot: Database): void {
  try {
    snapshot.exec("ROLLBACK");
  } finally {
    snapshot.close();
  }
}

/**
 * A reading transaction, so that no writer moves pages from the write-ahead log into the database meanwhile. Where
 * SQLite cannot open the file, no writer can either.
 */
function holdSnapshot(path: string): Database | undefined {
  let database: Database | undefined;
  try {
    database = new Database(path, { readOnly: true });
    database.exec("BEGIN");
    database.number("SELECT count(*) FROM sqlite_master");
    return database;
  } catch {
    database?.close();
    return undefined;
  }
}
