import type { Lifetime } from "./lifetime.ts";
import type { ReadRequest } from "./read-request.ts";
import { retrying } from "./retrying.ts";
import type { ReadPage, ServerConnection } from "./server-connection.ts";
import type { Patience } from "./stream-appender.ts";

/** What looking through other logs' events may take in one attempt at first; it doubles, since each attempt begins anew. */
const SCAN_FACTOR = 2;

/** Reads pages, and tries again where that may help. */
export class ServerReader {
  readonly patience: Patience;
  readonly #connection: ServerConnection;
  readonly #lifetime: Lifetime;

  constructor(connection: ServerConnection, patience: Patience, lifetime: Lifetime) {
    this.#connection = connection;
    this.patience = patience;
    this.#lifetime = lifetime;
  }

  /** @throws {StoreError} `server-unavailable`, `access-denied`, … */
  stream(stream: string, request: ReadRequest): Promise<ReadPage> {
    return this.#read(`read of stream "${stream}"`, request, stream);
  }

  /** @throws {StoreError} `invalid-position` where the request names a position at which no record begins */
  all(request: ReadRequest): Promise<ReadPage> {
    return this.#read("read of $all", request);
  }

  #read(what: string, request: ReadRequest, stream?: string): Promise<ReadPage> {
    const { attemptMs, deadlineMs } = this.patience;
    const timeoutMs = (failures: number): number =>
      stream === undefined ? attemptMs * SCAN_FACTOR ** Math.min(failures + 1, 6) : attemptMs;
    return retrying((failures) => this.#connection.readPage(request, timeoutMs(failures), this.#lifetime), {
      deadlineMs,
      lifetime: this.#lifetime,
      subject: { serverName: this.#connection.serverName, what, ...(stream !== undefined && { stream }) },
    });
  }
}
