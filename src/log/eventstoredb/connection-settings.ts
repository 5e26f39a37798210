import { InvalidInputError } from "../../errors.ts";

/** What the server takes in one append unless it is configured otherwise. */
const DEFAULT_MAX_APPEND_BYTES = 1024 * 1024;
/** Above it the server's own limit on one message is met, however it is configured. */
const MOST_APPEND_BYTES = 16 * 1024 * 1024;
const DEFAULT_LOG_NAME = "turnlog";
/** No dot: it ends the name, so that no log's streams begin like another's. */
const LOG_NAME = /^[A-Za-z0-9_-]{1,64}$/;

/** What a store URL says, taken apart into the client's part and ours. */
export interface ConnectionSettings {
  /** For the client: without the parameters that are ours. May hold a password. */
  readonly connectionString: string;
  /** For messages: the hosts, without credentials. */
  readonly serverName: string;
  readonly logName: string;
  readonly maxAppendBytes: number;
}

/**
 * Reads a store URL such as `esdb://user:password@host:2113?tls=true&log=NAME`. Ours are `log` (default:
 * `turnlog`) and `maxAppendBytes` (the server's `MaxAppendSize`, default: 1 MiB); the client reads the rest.
 *
 * @throws {InvalidInputError} `invalid-connection-string`, which never shows the credentials
 */
export function parseConnectionSettings(url: string): ConnectionSettings {
  const [address = "", query] = splitOnce(url.trim(), "?");
  const forClient: string[] = [];
  let logName = DEFAULT_LOG_NAME;
  let maxAppendBytes = DEFAULT_MAX_APPEND_BYTES;
  for (const parameter of query === undefined || query === "" ? [] : query.split("&")) {
    const [key = "", value = ""] = splitOnce(parameter, "=");
    switch (key.toLowerCase()) {
      case "log":
        logName = checkLogName(value);
        break;
      case "maxappendbytes":
        maxAppendBytes = checkMaxAppendBytes(value);
        break;
      case "tlsverifycert":
        if (value.trim().toLowerCase() === "false") {
          throw invalid(
            "tlsVerifyCert=false has no effect in the client; name the server's authority: tlsCaFile=PATH",
          );
        }
        forClient.push(parameter);
        break;
      default:
        forClient.push(parameter);
    }
  }
  // With a slash before the ? the client takes it for part of the host.
  const hosts = address.replace(/\/+$/, "");
  return {
    connectionString: forClient.length === 0 ? hosts : `${hosts}?${forClient.join("&")}`,
    serverName: hosts.replace(/\/\/.*@/, "//"),
    logName,
    maxAppendBytes,
  };
}

export function invalidConnectionString(serverName: string, why: string): InvalidInputError {
  return invalid(`${serverName}: ${why}`);
}

function invalid(why: string): InvalidInputError {
  return new InvalidInputError(
    "invalid-connection-string",
    `The store URL cannot be used: ${why}. It looks like esdb://USER:PASSWORD@HOST:2113?tls=true&log=NAME.`,
  );
}

function checkLogName(value: string): string {
  if (LOG_NAME.test(value)) return value;
  throw invalid(`log=${JSON.stringify(value)} is not a log's name (1 to 64 letters, digits, "_" and "-")`);
}

function checkMaxAppendBytes(value: string): number {
  const bytes = Number(value);
  if (/^\d+$/.test(value) && bytes >= 1024 && bytes <= MOST_APPEND_BYTES) return bytes;
  throw invalid(
    `maxAppendBytes=${JSON.stringify(value)} is not the server's limit in bytes (1024 to ${MOST_APPEND_BYTES})`,
  );
}

function splitOnce(text: string, separator: string): [string, string | undefined] {
  const at = text.indexOf(separator);
  return at < 0 ? [text, undefined] : [text.slice(0, at), text.slice(at + 1)];
}
