import { randomUUID } from "node:crypto";
import { MESSAGE_IDS_STREAM, sessionOfStream } from "../events/conversation-event.ts";
import type { EventLog, NewEvent } from "../log/event-log.ts";
import type { RevisionRange, Xray } from "../log/sqlite/xray.ts";
import { EVENT_LOST, EVENT_SET_ASIDE, PlaceholderEvents } from "./placeholder-events.ts";
import { SalvagedMessageIds } from "./salvage-message-ids.ts";
import { SalvagedStream, type StreamLoss } from "./salvage-stream.ts";
import { TransferBatch } from "./transfer-batch.ts";
import { TransferPace, type TransferPaceOptions } from "./transfer-pace.ts";

/** What of a damaged log is in the new one. */
export interface SalvagedEvents {
  /** Events that are in the new log as they were. */
  events: number;
  /** Events that are in it as `EventSetAside`: what they change is lost. */
  setAside: number;
  sessions: number;
  /** Events that are certainly lost, as far as anything still tells of them. */
  lostEvents: number;
  /** Streams of which events are lost; the others are whole. */
  losses: StreamLoss[];
  /** Positions behind the newest event that is left, where the log says that it had come further; else null. */
  lostPositions: RevisionRange | null;
  /** Blocks of message ids whose reservation was restored from the messages that have them. */
  restoredBlocks: number;
}

/** Digits of an event's id before its counter. */
const PREFIX_LENGTH = 24;

/** Writes what can be read of a damaged log into a new one, in the order in which it was written. */
export class SalvagedLog {
  readonly #xray: Xray;
  readonly #batch: TransferBatch;
  readonly #placeholders: PlaceholderEvents;
  readonly #messageIds: SalvagedMessageIds;
  readonly #streams = new Map<string, SalvagedStream>();
  /** Newest revision of each stream in the new log. */
  readonly #revisions = new Map<string, number>();
  #events = 0;
  #setAside = 0;

  constructor(xray: Xray, log: EventLog) {
    this.#xray = xray;
    this.#batch = new TransferBatch(log);
    const prefix = randomUUID().slice(0, PREFIX_LENGTH);
    let count = 0;
    this.#placeholders = new PlaceholderEvents(() => prefix + (count++).toString(16).padStart(12, "0"));
    this.#messageIds = new SalvagedMessageIds(this.#placeholders);
  }

  async write(options: TransferPaceOptions): Promise<SalvagedEvents> {
    const { highestPosition } = this.#xray;
    const pace = new TransferPace(highestPosition, options);
    let head = -1;
    for (const event of this.#xray.events()) {
      await pace.pass(event);
      head = event.position;
      this.#messageIds.note(event);
      if (event.stream === MESSAGE_IDS_STREAM) continue;
      for (const each of this.#stream(event.stream).take(event)) await this.#append(event.stream, each);
    }
    for (const name of this.#xray.streams.keys()) {
      if (name === MESSAGE_IDS_STREAM) continue;
      for (const each of this.#stream(name).finish()) await this.#append(name, each);
    }
    await this.#writeMessageIds();
    await this.#batch.flush();
    return this.#report(highestPosition > head ? { from: head + 1, to: highestPosition } : null);
  }

  #stream(name: string): SalvagedStream {
    let stream = this.#streams.get(name);
    if (stream === undefined) {
      const source = this.#xray.streams.get(name);
      if (source === undefined) throw new Error(`the file has no stream ${name}`);
      stream = new SalvagedStream(source, this.#placeholders);
      this.#streams.set(name, stream);
    }
    return stream;
  }

  /** Last: only now is it known whose the blocks were. */
  async #writeMessageIds(): Promise<void> {
    const source = this.#xray.streams.get(MESSAGE_IDS_STREAM);
    const head = source?.lost().at(-1)?.to ?? -1;
    for (const event of this.#messageIds.events(source?.events() ?? [], head))
      await this.#append(MESSAGE_IDS_STREAM, event);
  }

  async #append(stream: string, event: NewEvent): Promise<void> {
    const after = this.#revisions.get(stream) ?? -1;
    await this.#batch.add(stream, event, after);
    this.#revisions.set(stream, after + 1);
    if (event.type === EVENT_SET_ASIDE) this.#setAside += 1;
    else if (event.type !== EVENT_LOST) this.#events += 1;
  }

  #report(lostPositions: RevisionRange | null): SalvagedEvents {
    const all = [this.#messageIds, ...this.#streams.values()].map(({ loss }) => loss);
    const losses = all.filter(({ lost }) => lost.length > 0);
    const lost = losses.flatMap((each) => each.lost);
    return {
      events: this.#events - this.#messageIds.restored,
      setAside: this.#setAside,
      sessions: [...this.#streams.keys()].filter((name) => sessionOfStream(name) !== undefined).length,
      lostEvents: lost.reduce((sum, { from, to }) => sum + to - from + 1, 0),
      losses,
      lostPositions,
      restoredBlocks: this.#messageIds.restored,
    };
  }
}
