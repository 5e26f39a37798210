import { copyFile, mkdtemp, rm, stat } from "node:fs/promises";
import { tmpdir } from "node:os";
import { basename, join } from "node:path";
import { StoreError } from "../../errors.ts";
import { retryWhileBusy } from "./busy-retry.ts";
import { Database, isCannotOpen, isNotDatabase, toStoreError } from "./engine.ts";
import {
  type FileKind,
  FORMAT_VERSION,
  configureConnection,
  createLog,
  fileKind,
  newerFormat,
} from "./schema.ts";
import { type StorePath, notTurnlogFile, storeNotFound } from "./store-path.ts";

/** A connection to a log, and how to let go of it. */
export interface OpenedDatabase {
  readonly database: Database;
  /** True where what is read can never change: an immutable file or a private copy. */
  readonly isFrozen: boolean;
  /** Closes the connection and removes what was made for it. */
  dispose(): Promise<void>;
}

export interface WritableOptions {
  readonly create: boolean;
  readonly busyTimeoutMs: number;
  readonly packSpan: number;
}

// A crash while a log is being made leaves at most so much behind.
const PAGE_BYTES = 4_096;

/**
 * Opens a log for writing, made anew where there is none and `create` says so.
 * @throws {StoreError} `store-not-found`, `not-a-turnlog-file`, `newer-format`, `log-busy`
 */
export async function openWritable(file: StorePath, options: WritableOptions): Promise<OpenedDatabase> {
  const { path } = file;
  const kind = await kindOf(file, options.busyTimeoutMs);
  checkKind(path, kind);
  if (kind === "blank" && !options.create) throw storeNotFound(path);
  const database = await retryWhileBusy(path, options.busyTimeoutMs, () => new Database(path));
  try {
    await retryWhileBusy(path, options.busyTimeoutMs, () => {
      if (kind === "blank") createLog(database, options.packSpan);
      configureConnection(database, path);
    });
  } catch (error) {
    database.close();
    throw error;
  }
  return { database, isFrozen: false, dispose: async () => database.close() };
}

/** Looks at the file through a connection that cannot write, so that what is not ours stays as it is. */
async function kindOf({ path, sizeBytes }: StorePath, busyTimeoutMs: number): Promise<FileKind> {
  if (sizeBytes === undefined || sizeBytes === 0) return "blank";
  try {
    return await retryWhileBusy(path, busyTimeoutMs, () => lookAt(path));
  } catch (error) {
    const cause = error instanceof StoreError ? error.cause : error;
    // A process that died while it made the log may have left a journal, which only a writer can roll back.
    if (isCannotOpen(cause) && sizeBytes <= PAGE_BYTES) return "blank";
    if (isCannotOpen(cause)) throw notTurnlogFile(path, "SQLite cannot read it without changing it", error);
    throw error;
  }
}

function lookAt(path: string, options: { immutable?: boolean } = {}): FileKind {
  const database = new Database(path, { readOnly: true, ...options });
  try {
    return fileKind(database);
  } catch (error) {
    if (isNotDatabase(error)) throw notTurnlogFile(path, "it is no SQLite database", error);
    throw error;
  } finally {
    database.close();
  }
}

function checkKind(path: string, kind: FileKind): void {
  if (kind === "newer") throw newerFormat(path, FORMAT_VERSION + 1);
  if (kind === "foreign") throw notTurnlogFile(path, "it is another application's SQLite database");
}

/**
 * Opens a log for reading: neither database nor WAL are changed.
 * @throws {StoreError} `store-not-found`, `not-a-turnlog-file`, `newer-format`, `log-busy`, `cannot-open`
 */
export async function openReadOnly(
  { path, sizeBytes }: StorePath,
  busyTimeoutMs: number,
): Promise<OpenedDatabase> {
  if (sizeBytes === undefined || sizeBytes === 0) throw storeNotFound(path);
  try {
    return await retryWhileBusy(path, busyTimeoutMs, () => connectReadOnly(path, {}));
  } catch (error) {
    const cause = error instanceof StoreError ? error.cause : error;
    if (!isCannotOpen(cause)) throw error;
  }
  // SQLite needs a `-shm` file to read a log that is in WAL mode, and cannot make one: the folder is not writable.
  const wal = await stat(`${path}-wal`).catch(() => undefined);
  try {
    return wal === undefined || wal.size === 0
      ? connectReadOnly(path, { immutable: true })
      : await openCopy(path);
  } catch (error) {
    throw toStoreError(error, path);
  }
}

function connectReadOnly(path: string, options: { immutable?: boolean }): OpenedDatabase {
  const kind = lookAt(path, options);
  checkKind(path, kind);
  if (kind === "blank") throw storeNotFound(path);
  const database = new Database(path, { readOnly: true, ...options });
  return { database, isFrozen: options.immutable === true, dispose: async () => database.close() };
}

/** No connection of this process is open on the file now, so it may be read past SQLite. */
async function openCopy(path: string): Promise<OpenedDatabase> {
  const folder = await mkdtemp(join(tmpdir(), "turnlog-read-"));
  const copy = join(folder, basename(path));
  try {
    await copyFile(path, copy);
    await copyFile(`${path}-wal`, `${copy}-wal`);
    const opened = connectReadOnly(copy, {});
    const dispose = async (): Promise<void> => {
      await opened.dispose();
      await rm(folder, { recursive: true, force: true });
    };
    return { database: opened.database, isFrozen: true, dispose };
  } catch (error) {
    await rm(folder, { recursive: true, force: true });
    throw error;
  }
}
