import { errorCode } from "../../errors.ts";
import { type ExpectedRevision, NO_REVISION } from "../expected-revision.ts";
import type { AppendAnswer, WireExpectation } from "./append-pipe.ts";
import type { Lifetime } from "./lifetime.ts";
import { streamRequest } from "./read-request.ts";
import { backoffMs, retrying } from "./retrying.ts";
import type { ServerConnection } from "./server-connection.ts";
import { type ProposedMessage, revisionOf } from "./wire-event.ts";

/** Streams whose newest revision is remembered. */
const MOST_REVISIONS = 10_000;
/** Conflicts in a row that are met again at once; then others write to this stream all the time. */
const QUICK_CONFLICTS = 3;

/** How long things may take, in ms. */
export interface Patience {
  /** For one attempt, without any sign of the server. */
  readonly attemptMs: number;
  /** For all attempts together. */
  readonly deadlineMs: number;
}

export interface AppendOrder {
  /** As the server names it. */
  readonly stream: string;
  readonly messages: readonly ProposedMessage[];
  readonly expected: ExpectedRevision;
}

/**
 * Appends to a server's streams: different ones at the same time, one by one in the order of the calls.
 *
 * What is sent always names a revision, also for "any" and "stream-exists": the newest that is known, and after a
 * conflict the one that the server names. So each attempt lands at most once, and the identical attempt after a
 * lost answer finds out what became of it, however late the first one comes.
 */
export class StreamAppender {
  readonly #connection: ServerConnection;
  /** The last append of each stream that has some under way; resolves to what it failed of. */
  readonly #tails = new Map<string, Promise<unknown>>();
  readonly #revisions = new Map<string, number>();

  constructor(connection: ServerConnection) {
    this.#connection = connection;
  }

  /** @throws {StoreError} when the deadline passes, counted from this call, or trying again would not help */
  append(order: AppendOrder, patience: Patience, lifetime: Lifetime): Promise<AppendAnswer> {
    const start = performance.now();
    const before = this.#tails.get(order.stream) ?? Promise.resolve();
    const result = before.then((failure) => {
      // Else each of a queue would wait for a server that the one before it had waited for until its own deadline.
      if (isUnavailable(failure) && leftMs(patience, start) === 0) throw failure;
      return this.#append(order, patience, start, lifetime);
    });
    const tail = result.then(
      () => undefined,
      (failure: unknown) => failure,
    );
    this.#tails.set(order.stream, tail);
    void tail.then(() => {
      if (this.#tails.get(order.stream) === tail) this.#tails.delete(order.stream);
    });
    return result;
  }

  /** @param start when it was asked for; where the deadline has passed since, it is tried once */
  async #append(
    order: AppendOrder,
    patience: Patience,
    start: number,
    lifetime: Lifetime,
  ): Promise<AppendAnswer> {
    const { stream, expected } = order;
    let wire = await this.#wireExpectation(stream, expected, patience, lifetime);
    for (let conflicts = 1; wire !== undefined; conflicts += 1) {
      const left = { ...patience, deadlineMs: leftMs(patience, start) };
      const answer = await this.#send(order, wire, left, lifetime);
      if (answer.ok) {
        this.#remember(stream, answer.revision);
        return answer;
      }
      this.#remember(stream, answer.actualRevision);
      const isConflict =
        expected === "no-stream" ||
        typeof expected === "number" ||
        (expected === "stream-exists" && answer.actualRevision === NO_REVISION);
      if (isConflict) return answer;
      if (conflicts > QUICK_CONFLICTS) await lifetime.pause(backoffMs(0));
      wire = answer.actualRevision === NO_REVISION ? "no-stream" : answer.actualRevision;
    }
    return { ok: false, actualRevision: NO_REVISION };
  }

  /** Undefined where the stream must exist and does not. */
  async #wireExpectation(
    stream: string,
    expected: ExpectedRevision,
    patience: Patience,
    lifetime: Lifetime,
  ): Promise<WireExpectation | undefined> {
    if (typeof expected === "number" || expected === "no-stream") return expected;
    const known = this.#revisions.get(stream);
    if (known !== undefined && known !== NO_REVISION) return known;
    if (expected === "any") return "no-stream";
    const newest = await this.newestRevision(stream, patience, lifetime);
    return newest === NO_REVISION ? undefined : newest;
  }

  #send(
    { stream, messages }: AppendOrder,
    wire: WireExpectation,
    { attemptMs, deadlineMs }: Patience,
    lifetime: Lifetime,
  ): Promise<AppendAnswer> {
    const subject = { serverName: this.#connection.serverName, what: `append to stream "${stream}"`, stream };
    return retrying(() => this.#connection.append(stream, messages, wire, attemptMs), {
      deadlineMs,
      lifetime,
      subject,
      isUnknown: true,
    });
  }

  /** -1 where the stream has no events. */
  async newestRevision(
    stream: string,
    { attemptMs, deadlineMs }: Patience,
    lifetime: Lifetime,
  ): Promise<number> {
    const request = streamRequest(stream, "end", true, 1);
    const subject = { serverName: this.#connection.serverName, what: `read of stream "${stream}"`, stream };
    const { records } = await retrying(() => this.#connection.readPage(request, attemptMs, lifetime), {
      deadlineMs,
      lifetime,
      subject,
    });
    const [newest] = records;
    return newest === undefined ? NO_REVISION : revisionOf(newest);
  }

  #remember(stream: string, revision: number): void {
    this.#revisions.delete(stream);
    this.#revisions.set(stream, revision);
    if (this.#revisions.size <= MOST_REVISIONS) return;
    for (const oldest of this.#revisions.keys()) {
      this.#revisions.delete(oldest);
      return;
    }
  }
}

function leftMs({ deadlineMs }: Patience, start: number): number {
  return Math.max(0, deadlineMs - (performance.now() - start));
}

function isUnavailable(failure: unknown): boolean {
  return errorCode(failure) === "server-unavailable";
}
