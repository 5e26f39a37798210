import { NO_REVISION } from "../expected-revision.ts";
import { HotIndex } from "./hot-index.ts";
import type { LogTables } from "./log-tables.ts";
import { RecentEvents } from "./recent-events.ts";
import { checkFormatVersion } from "./schema.ts";
import { decodeHotRow } from "./stored-rows.ts";

const MOST_CACHED_HEADS = 20_000;
/** Rows that may be here although other processes have dropped them, before all keys are compared. */
const MOST_UNCHECKED_ROWS = 256;

/**
 * What this process knows of the committed log, so that an append need not ask the tables. Own commits keep it up
 * to date; `sync` takes in those of other processes.
 */
export class CommittedState {
  readonly path: string;
  readonly tables: LogTables;
  readonly hot = new HotIndex();
  readonly recent = new RecentEvents();
  highestPosition = -1;
  /** Epoch ms: never decreases. */
  recordedAt = 0;
  hotGeneration = 0;
  /** Changes whenever events may have gone from hot rows to packed ones, here or in another process. */
  packings = 0;
  #dataVersion = -1;
  #isComplete = false;
  #rowsWhenCompared = 0;
  readonly #heads = new Map<string, number>();

  constructor(path: string, tables: LogTables) {
    this.path = path;
    this.tables = tables;
  }

  /**
   * To be called first in every transaction.
   * @throws {StoreError} `newer-format`
   * @throws {DamageError} `damaged-row` where a hot row cannot be read.
   */
  sync(): void {
    const dataVersion = this.tables.dataVersion();
    if (dataVersion === this.#dataVersion && this.#isComplete) return;
    this.packings += 1;
    checkFormatVersion(this.tables.database, this.path);
    const state = this.tables.state();
    this.#heads.clear();
    if (!this.#isComplete || state.hotGeneration !== this.hotGeneration) this.#loadAll();
    else this.#loadNew();
    this.hotGeneration = state.hotGeneration;
    this.highestPosition = Math.max(this.highestPosition, state.highestPosition);
    this.recordedAt = Math.max(this.recordedAt, state.recordedAt);
    this.#dataVersion = dataVersion;
  }

  /** True when another process has committed since the last `sync`. Needs no transaction. */
  hasChanged(): boolean {
    return this.tables.dataVersion() !== this.#dataVersion;
  }

  /** After a transaction that failed half-way: what is here may be ahead of the tables. */
  invalidate(): void {
    this.#isComplete = false;
  }

  /** A stream's newest revision, `NO_REVISION` where it has none. Inside a transaction. */
  head(stream: string): number {
    const cached = this.#heads.get(stream);
    if (cached !== undefined) return cached;
    const packedHead = this.tables.stream(stream)?.headRevision ?? NO_REVISION;
    const head = Math.max(packedHead, this.hot.stream(stream).at(-1)?.revision ?? NO_REVISION);
    this.setHead(stream, head);
    return head;
  }

  setHead(stream: string, revision: number): void {
    if (this.#heads.size >= MOST_CACHED_HEADS && !this.#heads.has(stream)) this.#heads.clear();
    this.#heads.set(stream, revision);
  }

  #loadAll(): void {
    this.#isComplete = false;
    this.hot.clear();
    this.recent.clear();
    this.highestPosition = -1;
    for (const position of this.tables.hotKeys()) this.#loadRow(position);
    this.#rowsWhenCompared = this.hot.rowCount;
    this.#isComplete = true;
  }

  #loadNew(): void {
    for (const position of this.tables.hotKeysAfter(this.highestPosition)) this.#loadRow(position);
    if (this.hot.rowCount <= 2 * this.#rowsWhenCompared + MOST_UNCHECKED_ROWS) return;
    this.hot.keepOnly(this.tables.hotKeys());
    this.#rowsWhenCompared = this.hot.rowCount;
  }

  #loadRow(position: number): void {
    const row = this.tables.hotRow(position);
    if (row === undefined) return;
    const events = decodeHotRow(row);
    this.hot.add(position, row.payload.length, events);
    const newest = events.at(-1);
    if (newest === undefined) return;
    this.highestPosition = Math.max(this.highestPosition, newest.position);
    this.recordedAt = Math.max(this.recordedAt, newest.recordedAt);
  }
}
