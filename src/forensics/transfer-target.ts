import { randomUUID } from "node:crypto";
import { InvalidInputError } from "../errors.ts";
import { MESSAGE_IDS_STREAM, conversationStream, sessionOfStream } from "../events/conversation-event.ts";
import type { EventLog, RecordedEvent } from "../log/event-log.ts";
import { MessageIds } from "../store/message-ids.ts";
import { Writer } from "../store/writer.ts";
import { AlignedStream, type TransferStream, newestOf } from "./transfer-align.ts";
import { TransferBatch } from "./transfer-batch.ts";
import { type RenewalServices, RenewedSession } from "./transfer-renew.ts";

export interface TargetOptions {
  readonly sourceLogId: string;
  /** Name in the target of the only session that comes. */
  readonly as?: string | undefined;
}

const HEARTBEAT_MS = 10_000;
/** Digits of an event's id before its counter. */
const PREFIX_LENGTH = 24;

/**
 * Takes a source's events into a log. Ids are kept where the target's `message-ids` is the beginning of the source's,
 * and so is what it has of a session; else sessions get new ones. What is there already is met again and skipped.
 */
export class TransferTarget {
  readonly #log: EventLog;
  readonly #options: TargetOptions;
  readonly #batch: TransferBatch;
  readonly #streams = new Map<string, TransferStream>();
  readonly #renewal: RenewalServices;
  readonly #writer: Writer;
  #ids: AlignedStream | undefined;
  /** Undefined until the source's `message-ids` has been seen whole. */
  #keepsIds: boolean | undefined;
  readonly #renewed: string[] = [];
  #sessions = 0;

  constructor(log: EventLog, options: TargetOptions) {
    this.#log = log;
    this.#options = options;
    this.#batch = new TransferBatch(log);
    this.#writer = new Writer(log, { label: "turnlog copy", heartbeatMs: HEARTBEAT_MS });
    const messageIds = new MessageIds(log, this.#writer);
    // A prefix and a counter, as writers make them: runs of ids take next to no room.
    const prefix = randomUUID().slice(0, PREFIX_LENGTH);
    let count = 0;
    this.#renewal = {
      log,
      batch: this.#batch,
      sourceLogId: options.sourceLogId,
      newEventId: () => prefix + (count++).toString(16).padStart(12, "0"),
      reserveBlock: (sessionId) => messageIds.reserveBlock(sessionId),
    };
  }

  /** Events that are in the target's log by this. */
  get appended(): number {
    return this.#batch.appended;
  }

  get sessions(): number {
    return this.#sessions;
  }

  /** Sessions whose messages got new ids, by their names in the target. */
  get renewedSessions(): readonly string[] {
    return this.#renewed;
  }

  /** @throws {StateError} `session-differs`, `stream-differs`, `target-changed` */
  async take(event: RecordedEvent): Promise<void> {
    if (event.stream === MESSAGE_IDS_STREAM) return this.#takeId(event);
    this.#keepsIds ??= await this.#judgeIds();
    let stream = this.#streams.get(event.stream);
    if (stream === undefined) {
      stream = await this.#open(event.stream);
      this.#streams.set(event.stream, stream);
    }
    await stream.take(event);
  }

  /** Resolves when all that was taken is in the log. */
  async flush(): Promise<void> {
    await this.#batch.flush();
  }

  /** To be called when the source has no more. */
  async finish(): Promise<void> {
    this.#keepsIds ??= await this.#judgeIds();
    for (const stream of this.#streams.values()) await stream.finish();
    await this.#batch.flush();
  }

  /** Lets go of everything, also after a failure. */
  async close(): Promise<void> {
    await this.#writer.stop();
  }

  async #takeId(event: RecordedEvent): Promise<void> {
    // Under a name of its own a session needs blocks of its own.
    if (this.#options.as !== undefined) return;
    this.#ids ??= await AlignedStream.open(this.#log, this.#batch, MESSAGE_IDS_STREAM);
    await this.#ids.take(event);
  }

  async #judgeIds(): Promise<boolean> {
    if (this.#options.as !== undefined) return false;
    if (this.#ids === undefined) return (await newestOf(this.#log, MESSAGE_IDS_STREAM)) === undefined;
    return this.#ids.isPrefix;
  }

  async #open(name: string): Promise<TransferStream> {
    const sessionId = sessionOfStream(name);
    if (sessionId === undefined) return AlignedStream.open(this.#log, this.#batch, name);
    this.#sessions += 1;
    const { as, sourceLogId } = this.#options;
    if (as !== undefined && this.#sessions > 1) {
      throw new InvalidInputError(
        "invalid-usage",
        "Only one session can be given another name: select it with --session.",
      );
    }
    const target = as ?? sessionId;
    const head = await newestOf(this.#log, conversationStream(target));
    // A session that is there under the source's own ids is gone on with, or found to be whole; never under new ones.
    const isThere = head !== undefined && !RenewedSession.isCopy(head, sourceLogId, name);
    if (as === undefined && (isThere || (this.#keepsIds === true && head === undefined)))
      return AlignedStream.open(this.#log, this.#batch, name, this.#keepsIds === true);
    this.#renewed.push(target);
    return RenewedSession.open(this.#renewal, target, name);
  }
}
