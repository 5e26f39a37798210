import { isSelfContained, sessionOfStream } from "../events/conversation-event.ts";
import type { NewEvent, RecordedEvent } from "../log/event-log.ts";
import type { XrayStream } from "../log/sqlite/xray.ts";
import { type PlaceholderEvents, timeOf } from "./placeholder-events.ts";
import { HoleRule } from "./salvage-session.ts";
import { shifted } from "./transfer-align.ts";

/** Revisions, both ends included, and the positions between which they had theirs; null: nothing tells. */
export interface LostRange {
  from: number;
  to: number;
  afterPosition: number | null;
  beforePosition: number | null;
}

/** What of a stream could not be kept as it was. Revisions are those of the damaged log. */
export interface StreamLoss {
  stream: string;
  sessionId: string | null;
  /** Revisions that are lost, in order. */
  lost: LostRange[];
  /** Events that are there and can be applied to nothing. */
  setAside: number;
  /** Up to here all is as it was; null: nothing is. */
  wholeTo: number | null;
}

/** Turns one stream's events, of which some may be missing, into those of the new log. */
export class SalvagedStream {
  readonly loss: StreamLoss;
  readonly #source: XrayStream;
  readonly #placeholders: PlaceholderEvents;
  readonly #rule: HoleRule | undefined;
  /** Revision that is to come next in the damaged log; undefined before the first. */
  #next: number | undefined;
  /** The first event's revision in the damaged log, 0 in the new one. */
  #first = 0;
  #time = 0;
  #position: number | null = null;

  constructor(source: XrayStream, placeholders: PlaceholderEvents) {
    this.#source = source;
    this.#placeholders = placeholders;
    const sessionId = sessionOfStream(source.name) ?? null;
    this.#rule = sessionId === null ? undefined : new HoleRule();
    this.loss = { stream: source.name, sessionId, lost: [], setAside: 0, wholeTo: null };
  }

  /** The event, behind what stands for those that are lost before it. */
  *take(event: RecordedEvent): Generator<NewEvent> {
    this.#next ??= this.#begin(event);
    // An older copy of a page tells of a write that never was: what came first stays.
    if (event.revision < this.#next) return;
    const time = timeOf(event);
    if (this.#time === 0) this.#time = time;
    if (event.revision > this.#next) {
      this.#lose(this.#next, event.revision - 1, event.position);
      while (this.#next < event.revision) yield this.#lostEvent(this.#next, this.#next++);
    }
    this.#time = time;
    this.#position = event.position;
    this.#next += 1;
    if (this.#rule?.canApply(event) === false) {
      this.loss.setAside += 1;
      yield this.#placeholders.setAside(event);
    } else {
      if (this.loss.lost.length === 0) this.loss.wholeTo = event.revision;
      yield shifted(event, this.#first);
    }
  }

  /** What stands for the events behind the last that is left. To be called behind it. */
  *finish(): Generator<NewEvent> {
    this.#next ??= this.#first = this.#source.firstRevision;
    const last = this.#source.lost().at(-1);
    if (last === undefined || last.to < this.#next) return;
    this.#lose(this.#next, last.to, null);
    // One stands for all of them: no revision behind it is anybody's.
    yield this.#lostEvent(this.#next, last.to);
    this.#next += 1;
  }

  #begin(event: RecordedEvent): number {
    const isTruncated = this.#source.row === undefined && isSelfContained(event.type);
    this.#first = isTruncated ? event.revision : this.#source.firstRevision;
    return this.#first;
  }

  #lose(from: number, to: number, beforePosition: number | null): void {
    this.loss.lost.push({ from, to, afterPosition: this.#position, beforePosition });
    this.#rule?.meetHole();
  }

  #lostEvent(from: number, to: number): NewEvent {
    return this.#placeholders.lost({ reason: "damage", from, to }, this.#time);
  }
}
