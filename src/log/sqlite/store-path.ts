import { constants } from "node:fs";
import { access, realpath, stat, statfs } from "node:fs/promises";
import { basename, dirname, join, resolve } from "node:path";
import { InvalidInputError, StoreError } from "../../errors.ts";

/** What can be told of a store's file without opening it. */
export interface StorePath {
  /** Absolute, links resolved: the same for everyone who means this file. */
  readonly path: string;
  /** Undefined where there is no file. */
  readonly sizeBytes: number | undefined;
}

/**
 * @throws {InvalidInputError} `invalid-store-path`
 * @throws {StoreError} `store-not-found` for a folder that does not exist, `not-a-turnlog-file` for what is no file.
 */
export async function resolveStorePath(given: string): Promise<StorePath> {
  if (typeof given !== "string" || given === "" || given === ":memory:" || given.includes("\0")) {
    throw new InvalidInputError(
      "invalid-store-path",
      `The store needs a path of a file, not ${JSON.stringify(given)}.`,
    );
  }
  const absolute = resolve(given);
  const path = await realpath(absolute).catch(() => resolveInFolder(absolute));
  try {
    const stats = await stat(path);
    if (stats.isFile()) return { path, sizeBytes: stats.size };
  } catch (error) {
    if (hasCode(error, "ENOENT")) return { path, sizeBytes: undefined };
    throw new StoreError("cannot-open", `The store ${path} cannot be looked at: ${String(error)}.`, {
      cause: error,
    });
  }
  throw notTurnlogFile(path, "it is no file");
}

async function resolveInFolder(absolute: string): Promise<string> {
  const folder = dirname(absolute);
  try {
    return join(await realpath(folder), basename(absolute));
  } catch (error) {
    throw new StoreError(
      "store-not-found",
      `The folder ${folder} of the store does not exist; make it first.`,
      {
        cause: error,
        details: { path: absolute },
      },
    );
  }
}

function hasCode(error: unknown, code: string): boolean {
  return typeof error === "object" && error !== null && "code" in error && error.code === code;
}

export function notTurnlogFile(path: string, why: string, cause?: unknown): StoreError {
  return new StoreError(
    "not-a-turnlog-file",
    `${path} is no turnlog store (${why}); it was not touched. Name another path.`,
    {
      ...(cause === undefined ? {} : { cause }),
      details: { path },
    },
  );
}

export function storeNotFound(path: string): StoreError {
  return new StoreError(
    "store-not-found",
    `There is no store at ${path}, and it was not to be made. Check the path.`,
    {
      details: { path },
    },
  );
}

/** @throws {StoreError} `read-only` where the file, or the folder that its WAL lies in, cannot be written. */
export async function checkWritable({ path, sizeBytes }: StorePath): Promise<void> {
  try {
    await access(dirname(path), constants.W_OK);
    if (sizeBytes !== undefined) await access(path, constants.W_OK);
  } catch (error) {
    throw new StoreError(
      "read-only",
      `The store ${path} or its folder cannot be written. Check the permissions, or open it with readOnly.`,
      { cause: error, details: { path } },
    );
  }
}

// From Linux' magic.h. Locks and shared memory do not work across machines on these.
const NETWORK_FILE_SYSTEMS = new Map([
  [0x6969, "NFS"],
  [0x517b, "SMB"],
  [0xff534d42, "CIFS"],
  [0xfe534d42, "SMB2"],
  [0x5346414f, "AFS"],
  [0x00c36400, "Ceph"],
  [0x0bd00bd0, "Lustre"],
]);
const UNCLEAR_FILE_SYSTEMS = new Map([
  [0x65735546, "FUSE"],
  [0x01021997, "9P"],
]);

/**
 * SQLite's WAL needs memory that all its processes share, which a network file system cannot give.
 * @throws {StoreError} `network-file-system` before anything is written to one.
 */
export async function checkFileSystem(
  path: string,
  readOnly: boolean,
  onWarning: (message: string) => void,
  typeOf: (folder: string) => Promise<number | undefined> = fileSystemType,
): Promise<void> {
  const type = await typeOf(dirname(path));
  if (type === undefined) return;
  const unclear = UNCLEAR_FILE_SYSTEMS.get(type);
  if (unclear !== undefined) {
    onWarning(
      `The store ${path} lies on ${unclear}, which may be a network file system: several processes must not use it unless they share memory.`,
    );
  }
  const network = NETWORK_FILE_SYSTEMS.get(type);
  if (network === undefined) return;
  if (readOnly)
    return onWarning(`The store ${path} lies on ${network}: what is read may be out of date or torn.`);
  throw new StoreError(
    "network-file-system",
    `The store ${path} lies on ${network}, where SQLite's locks do not hold and logs get damaged. Use a local disk, or an EventStoreDB server.`,
    { details: { path, fileSystem: network } },
  );
}

/** The number that Linux gives a file system, undefined elsewhere: other systems number theirs in other ways. */
async function fileSystemType(folder: string): Promise<number | undefined> {
  if (process.platform !== "linux") return undefined;
  const { type } = await statfs(folder);
  return type >>> 0;
}
