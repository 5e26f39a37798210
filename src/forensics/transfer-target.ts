import { randomUUID } from "node:crypto";
import { InvalidInputError, StateError, errorCode } from "../errors.ts";
import { MESSAGE_IDS_STREAM, conversationStream, sessionOfStream } from "../events/conversation-event.ts";
import type { EventLog, RecordedEvent } from "../log/event-log.ts";
import { MessageIds } from "../store/message-ids.ts";
import { Writer } from "../store/writer.ts";
import { PlaceholderEvents } from "./placeholder-events.ts";
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
  readonly #services: RenewalServices;
  readonly #writer: Writer;
  #ids: AlignedStream | undefined;
  /** Undefined until the source's `message-ids` has been seen whole. */
  #keepsIds: boolean | undefined;
  readonly #renewed: string[] = [];
  /** Streams that cannot be taken, and why. */
  readonly #refused = new Map<string, StateError>();
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
    const newEventId = (): string => prefix + (count++).toString(16).padStart(12, "0");
    this.#services = {
      log,
      batch: this.#batch,
      sourceLogId: options.sourceLogId,
      placeholders: new PlaceholderEvents(newEventId),
      newEventId,
      reserveBlock: (sessionId) => messageIds.reserveBlock(sessionId),
    };
  }

  /** Events that are in the target's log: by this, and from before. */
  get counts(): TransferBatch["counts"] {
    return this.#batch.counts;
  }

  get sessions(): number {
    return this.#sessions;
  }

  /** Sessions whose messages got new ids, by their names in the target. */
  get renewedSessions(): readonly string[] {
    return this.#renewed;
  }

  /** @throws {StateError} `target-changed`, `event-too-large` */
  async take(event: RecordedEvent): Promise<void> {
    const { stream: name } = event;
    if (name === MESSAGE_IDS_STREAM) return this.#takeId(event);
    this.#keepsIds ??= await this.#judgeIds();
    if (this.#refused.has(name)) return;
    await this.#orRefuse(name, async () => {
      let stream = this.#streams.get(name);
      if (stream === undefined) {
        stream = await this.#open(name);
        this.#streams.set(name, stream);
      }
      await stream.take(event);
    });
  }

  /** One stream that cannot be taken does not keep the others from it. */
  async #orRefuse(name: string, work: () => Promise<void>): Promise<void> {
    try {
      await work();
    } catch (error) {
      const code = errorCode(error);
      if (!(error instanceof StateError) || (code !== "session-differs" && code !== "stream-differs"))
        throw error;
      this.#refused.set(name, error);
    }
  }

  /** Resolves when all that was taken is in the log. */
  async flush(): Promise<void> {
    await this.#batch.flush();
  }

  /**
   * To be called when the source has no more.
   * @throws {StateError} `session-differs`, `stream-differs`
   */
  async finish(): Promise<void> {
    this.#keepsIds ??= await this.#judgeIds();
    for (const [name, stream] of this.#streams) {
      if (!this.#refused.has(name)) await this.#orRefuse(name, () => stream.finish());
    }
    await this.#batch.flush();
    const [first, ...others] = this.#refused.values();
    if (first !== undefined) throw refusal(first, others);
  }

  /** Lets go of everything, also after a failure. */
  async close(): Promise<void> {
    await this.#writer.stop();
  }

  async #takeId(event: RecordedEvent): Promise<void> {
    // Under a name of its own a session needs blocks of its own.
    if (this.#options.as !== undefined) return;
    this.#ids ??= await AlignedStream.open(this.#services, MESSAGE_IDS_STREAM);
    await this.#ids.take(event);
  }

  async #judgeIds(): Promise<boolean> {
    if (this.#options.as !== undefined) return false;
    if (this.#ids === undefined) return (await newestOf(this.#log, MESSAGE_IDS_STREAM)) === undefined;
    return this.#ids.isPrefix;
  }

  async #open(name: string): Promise<TransferStream> {
    const sessionId = sessionOfStream(name);
    if (sessionId === undefined) return AlignedStream.open(this.#services, name);
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
      return AlignedStream.open(this.#services, name, this.#keepsIds === true);
    this.#renewed.push(target);
    return RenewedSession.open(this.#services, target, name);
  }
}

/** One refusal speaks for all. */
function refusal(first: StateError, others: readonly StateError[]): StateError {
  if (others.length === 0) return first;
  const ids = [first, ...others].map(({ details }) => details["sessionId"]);
  const sessions = ids.filter((id) => id !== undefined);
  return new StateError(first.code, `${first.message} ${others.length} more could not be copied either.`, {
    cause: first,
    details: { ...first.details, sessions },
  });
}
