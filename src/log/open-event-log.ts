import { fileURLToPath } from "node:url";
import { InvalidInputError } from "../errors.ts";
import type { EventLog } from "./event-log.ts";
import { MemoryEventLog } from "./memory-event-log.ts";

/** Where a log is, as a store URL says it. */
export type StoreLocation =
  /** Without a name the log is private to its opener. */
  | { readonly engine: "memory"; readonly name?: string }
  | { readonly engine: "sqlite"; readonly path: string }
  | { readonly engine: "eventstoredb"; readonly url: string };

export interface OpenEventLogOptions {
  /** Never writes, and never creates a log. Default: false. */
  readOnly?: boolean;
  /** Creates the log where there is none. Default: true, unless `readOnly`. */
  create?: boolean;
}

/** Two letters at least: one letter is a Windows drive, as in `C:\logs\a.db`. */
const SCHEME = /^([a-z][a-z0-9+.-]+):/i;

const KNOWN =
  "Known are memory:, memory:NAME, file:./conversations.db, a bare path (./a:b.db where it has a colon), esdb://HOST:PORT and esdb+discover://HOST:PORT";

/**
 * Reads a store URL or path without touching anything.
 *
 * @throws {InvalidInputError} `unknown-store-url` for an empty string, an unknown scheme, and `file:` URLs that are no path.
 */
export function parseStoreUrl(urlOrPath: string): StoreLocation {
  if (typeof urlOrPath !== "string" || urlOrPath.trim() === "") throw unknownUrl(urlOrPath, "it is empty");
  if (urlOrPath.includes("\0")) throw unknownUrl(urlOrPath, "it holds a NUL character");
  // SQLite's own word for it would make a log that vanishes unseen, or a file of that name.
  if (urlOrPath === ":memory:") throw unknownUrl(urlOrPath, "the log in memory is written memory:");
  const scheme = SCHEME.exec(urlOrPath)?.[1];
  if (scheme === undefined) return { engine: "sqlite", path: urlOrPath };
  const rest = urlOrPath.slice(scheme.length + 1);
  switch (scheme.toLowerCase()) {
    case "memory":
      return rest === "" ? { engine: "memory" } : { engine: "memory", name: rest };
    case "file":
      return { engine: "sqlite", path: filePath(urlOrPath, rest) };
    case "esdb":
    case "esdb+discover":
      if (!rest.startsWith("//")) throw unknownUrl(urlOrPath, `${scheme}: is followed by //`);
      return { engine: "eventstoredb", url: urlOrPath };
    default:
      throw unknownUrl(urlOrPath, `the scheme ${scheme}: is unknown`);
  }
}

/** `file:./x.db` and `file:x.db` are relative to the working directory, as everybody writes them; `file:///x.db` follows the standard. */
function filePath(url: string, rest: string): string {
  if (/[?#]/.test(rest))
    throw unknownUrl(url, "a file: URL takes no ? or #; write %3F and %23, or a bare path");
  try {
    const path = rest.startsWith("/") ? fileURLToPath(new URL(`file:${rest}`)) : decodeURIComponent(rest);
    if (path !== "" && !path.includes("\0")) return path;
  } catch (cause) {
    throw unknownUrl(url, "it is not a path of this machine", cause);
  }
  throw unknownUrl(url, "it names no file");
}

function unknownUrl(url: unknown, why: string, cause?: unknown): InvalidInputError {
  return new InvalidInputError(
    "unknown-store-url",
    `The store ${JSON.stringify(withoutCredentials(String(url)))} cannot be opened: ${why}. ${KNOWN}.`,
    cause === undefined ? {} : { cause },
  );
}

/**
 * Opens the log that a store URL or a path names: `memory:` (private), `memory:NAME` (shared in this process),
 * `file:./conversations.db` or a bare path (SQLite), `esdb://HOST:PORT` (EventStoreDB or KurrentDB).
 *
 * @throws {InvalidInputError} `unknown-store-url`
 * @throws {StoreError} `store-not-found` where it is not to be created, and what the engine says.
 */
export async function openEventLog(urlOrPath: string, options: OpenEventLogOptions = {}): Promise<EventLog> {
  const location = parseStoreUrl(urlOrPath);
  switch (location.engine) {
    case "memory":
      return new MemoryEventLog({ ...options, ...(location.name !== undefined && { name: location.name }) });
    case "sqlite": {
      // Loaded on demand: a program that never opens a file needs no native module.
      const { openSqliteEventLog } = await import("./sqlite/sqlite-event-log.ts");
      return openSqliteEventLog(location.path, options);
    }
    case "eventstoredb": {
      // Loaded on demand: gRPC and the client are large.
      const { openEventStoreDbEventLog } = await import("./eventstoredb/eventstoredb-event-log.ts");
      return openEventStoreDbEventLog(location.url, options);
    }
  }
}

/** For messages: a store URL without user and password. @param instead what stands for them */
export function withoutCredentials(url: string, instead = ""): string {
  return url.replace(/(?<=:\/\/)[^/@]*@/, instead);
}
