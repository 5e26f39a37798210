import { constants } from "node:os";
import { createRequire } from "node:module";
import { DatabaseSync } from "@photostructure/sqlite";
import { DamageError, StoreError, TurnlogError } from "../../errors.ts";

/**
 * The only module that knows which SQLite is underneath: `@photostructure/sqlite` has the API of Node's own
 * `node:sqlite`, which can stand here where the SQLite it bundles is new enough (3.51.3).
 */

export type SqlValue = string | number | Uint8Array | null;
export type Row = readonly SqlValue[];
type Connection = InstanceType<typeof DatabaseSync>;

interface Engine {
  readonly DatabaseSync: typeof DatabaseSync;
  /** Where a worker thread, which may not know how this module was found, can load its CommonJS form from. */
  readonly path: string;
}

/**
 * The engine of the whole process, also for a second copy of this package: two SQLite libraries that have one file
 * open drop each other's locks when either closes it.
 */
const ENGINE = Symbol.for("turnlog.sqlite.engine");
const home = globalThis as { [ENGINE]?: Engine };
home[ENGINE] ??= {
  DatabaseSync,
  path: createRequire(import.meta.url).resolve("@photostructure/sqlite"),
};
const engine = home[ENGINE];

/** A prepared statement. Rows are arrays, in the order of the columns. */
export interface Statement {
  run(...parameters: SqlValue[]): void;
  get(...parameters: SqlValue[]): Row | undefined;
  all(...parameters: SqlValue[]): Row[];
}

export interface OpenDatabaseOptions {
  readOnly?: boolean;
  /** Promises SQLite that nobody changes the file: needs neither locks nor `-shm`, and ignores a WAL. */
  immutable?: boolean;
}

class BoundStatement implements Statement {
  /** A prepared statement alone does not keep its connection from being collected, and then fails. */
  readonly connection: Connection;
  readonly #statement: ReturnType<Connection["prepare"]>;

  constructor(connection: Connection, sql: string) {
    this.connection = connection;
    this.#statement = connection.prepare(sql);
    this.#statement.setReturnArrays(true);
  }

  /** By `get`, which answers nothing here: `run` makes an object of what changed, for a tenth of a small commit's time. */
  run(...parameters: SqlValue[]): void {
    this.#statement.get(...parameters);
  }

  get(...parameters: SqlValue[]): Row | undefined {
    return this.#statement.get(...parameters) as Row | undefined;
  }

  all(...parameters: SqlValue[]): Row[] {
    try {
      return this.#statement.all(...parameters) as Row[];
    } catch (error) {
      throw withResultCode(error);
    }
  }
}

/** One connection. Not to be shared between threads. */
export class Database {
  readonly #connection: Connection;
  readonly #begin: Statement;
  readonly #beginImmediate: Statement;
  readonly #commit: Statement;
  readonly #rollback: Statement;

  constructor(path: string, options: OpenDatabaseOptions = {}) {
    const location = options.immutable === true ? immutableUri(path) : path;
    // Waiting for a lock inside SQLite would stop the event loop: callers wait and try again instead.
    this.#connection = new engine.DatabaseSync(location, { readOnly: options.readOnly ?? false, timeout: 0 });
    try {
      this.#begin = this.prepare("BEGIN");
      this.#beginImmediate = this.prepare("BEGIN IMMEDIATE");
      this.#commit = this.prepare("COMMIT");
      this.#rollback = this.prepare("ROLLBACK");
    } catch (error) {
      // A file that is none of SQLite's, say: nobody else could close it.
      this.#connection.close();
      throw error;
    }
  }

  prepare(sql: string): Statement {
    return new BoundStatement(this.#connection, sql);
  }

  exec(sql: string): void {
    this.#connection.exec(sql);
  }

  /** The single number that a pragma or query gives. */
  number(sql: string): number {
    return Number(this.prepare(sql).get()?.[0] ?? 0);
  }

  /** Runs `work` in a transaction that sees one state of the database. No promise may be awaited inside. */
  read<Result>(work: () => Result): Result {
    return this.#transaction(this.#begin, work);
  }

  /** Runs `work` holding the write lock, and commits; rolls back when it throws. */
  write<Result>(work: () => Result): Result {
    return this.#transaction(this.#beginImmediate, work);
  }

  #transaction<Result>(begin: Statement, work: () => Result): Result {
    begin.run();
    try {
      const result = work();
      this.#commit.run();
      return result;
    } catch (error) {
      // SQLite has rolled back by itself after some errors (a full disk, for one).
      if (this.#connection.isTransaction) this.#rollback.run();
      throw error;
    }
  }

  close(): void {
    if (this.#connection.isOpen) this.#connection.close();
  }
}

function immutableUri(path: string): string {
  const encoded = path.split(/[\\/]/).map(encodeURIComponent).join("/");
  return `file:${encoded.startsWith("/") ? "" : "/"}${encoded}?immutable=1`;
}

/** Where a worker thread finds the engine. */
export function enginePath(): string {
  return engine.path;
}

const SQLITE_BUSY = 5;
const SQLITE_LOCKED = 6;
const SQLITE_READONLY = 8;
const SQLITE_IOERR = 10;
const SQLITE_CORRUPT = 11;
const SQLITE_FULL = 13;
const SQLITE_CANTOPEN = 14;
const SQLITE_PROTOCOL = 15;
const SQLITE_NOTADB = 26;
/** No room on the disk, in the quota, or under the process's limit of file size. */
const NO_ROOM: ReadonlySet<unknown> = new Set([
  constants.errno.ENOSPC,
  constants.errno.EDQUOT,
  constants.errno.EFBIG,
]);

/** What SQLite says for the codes that this module tells apart (sqlite3_errstr). */
const MESSAGES: ReadonlyMap<string, number> = new Map([
  ["database is locked", SQLITE_BUSY],
  ["database table is locked", SQLITE_LOCKED],
  ["attempt to write a readonly database", SQLITE_READONLY],
  ["disk I/O error", SQLITE_IOERR],
  ["database disk image is malformed", SQLITE_CORRUPT],
  ["database or disk is full", SQLITE_FULL],
  ["unable to open database file", SQLITE_CANTOPEN],
  ["locking protocol", SQLITE_PROTOCOL],
  ["file is not a database", SQLITE_NOTADB],
]);

/** The driver leaves the result code out of an error that comes between the rows of `all`. */
function withResultCode(error: unknown): unknown {
  // Of another realm's class, maybe: the driver is native.
  if (typeof error !== "object" || error === null || "errcode" in error || !("message" in error))
    return error;
  const message = String(error.message);
  const isSchema = message.startsWith("malformed database schema");
  const errcode = isSchema ? SQLITE_CORRUPT : MESSAGES.get(message);
  return errcode === undefined ? error : Object.assign(error, { errcode });
}

/** SQLite's primary result code, undefined for an error that is not SQLite's. */
function resultCode(error: unknown): number | undefined {
  if (!(error instanceof Error) && !(typeof error === "object" && error !== null)) return undefined;
  // The low byte is the primary code; the rest says more.
  return "errcode" in error && typeof error.errcode === "number" ? error.errcode & 0xff : undefined;
}

/** Another connection holds a lock: to be tried again. */
export function isBusy(error: unknown): boolean {
  const code = resultCode(error);
  return code === SQLITE_BUSY || code === SQLITE_LOCKED || code === SQLITE_PROTOCOL;
}

/** SQLite could not make or open one of the files it needs. */
export function isCannotOpen(error: unknown): boolean {
  const code = resultCode(error);
  return code === SQLITE_CANTOPEN || code === SQLITE_READONLY;
}

/** The file is no SQLite database. */
export function isNotDatabase(error: unknown): boolean {
  return resultCode(error) === SQLITE_NOTADB;
}

function isDiskFull(error: unknown): boolean {
  return (
    typeof error === "object" && error !== null && "systemErrno" in error && NO_ROOM.has(error.systemErrno)
  );
}

/** SQLite's errors as ours, everything else unchanged. */
export function toStoreError(error: unknown, path: string): unknown {
  const code = resultCode(error);
  if (code === undefined || TurnlogError.isInstance(error)) return error;
  const options = { cause: error, details: { path } };
  const reason = error instanceof Error ? error.message : String(error);
  if (isBusy(error)) {
    return new StoreError(
      "log-busy",
      `The log ${path} was locked by another process for too long; nothing was written. Try again, or raise busyTimeoutMs.`,
      options,
    );
  }
  if (code === SQLITE_FULL || (code === SQLITE_IOERR && isDiskFull(error))) {
    return new StoreError(
      "disk-full",
      `There is no room left for the log ${path}; nothing was written. Free some space and try again.`,
      options,
    );
  }
  if (code === SQLITE_READONLY) {
    return new StoreError(
      "read-only",
      `The log ${path} cannot be written (${reason}). Check its permissions.`,
      options,
    );
  }
  if (code === SQLITE_CORRUPT || code === SQLITE_NOTADB) {
    return new DamageError("damaged-file", `SQLite finds the log ${path} damaged (${reason}).`, options);
  }
  if (code === SQLITE_CANTOPEN) {
    return new StoreError(
      "cannot-open",
      `The log ${path} or a file beside it cannot be opened (${reason}).`,
      options,
    );
  }
  return new StoreError("storage-failed", `SQLite failed on the log ${path}: ${reason}.`, options);
}
