import { Observable, type Subscriber } from "../observable.ts";
import { errorCode } from "../../errors.ts";
import type { LogSignal, SubscribeOptions } from "../event-log.ts";
import type { ControlStream } from "./control-stream.ts";
import type { Lifetime } from "./lifetime.ts";
import type { LogStreams } from "./log-streams.ts";
import { allRequest, subscriptionRequest } from "./read-request.ts";
import { backoffMs, isPassing } from "./retrying.ts";
import type { WireRecord } from "./read-response.ts";
import type { ServerConnection } from "./server-connection.ts";
import type { ServerReader } from "./server-reader.ts";
import { permanentFailure } from "./server-failure.ts";
import type { Patience } from "./stream-appender.ts";
import { decodeEvent, positionOf, revisionOf, safeNumber } from "./wire-event.ts";

/** What a subscription needs of the log. */
export interface SubscriptionSource {
  readonly connection: ServerConnection;
  readonly control: ControlStream;
  readonly reader: ServerReader;
  readonly streams: LogStreams;
  readonly patience: Patience;
  /** Ends when the log is closed. */
  readonly lifetime: Lifetime;
  /** Position of the log's newest event. */
  head(): Promise<number>;
}

/** Each subscriber gets a subscription of its own on the server. */
export function subscription(source: SubscriptionSource, options: SubscribeOptions): Observable<LogSignal> {
  return new Observable<LogSignal>((subscriber) => {
    const running = new RunningSubscription(source, options, subscriber);
    running.run();
    return () => running.stop();
  });
}

/**
 * Follows the log for one subscriber: whatever ends the server's subscription (a slow consumer, a node that goes
 * down, another leader), it begins again after the last position that it has seen. Gives up only on what will not
 * pass: access denied, a broken certificate, damage.
 */
class RunningSubscription {
  readonly #source: SubscriptionSource;
  readonly #prefix: string;
  readonly #wantsCheckpoints: boolean;
  readonly #subscriber: Subscriber<LogSignal>;
  readonly #leave: () => void;
  /** Everything up to here was delivered or does not match. */
  #cursor: number;
  /** Where the server begins: below the cursor where that is no position of a record. */
  #start: number;
  #isStartKnown: boolean;
  #failures = 0;
  #failingSince: number | undefined;
  #pause: NodeJS.Timeout | undefined;
  #cancel: (() => void) | undefined;
  #isOver = false;

  constructor(source: SubscriptionSource, options: SubscribeOptions, subscriber: Subscriber<LogSignal>) {
    const { after = -1, streamPrefix = "", checkpoints = false } = options;
    this.#source = source;
    this.#prefix = streamPrefix;
    this.#wantsCheckpoints = checkpoints;
    this.#subscriber = subscriber;
    this.#cursor = after;
    this.#start = Math.max(after, source.control.bornAt);
    this.#isStartKnown = after <= source.control.bornAt;
    this.#leave = source.lifetime.whenOver(() => {
      this.stop();
      subscriber.complete();
    });
  }

  run(): void {
    this.#connect().catch((failure: unknown) => this.#ended(failure));
  }

  stop(): void {
    this.#isOver = true;
    clearTimeout(this.#pause);
    this.#cancel?.();
    this.#cancel = undefined;
    this.#leave?.();
  }

  async #connect(): Promise<void> {
    const { connection, control, streams, patience } = this.#source;
    // In this order: what is acknowledged before the call is below the head, and what is truncated is known.
    const head = await this.#source.head();
    if (this.#isOver) return;
    await control.refresh();
    if (this.#isOver) return;
    if (!this.#isStartKnown && this.#start !== head) await this.#checkStart();
    if (this.#isOver) return;
    let isCaughtUp = false;
    // The end of the call may come before the promise has handed out how to cancel it.
    let hasEnded = false;
    const cancel = await connection.subscribe(
      subscriptionRequest(this.#start, streams.onServer(this.#prefix)),
      patience.attemptMs,
      {
        onRecord: (record) => this.#guarded(() => this.#deliver(record)),
        onCaughtUp: () => {
          if (this.#isOver || isCaughtUp) return;
          isCaughtUp = true;
          this.#cursor = Math.max(this.#cursor, head);
          this.#works();
          this.#subscriber.next({ kind: "caught-up", position: this.#cursor });
        },
        onCheckpoint: (position) => this.#guarded(() => this.#checkpoint(safeNumber(position, "checkpoint"))),
        onEnd: (failure) => {
          hasEnded = true;
          this.#ended(failure);
        },
      },
    );
    if (this.#isOver) cancel();
    else if (!hasEnded) this.#cancel = cancel;
  }

  /** The server breaks a subscription off, without saying why, that begins where no record begins. */
  async #checkStart(): Promise<void> {
    try {
      await this.#source.reader.all(allRequest(this.#start, "", false, 1));
    } catch (failure) {
      if (errorCode(failure) !== "invalid-position") throw failure;
      // This log never gave that position. What is above it also comes after the beginning.
      this.#start = this.#source.control.bornAt;
    }
    this.#isStartKnown = true;
  }

  #deliver(record: WireRecord): void {
    const { streams, control } = this.#source;
    const position = positionOf(record);
    this.#resumeAfter(position);
    const stream = streams.inLog(record.stream);
    if (position <= this.#cursor || stream === undefined || !stream.startsWith(this.#prefix)) return;
    this.#cursor = position;
    if (control.isHidden(stream, revisionOf(record))) return;
    this.#subscriber.next({ kind: "event", event: decodeEvent(record, stream) });
  }

  #checkpoint(position: number): void {
    this.#works();
    if (position <= this.#start) return;
    this.#start = position;
    // Where others' records were looked through it is where a page of the server's began, for all that is known.
    this.#isStartKnown = false;
    if (this.#wantsCheckpoints) this.#subscriber.next({ kind: "checkpoint", position });
  }

  #resumeAfter(position: number): void {
    this.#start = Math.max(this.#start, position);
    this.#isStartKnown = true;
    this.#works();
  }

  #works(): void {
    this.#failures = 0;
    this.#failingSince = undefined;
  }

  /** Damage ends the subscription; a subscriber that throws is rxjs's affair. */
  #guarded(action: () => void): void {
    if (this.#isOver) return;
    try {
      action();
    } catch (failure) {
      this.#fail(failure);
    }
  }

  #ended(failure: unknown): void {
    this.#cancel = undefined;
    if (this.#isOver) return;
    this.#failingSince ??= performance.now();
    if (!isPassing(failure, performance.now() - this.#failingSince)) return this.#fail(failure);
    const pauseMs = backoffMs(this.#failures);
    this.#failures += 1;
    this.#pause = setTimeout(() => this.run(), pauseMs);
  }

  #fail(failure: unknown): void {
    const { serverName } = this.#source.connection;
    this.stop();
    this.#subscriber.error(permanentFailure(failure, { serverName, what: "subscription to $all" }));
  }
}
