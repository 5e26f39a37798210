import { sessionOfStream } from "../events/conversation-event.ts";
import type { EventLog, RecordedEvent } from "../log/event-log.ts";
import type { ReadProgress } from "../projections/session-index.ts";
import { marksOf, timeOfEvent } from "./event-times.ts";

/** What a part of the log amounts to. */
export interface Amount {
  events: number;
  /** UTF-8 bytes of the JSON of data and metadata: what the events say, not what the file takes. */
  bytes: number;
  deltas: number;
}

/** What a log holds, and what takes how much of it. */
export interface LogStats extends Amount {
  /** Sessions whose newest event is not their deletion. */
  sessions: number;
  deletedSessions: number;
  /** Turns that began. */
  turns: number;
  /** Events that hold the deltas. */
  deltaEvents: number;
  /** Times of the oldest and of the newest event, by their writers' clocks; null in an empty log. */
  oldest: Date | null;
  newest: Date | null;
  /** By bytes, the biggest first. Deleted ones too, as long as their events are there. */
  biggestSessions: ({ sessionId: string } & Amount)[];
  /** UTC days that have events, in order. */
  days: ({ day: string } & Amount)[];
}

/** What to count. */
export interface LogStatsOptions {
  /** How many of the biggest sessions. Default 10. */
  top?: number | undefined;
  onProgress?: ((progress: ReadProgress) => void) | undefined;
}

const PROGRESS_EVERY = 5_000;

/** Reads the whole log and counts; memory grows with the number of sessions, not of events. */
export async function logStats(log: EventLog, options: LogStatsOptions = {}): Promise<LogStats> {
  const { top = 10, onProgress } = options;
  const counter = new LogCounter();
  const head = await log.head();
  let taken = 0;
  for await (const event of log.readAll()) {
    counter.take(event);
    if (++taken % PROGRESS_EVERY === 0) onProgress?.({ position: event.position, head });
  }
  return counter.stats(top);
}

class LogCounter {
  readonly #total = nothing();
  readonly #sessions = new Map<string, Amount & { isDeleted: boolean }>();
  readonly #days = new Map<string, Amount>();
  #turns = 0;
  #deltaEvents = 0;
  #oldest = Infinity;
  #newest = -Infinity;

  take(event: RecordedEvent): void {
    const deltas = event.metadata["cause"] === "delta" ? marksOf(event).length : 0;
    const bytes =
      Buffer.byteLength(JSON.stringify(event.data)) + Buffer.byteLength(JSON.stringify(event.metadata));
    const amounts: Amount[] = [this.#total];
    const sessionId = sessionOfStream(event.stream);
    if (sessionId !== undefined) {
      const session = getOrAdd(this.#sessions, sessionId, () => ({ ...nothing(), isDeleted: false }));
      session.isDeleted = event.type === "SessionDeleted";
      amounts.push(session);
    }
    const time = timeOfEvent(event);
    if (!Number.isNaN(time)) {
      this.#oldest = Math.min(this.#oldest, time);
      this.#newest = Math.max(this.#newest, time);
      amounts.push(getOrAdd(this.#days, dayOf(time), nothing));
    }
    for (const amount of amounts) {
      amount.events++;
      amount.bytes += bytes;
      amount.deltas += deltas;
    }
    if (deltas > 0) this.#deltaEvents++;
    if (event.type === "TurnStarted") this.#turns++;
  }

  stats(top: number): LogStats {
    const sessions = [...this.#sessions].map(([sessionId, session]) => ({ sessionId, ...session }));
    const deletedSessions = sessions.filter(({ isDeleted }) => isDeleted).length;
    return {
      ...this.#total,
      sessions: sessions.length - deletedSessions,
      deletedSessions,
      turns: this.#turns,
      deltaEvents: this.#deltaEvents,
      oldest: dateOrNull(this.#oldest),
      newest: dateOrNull(this.#newest),
      biggestSessions: sessions
        .toSorted((a, b) => b.bytes - a.bytes || (a.sessionId < b.sessionId ? -1 : 1))
        .slice(0, top)
        .map(({ isDeleted: _isDeleted, ...session }) => session),
      days: [...this.#days]
        .map(([day, amount]) => ({ day, ...amount }))
        .toSorted((a, b) => (a.day < b.day ? -1 : 1)),
    };
  }
}

function nothing(): Amount {
  return { events: 0, bytes: 0, deltas: 0 };
}

function getOrAdd<Value>(map: Map<string, Value>, key: string, make: () => Value): Value {
  let value = map.get(key);
  if (value === undefined) map.set(key, (value = make()));
  return value;
}

function dayOf(time: number): string {
  const date = new Date(time);
  return Number.isNaN(date.getTime()) ? "?" : date.toISOString().slice(0, 10);
}

function dateOrNull(time: number): Date | null {
  return Number.isFinite(time) ? new Date(time) : null;
}
