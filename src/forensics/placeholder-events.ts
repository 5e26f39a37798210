import { DamageError } from "../errors.ts";
import type { JsonValue, NewEvent, RecordedEvent } from "../log/event-log.ts";

/**
 * What stands in a copy for events that could not be copied as they are. Nobody needs to know these types: the fold
 * skips them, and the revisions of the events around them stay what they were.
 */

/** In the place of an event that is lost; `data` is a LostEvents. */
export const EVENT_LOST = "EventLost";
/** In the place of an event that can be applied to nothing since others are lost; `data` is a SetAsideEvent. */
export const EVENT_SET_ASIDE = "EventSetAside";

export interface LostEvents {
  /** `truncation`: the source had removed them, in order, before they were copied. */
  readonly reason: "damage" | "truncation";
  /** Revisions that are lost with it, both included, in the log that was copied; absent where they are not known. */
  readonly from?: number;
  readonly to?: number;
}

/** The event as it was. */
export interface SetAsideEvent {
  readonly type: string;
  readonly id: string;
  readonly data: JsonValue;
  readonly metadata: NewEvent["metadata"];
}

/** Makes placeholders, counted as a writer of their own. */
export class PlaceholderEvents {
  readonly #newEventId: () => string;
  readonly #writer: string;
  #count = 0;

  /** @param newEventId gives ids that nobody else gives */
  constructor(newEventId: () => string) {
    this.#newEventId = newEventId;
    this.#writer = newEventId().replaceAll("-", "").slice(0, 20);
  }

  /** @param time epoch ms, of an event beside it: times in a stream must go on rising */
  lost(lost: LostEvents, time: number): NewEvent {
    return this.#event(EVENT_LOST, { ...lost }, time);
  }

  /** A block of message ids, of whose session its messages tell. */
  reservation(sessionId: string, time: number): NewEvent {
    const { ignorable: _, ...metadata } = this.#metadata(time);
    return { id: this.#newEventId(), type: "MessageIdsReserved", data: { sessionId }, metadata };
  }

  setAside({ type, id, data, metadata }: RecordedEvent): NewEvent {
    return this.#event(EVENT_SET_ASIDE, { type, id, data, metadata }, timeOf({ metadata }));
  }

  #event(type: string, data: JsonValue, time: number): NewEvent {
    return { id: this.#newEventId(), type, data, metadata: this.#metadata(time) };
  }

  #metadata(time: number): { v: number; writer: string; n: number; time: number; ignorable: true } {
    return { v: 1, writer: this.#writer, n: this.#count++, time, ignorable: true };
  }
}

/** Epoch ms by the writer's clock, 0 where the event does not say. */
export function timeOf({ metadata }: Pick<NewEvent, "metadata">): number {
  return typeof metadata["time"] === "number" ? metadata["time"] : 0;
}

/** What an event says is lost of its session, as far as it is damage. */
export function lossOf({ type, data, stream }: RecordedEvent): DamageError | undefined {
  if (type !== EVENT_LOST || typeof data !== "object" || data === null) return undefined;
  const { reason, from, to } = data as unknown as LostEvents;
  if (reason !== "damage") return undefined;
  return new DamageError(
    "lost-before-salvage",
    `Events of stream ${JSON.stringify(stream)} from revision ${from} on were lost before this log was salvaged: a turn that looks unended may have ended in them.`,
    { details: { stream, from, to } },
  );
}
