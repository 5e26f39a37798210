import { StoreError, errorCode } from "../../errors.ts";
import type { ReadRunsOptions, RecordedEvent } from "../event-log.ts";
import { retryWhileBusy } from "./busy-retry.ts";
import { tidyBeforeClosing } from "./free-space.ts";
import { eventLoopRounds } from "../event-loop-rounds.ts";
import { ChangeWatcher } from "./change-watcher.ts";
import { Checkpointer, type WalBounds } from "./checkpointer.ts";
import { CommittedState } from "./committed-state.ts";
import { LogTables } from "./log-tables.ts";
import { isBusy, toStoreError } from "./engine.ts";
import type { OpenedDatabase } from "./open-database.ts";
import { type HotBounds, Packer } from "./packing.ts";
import { PositionCursor } from "./position-cursor.ts";
import { RunCursor } from "./run-cursor.ts";
import { type Fdatasync, PowerSync } from "./power-sync.ts";
import { rewriteFile } from "./rewrite-file.ts";
import type { SubscriptionSource } from "./subscription.ts";
import { truncateStream } from "./truncation.ts";
import { WriteQueue } from "./write-queue.ts";

export interface SharedLogOptions {
  readonly readOnly: boolean;
  readonly busyTimeoutMs: number;
  readonly hotBounds: HotBounds;
  readonly walBounds?: WalBounds | undefined;
  readonly fdatasync?: Fdatasync | undefined;
}

/** All that the handles on one file share: the connection, what is known of the log, the queue of writes. */
export class SharedLog implements SubscriptionSource {
  readonly path: string;
  readonly readOnly: boolean;
  readonly state: CommittedState;
  readonly queue: WriteQueue;
  readonly power: PowerSync;
  readonly #opened: OpenedDatabase;
  readonly #packer: Packer;
  readonly #checkpointer: Checkpointer;
  readonly #watcher: ChangeWatcher;
  readonly #listeners = new Set<() => void>();
  #isWaking = false;
  #isClosed = false;

  /** Takes over `opened`, also when it fails. */
  static async open(path: string, opened: OpenedDatabase, options: SharedLogOptions): Promise<SharedLog> {
    try {
      const readTables = (): LogTables => opened.database.read(() => new LogTables(opened.database));
      const tables = await retryWhileBusy(path, options.busyTimeoutMs, readTables);
      return new SharedLog(path, opened, tables, options);
    } catch (error) {
      await opened.dispose();
      throw error;
    }
  }

  private constructor(path: string, opened: OpenedDatabase, tables: LogTables, options: SharedLogOptions) {
    this.path = path;
    this.readOnly = options.readOnly;
    this.#opened = opened;
    const { database } = opened;
    this.state = new CommittedState(path, tables);
    this.#packer = new Packer(this.state, options.hotBounds);
    this.queue = new WriteQueue(this.state, this.#packer, (bytes) => this.#committed(bytes));
    this.power = new PowerSync(path, database, options.busyTimeoutMs, options.fdatasync);
    this.#checkpointer = new Checkpointer(path, database, this.queue, options.walBounds);
    this.#watcher = new ChangeWatcher(path, () => this.#lookForChanges());
  }

  get logId(): string {
    return this.state.tables.logId;
  }

  /** Reads in a transaction that sees all commits before it, waiting for a lock where it must. */
  async read<Result>(timeoutMs: number, work: () => Result): Promise<Result> {
    // Reading waits for nothing: without this, a reader of many pages would leave the event loop to nobody else.
    const turn = eventLoopRounds.turn();
    if (turn !== undefined) await turn;
    return retryWhileBusy(this.path, timeoutMs, () => this.#readNow(work));
  }

  #readNow<Result>(work: () => Result): Result {
    this.checkOpen();
    return this.state.tables.database.read(() => {
      this.state.sync();
      return work();
    });
  }

  truncate(stream: string, before: number, timeoutMs: number): Promise<void> {
    return this.queue.change(() => truncateStream(this.state, this.#packer, stream, before), timeoutMs);
  }

  /** What is queued is written first: it may be what removes the text that is to go. */
  async rewrite(timeoutMs: number): Promise<void> {
    await this.queue.drained();
    await rewriteFile(this.path, timeoutMs);
  }

  checkOpen(): void {
    if (this.#isClosed) throw storeClosed();
  }

  openCursor(after: number, streamPrefix: string, sizeHint = Infinity): PositionCursor {
    return new PositionCursor(this.state, after, streamPrefix, sizeHint);
  }

  openRunCursor(options: ReadRunsOptions): RunCursor {
    return new RunCursor(this.state, options);
  }

  readPage(cursor: PositionCursor, isFollowing: boolean): RecordedEvent[] | undefined {
    return this.#readNow(() => (isFollowing ? cursor.nextRecentPage() : undefined) ?? cursor.nextPage());
  }

  onChange(wake: () => void): () => void {
    this.#listeners.add(wake);
    // A frozen file does not change.
    if (!this.#opened.isFrozen) this.#watcher.start();
    return () => {
      this.#listeners.delete(wake);
      if (this.#listeners.size === 0) this.#watcher.stop();
    };
  }

  #committed(bytes: number): void {
    if (bytes > 0) this.#wakeListeners();
    try {
      this.#checkpointer.afterCommit(bytes);
    } catch {
      // The commit stands, and the WAL keeps it. What stopped the checkpoint will stop a commit, which says so.
    }
  }

  #lookForChanges(): void {
    try {
      if (this.state.hasChanged()) this.#wakeListeners();
    } catch {
      // Whoever is woken reads, and meets the failure where it can be told.
      this.#wakeListeners();
    }
  }

  /** Outside the commit: what a subscriber does must not happen in the middle of a flush. */
  #wakeListeners(): void {
    if (this.#isWaking || this.#listeners.size === 0) return;
    this.#isWaking = true;
    queueMicrotask(() => {
      this.#isWaking = false;
      for (const wake of this.#listeners) wake();
    });
  }

  /** Writes what is queued, then lets go of everything. */
  async close(): Promise<void> {
    await this.queue.drained();
    this.#isClosed = true;
    this.#watcher.stop();
    try {
      await this.power.close();
      await this.#checkpointer.close();
      if (!this.readOnly) this.#tidy();
    } finally {
      await this.#opened.dispose();
    }
  }

  #tidy(): void {
    try {
      tidyBeforeClosing(this.state.tables.database);
    } catch (error) {
      const failure = toStoreError(error, this.path);
      // All that was acknowledged is in the WAL, where the next who opens the log finds it.
      if (errorCode(failure) === "disk-full" || isBusy(error)) return;
      throw failure;
    }
  }
}

export function storeClosed(): StoreError {
  return new StoreError("store-closed", "This log was closed; open it again to go on.");
}
