import { StateError } from "../errors.ts";
import { type EventData, type EventMetadata, conversationStream } from "../events/conversation-event.ts";
import { eventCodec, eventDefinitions } from "../events/event-codec.ts";
import type { JsonObject, JsonValue, RecordedEvent } from "../log/event-log.ts";
import { newMessageIds, renewIds } from "../store/fork-ids.ts";
import { nextInBlock } from "../store/message-ids.ts";
import { type AlignmentServices, type TransferStream, differs } from "./transfer-align.ts";

/** What copies under new ids need of the target. */
export interface RenewalServices extends AlignmentServices {
  readonly sourceLogId: string;
  /** An id for an event, unique in the target. */
  newEventId(): string;
  /** Reserves a block for a session and gives its first id. */
  reserveBlock(sessionId: string): Promise<number>;
}

/**
 * Copies a session under new event and message ids; times stay, and `origin` says where each event came from. What an
 * earlier run has copied tells which ids it was given.
 */
export class RenewedSession implements TransferStream {
  readonly #services: RenewalServices;
  readonly #sessionId: string;
  readonly #stream: string;
  readonly #sourceStream: string;
  readonly #ids = new Map<number, number>();
  #lastId = 0;
  /** Ids that copies in the target have given, by the revision of their originals. */
  readonly #givenIds = new Map<number, readonly number[]>();
  /** Source revision of the newest event in the target, -1 for none. */
  #copiedTo = -1;
  /** Newest revision in the target, events that are on their way included. */
  #revision = -1;
  #offset: number | undefined;

  private constructor(services: RenewalServices, sessionId: string, sourceStream: string) {
    this.#services = services;
    this.#sessionId = sessionId;
    this.#stream = conversationStream(sessionId);
    this.#sourceStream = sourceStream;
  }

  /** True where the event is a copy of one of the source's stream, under a new id. */
  static isCopy(event: RecordedEvent, sourceLogId: string, sourceStream: string): boolean {
    const origin = originOf(event);
    return origin?.logId === sourceLogId && origin.stream === sourceStream;
  }

  /** @throws {StateError} `session-differs` where the target has a session of that name that is no such copy */
  static async open(
    services: RenewalServices,
    sessionId: string,
    sourceStream: string,
  ): Promise<RenewedSession> {
    const session = new RenewedSession(services, sessionId, sourceStream);
    await session.#readCopied();
    return session;
  }

  async #readCopied(): Promise<void> {
    const { log, sourceLogId } = this.#services;
    for await (const copy of log.readStream(this.#stream)) {
      const origin = originOf(copy);
      const isNext = this.#offset === undefined || origin?.revision === copy.revision + this.#offset;
      if (origin === undefined || !isNext || !RenewedSession.isCopy(copy, sourceLogId, this.#sourceStream))
        throw differs(this.#stream);
      this.#offset ??= origin.revision - copy.revision;
      this.#copiedTo = origin.revision;
      this.#revision = copy.revision;
      const decoded = eventCodec.decode(copy);
      const given = decoded === undefined ? [] : newMessageIds(decoded.type, decoded.data);
      if (given.length > 0) this.#givenIds.set(origin.revision, given);
    }
  }

  async take(event: RecordedEvent): Promise<void> {
    if (event.revision <= this.#copiedTo) {
      this.#services.batch.counts.alreadyThere += 1;
      return this.#meetAgain(event);
    }
    this.#offset ??= event.revision - this.#revision - 1;
    const copy = await this.#renewed(event);
    await this.#services.batch.add(this.#stream, copy, this.#revision);
    this.#revision += 1;
  }

  finish(): Promise<void> {
    return Promise.resolve();
  }

  #meetAgain(event: RecordedEvent): void {
    const given = this.#givenIds.get(event.revision);
    if (given === undefined) return;
    this.#givenIds.delete(event.revision);
    const decoded = eventCodec.decode(event);
    const ids = decoded === undefined ? [] : newMessageIds(decoded.type, decoded.data);
    for (const [index, id] of ids.entries()) this.#remember(id, given[index] ?? 0);
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
