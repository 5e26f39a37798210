import { StateError } from "../errors.ts";
import { type EventData, type EventMetadata, conversationStream } from "../events/conversation-event.ts";
import { eventCodec, eventDefinitions } from "../events/event-codec.ts";
import type { EventLog, JsonObject, JsonValue, RecordedEvent } from "../log/event-log.ts";
import { newMessageIds, renewIds } from "../store/fork-ids.ts";
import { nextInBlock } from "../store/message-ids.ts";
import { type TransferStream, differs, newestOf } from "./transfer-align.ts";
import type { TransferBatch } from "./transfer-batch.ts";

/** What copies under new ids need of the target. */
export interface RenewalServices {
  readonly log: EventLog;
  readonly batch: TransferBatch;
  readonly sourceLogId: string;
  /** An id for an event, unique in the target. */
  newEventId(): string;
  /** Reserves a block for a session and gives its first id. */
  reserveBlock(sessionId: string): Promise<number>;
}

/**
 * Copies a session under new event and message ids; times stay, and `origin` says where each event came from. What a
 * run before has copied is met again, in step with the source: that tells which ids it was given.
 */
export class RenewedSession implements TransferStream {
  readonly #services: RenewalServices;
  readonly #sessionId: string;
  readonly #stream: string;
  readonly #sourceStream: string;
  readonly #ids = new Map<number, number>();
  #lastId = 0;
  /** What the target has of it already, while the source has not come as far. */
  #copied: AsyncIterator<RecordedEvent> | undefined;
  /** Source revision of the newest event in the target, -1 for none. */
  #copiedTo: number;
  /** Newest revision in the target, events that are on their way included. */
  #revision: number;
  #offset: number | undefined;

  private constructor(
    services: RenewalServices,
    sessionId: string,
    sourceStream: string,
    head: RecordedEvent | undefined,
  ) {
    this.#services = services;
    this.#sessionId = sessionId;
    this.#stream = conversationStream(sessionId);
    this.#sourceStream = sourceStream;
    this.#revision = head?.revision ?? -1;
    this.#copiedTo = (head && originOf(head)?.revision) ?? -1;
    if (head !== undefined) this.#copied = services.log.readStream(this.#stream)[Symbol.asyncIterator]();
  }

  /** True where the target's newest event is a copy of one of the source's stream, under a new id. */
  static isCopy(head: RecordedEvent | undefined, sourceLogId: string, sourceStream: string): boolean {
    const origin = head && originOf(head);
    return origin?.logId === sourceLogId && origin.stream === sourceStream;
  }

  /** @throws {StateError} `session-differs` where the target has a session of that name that is no such copy */
  static async open(
    services: RenewalServices,
    sessionId: string,
    sourceStream: string,
  ): Promise<RenewedSession> {
    const head = await newestOf(services.log, conversationStream(sessionId));
    if (head !== undefined && !RenewedSession.isCopy(head, services.sourceLogId, sourceStream))
      throw differs(conversationStream(sessionId));
    return new RenewedSession(services, sessionId, sourceStream, head);
  }

  async take(event: RecordedEvent): Promise<void> {
    if (event.revision <= this.#copiedTo) return this.#meetAgain(event);
    this.#offset ??= event.revision - this.#revision - 1;
    const copy = await this.#renewed(event);
    await this.#services.batch.add(this.#stream, copy, this.#revision);
    this.#revision += 1;
  }

  async finish(): Promise<void> {
    await this.#copied?.return?.();
  }

  async #meetAgain(event: RecordedEvent): Promise<void> {
    const next = await this.#copied?.next();
    if (next === undefined || next.done === true) throw differs(this.#stream);
    const copy = next.value;
    const origin = originOf(copy);
    if (origin?.id !== event.id || origin.logId !== this.#services.sourceLogId) throw differs(this.#stream);
    this.#offset ??= event.revision - copy.revision;
    const [before, after] = [event, copy].map((each) => eventCodec.decode(each));
    if (before === undefined || after === undefined) return;
    const newIds = newMessageIds(after.type, after.data);
    for (const [index, id] of newMessageIds(before.type, before.data).entries())
      this.#remember(id, newIds[index] ?? 0);
  }

  async #renewed(event: RecordedEvent): Promise<{
    id: string;
    type: string;
    data: JsonValue;
    metadata: JsonObject;
  }> {
    const origin = {
      logId: this.#services.sourceLogId,
      stream: this.#sourceStream,
      revision: event.revision,
      id: event.id,
    };
    const renewed = { id: this.#services.newEventId(), type: event.type };
    const decoded = eventCodec.decode(event);
    // Of a type that may be skipped nobody knows whether it names messages: it is copied as it is.
    if (decoded === undefined)
      return { ...renewed, data: event.data, metadata: { ...event.metadata, origin } };
    for (const messageId of newMessageIds(decoded.type, decoded.data)) await this.#giveId(messageId);
    const offset = this.#offset ?? 0;
    const data = renewIds(
      decoded.type,
      decoded.data as EventData["MessagesReplaced"],
      (messageId) => this.#idOf(messageId, event),
      (through) => Math.max(-1, through - offset),
    );
    const v = eventDefinitions.get(decoded.type)?.version ?? decoded.metadata.v;
    return { ...renewed, data: data as unknown as JsonValue, metadata: { ...event.metadata, v, origin } };
  }

  async #giveId(messageId: number): Promise<void> {
    const next = nextInBlock(this.#lastId) ?? (await this.#services.reserveBlock(this.#sessionId));
    this.#remember(messageId, next);
  }

  #remember(messageId: number, renewed: number): void {
    this.#ids.set(messageId, renewed);
    this.#lastId = renewed;
  }

  #idOf(messageId: number, { stream, revision, type }: RecordedEvent): number {
    const known = this.#ids.get(messageId);
    if (known !== undefined) return known;
    throw new StateError(
      "unknown-message",
      `Event ${type} at revision ${revision} of stream "${stream}" names message ${messageId}, which the session does not have: it cannot be copied under new ids.`,
      { details: { stream, revision, messageId } },
    );
  }
}

function originOf({ metadata }: RecordedEvent): EventMetadata["origin"] {
  return metadata["origin"] as EventMetadata["origin"];
}
