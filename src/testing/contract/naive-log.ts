import type {
  AppendResult,
  NewEvent,
  ReadAllOptions,
  ReadStreamOptions,
  RecordedEvent,
} from "../../log/event-log.ts";
import { type ExpectedRevision, matchesExpectedRevision } from "../../log/expected-revision.ts";

type ModelledEvent = Omit<RecordedEvent, "recordedAt">;

/** What the result must be; positions are the engine's own affair. */
export type ModelledResult = { ok: true; revision: number } | { ok: false; actualRevision: number };

/** The contract as one array and whole scans of it. It takes positions as the engine chose them. */
export class NaiveLog {
  #events: ModelledEvent[] = [];
  readonly #revisions = new Map<string, number>();
  head = -1;

  revision(stream: string): number {
    return this.#revisions.get(stream) ?? -1;
  }

  append(stream: string, events: readonly NewEvent[], expected: ExpectedRevision): ModelledResult {
    const newest = this.revision(stream);
    if (!matchesExpectedRevision(expected, newest)) return { ok: false, actualRevision: newest };
    this.#revisions.set(stream, newest + events.length);
    for (const [index, event] of events.entries()) {
      this.#events.push({ ...event, stream, revision: newest + 1 + index, position: NaN });
    }
    return { ok: true, revision: newest + events.length };
  }

  /** Tells where the engine put a batch. */
  place(events: readonly NewEvent[], positions: readonly number[]): void {
    const placeOf = new Map(events.map(({ id }, index) => [id, positions[index] ?? NaN]));
    this.#events = this.#events
      .map((event) => ({ ...event, position: placeOf.get(event.id) ?? event.position }))
      .toSorted((a, b) => a.position - b.position);
    this.head = Math.max(this.head, ...positions);
  }

  /** The result of the append that wrote this batch; undefined where some of it was truncated. */
  resultOf(events: readonly NewEvent[]): AppendResult | undefined {
    const ids = new Set(events.map(({ id }) => id));
    const found = this.#events.filter(({ id }) => ids.has(id));
    const last = found.at(-1);
    if (last === undefined || found.length < events.length) return undefined;
    return { ok: true, revision: last.revision, position: last.position };
  }

  readStream(stream: string, { from, direction, limit = Infinity }: ReadStreamOptions): ModelledEvent[] {
    const events = this.#events.filter((event) => event.stream === stream);
    const asked =
      direction === "backwards"
        ? events.filter(({ revision }) => revision <= (from ?? Infinity)).toReversed()
        : events.filter(({ revision }) => revision >= (from ?? 0));
    return asked.slice(0, limit);
  }

  readAll({ after = -1, limit = Infinity, streamPrefix = "" }: ReadAllOptions): ModelledEvent[] {
    return this.#events
      .filter(({ position, stream }) => position > after && stream.startsWith(streamPrefix))
      .slice(0, limit);
  }

  truncate(stream: string, before: number): void {
    const newest = this.revision(stream);
    this.#events = this.#events.filter(
      (event) => event.stream !== stream || event.revision >= before || event.revision === newest,
    );
  }
}
