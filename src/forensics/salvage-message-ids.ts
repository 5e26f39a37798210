import { TurnlogError } from "../errors.ts";
import { MESSAGE_IDS_STREAM, sessionOfStream } from "../events/conversation-event.ts";
import { eventCodec } from "../events/event-codec.ts";
import type { NewEvent, RecordedEvent } from "../log/event-log.ts";
import { newMessageIds } from "../store/fork-ids.ts";
import { BLOCK_SIZE } from "../store/message-ids.ts";
import { type PlaceholderEvents, timeOf } from "./placeholder-events.ts";
import type { StreamLoss } from "./salvage-stream.ts";

/**
 * The stream `message-ids` anew. A block whose reservation is lost is the session's that has messages with its ids:
 * that is no guess, because a block is one session's alone.
 */
export class SalvagedMessageIds {
  /** Reservations that were restored. */
  restored = 0;
  readonly loss: StreamLoss = {
    stream: MESSAGE_IDS_STREAM,
    sessionId: null,
    lost: [],
    setAside: 0,
    wholeTo: null,
  };
  readonly #sessions = new Map<number, string>();
  readonly #placeholders: PlaceholderEvents;

  constructor(placeholders: PlaceholderEvents) {
    this.#placeholders = placeholders;
  }

  /** To be shown every event of every session. */
  note(event: RecordedEvent): void {
    const sessionId = sessionOfStream(event.stream);
    if (sessionId === undefined) return;
    for (const id of idsIn(event)) this.#sessions.set(Math.floor(id / BLOCK_SIZE), sessionId);
  }

  /**
   * The stream's events from revision 0 on, as far as anything tells of a block.
   * @param head newest revision that it had, as far as is known; -1 for none
   */
  *events(stored: Iterable<RecordedEvent>, head: number): Generator<NewEvent> {
    let next = 0;
    let time = 0;
    for (const event of stored) {
      yield* this.#missing(next, event.revision - 1, time || timeOf(event));
      time = timeOf(event);
      next = event.revision + 1;
      if (this.loss.lost.length === 0) this.loss.wholeTo = event.revision;
      yield { id: event.id, type: event.type, data: event.data, metadata: event.metadata };
    }
    const last = [...this.#sessions.keys()].reduce((most, block) => Math.max(most, block), -1);
    yield* this.#missing(next, last, time);
    next = Math.max(next, last + 1);
    if (head < next) return;
    // Nobody has ids of these: one event stands for all of them.
    this.#lose(next, head);
    yield this.#placeholders.lost({ reason: "damage", from: next, to: head }, time);
  }

  *#missing(from: number, to: number, time: number): Generator<NewEvent> {
    for (let block = from; block <= to; block++) {
      const sessionId = this.#sessions.get(block);
      if (sessionId === undefined) {
        this.#lose(block, block);
        yield this.#placeholders.lost({ reason: "damage", from: block, to: block }, time);
      } else {
        this.restored += 1;
        yield this.#placeholders.reservation(sessionId, time);
      }
    }
  }

  #lose(from: number, to: number): void {
    const last = this.loss.lost.at(-1);
    if (last?.to === from - 1) last.to = to;
    else this.loss.lost.push({ from, to, afterPosition: null, beforePosition: null });
  }
}

function idsIn(event: RecordedEvent): number[] {
  try {
    const decoded = eventCodec.decode(event);
    return decoded === undefined ? [] : newMessageIds(decoded.type, decoded.data);
  } catch (error) {
    if (!TurnlogError.isInstance(error)) throw error;
    return [];
  }
}
