import type { EventColumns } from "../log/event-columns.ts";
import type { EventRuns, RecordedEvent } from "../log/event-log.ts";
import { firstIndexAbove } from "../log/first-index-above.ts";
import type { Checkpoint, ConversationViews } from "./conversation-views.ts";
import { type FoldedSession, FoldedSessions, type FoldedSessionsOptions } from "./folded-sessions.ts";
import type { ViewGeneration } from "./view-generation.ts";

/** Of an event. */
interface Place {
  readonly position: number;
  readonly id: string;
}

/** What one flush takes at most. */
export interface FlushBounds {
  sessions: number;
  ms: number;
}

/**
 * Folds the log's events into the rows of one generation: the projector and the rebuild are both this. Between two
 * flushes nothing is written, so a growing message costs a row per flush and not one per delta. A flush writes rows
 * and checkpoint in one transaction.
 */
export class ViewWriter {
  readonly #views: ConversationViews;
  readonly #rows: ViewGeneration;
  readonly #sessions: FoldedSessions;
  /** Everything up to here has been folded. */
  #position: number;
  /** Of the event there. */
  #newestEventId: string | undefined;
  /** The newest event that has been folded: runs may be ahead of the position. */
  #furthest: Checkpoint;
  #highest: Checkpoint;
  #checkpoint: Checkpoint;
  #newestStream: string | undefined;

  constructor(
    views: ConversationViews,
    generation: number,
    from: { checkpoint: Checkpoint; highest: Checkpoint },
    options: FoldedSessionsOptions,
  ) {
    this.#views = views;
    this.#rows = views.rows(generation);
    this.#checkpoint = from.checkpoint;
    this.#position = from.checkpoint.position;
    this.#newestEventId = from.checkpoint.eventId;
    this.#highest = this.#furthest = from.highest;
    this.#sessions = new FoldedSessions(this.#rows, options);
  }

  get generation(): number {
    return this.#rows.generation;
  }

  /** All events up to here have been taken. */
  get position(): number {
    return this.#position;
  }

  /** Of the run that was taken last. */
  get newestStream(): string | undefined {
    return this.#newestStream;
  }

  /** About how many UTF-16 units of text have been folded and not written. */
  get pendingUnits(): number {
    return this.#sessions.pendingUnits;
  }

  get #newest(): Checkpoint {
    return { position: this.#position, eventId: this.#newestEventId };
  }

  /** Sessions with structural events that are not in their rows. */
  get dueSessions(): number {
    return this.#sessions.due.size;
  }

  get hasPending(): boolean {
    return this.#position > this.#checkpoint.position;
  }

  /** Sessions with events that are not in their rows. */
  get unsavedSessions(): number {
    return this.#sessions.unsaved.size;
  }

  /** Folds an event, in memory. Events that the rows have seen already are skipped. */
  take(event: RecordedEvent): void {
    if (event.position <= this.#position) return;
    this.#sessions.take(event, this.#newest);
    this.#position = event.position;
    this.#newestEventId = event.id;
  }

  /** Folds events of which only those of one stream are in order. Returns how many. */
  takeRuns({ runs, byColumn, completeTo }: EventRuns): number {
    let newest: Place | undefined;
    let furthest: Place | undefined;
    let count = 0;
    for (const run of byColumn ?? runs) {
      const isByColumn = "recordedEvent" in run;
      const places = isByColumn ? this.#takeColumns(run, completeTo) : this.#takeEvents(run);
      count += isByColumn ? run.count : run.length;
      for (const place of places) {
        const { position } = place;
        if (position > (furthest?.position ?? -1)) furthest = place;
        if (position <= completeTo && position > (newest?.position ?? -1)) newest = place;
      }
    }
    if (furthest !== undefined && furthest.position > this.#furthest.position)
      this.#furthest = { position: furthest.position, eventId: furthest.id };
    // What was given with an earlier piece may be nearer to where everything is complete.
    if (this.#furthest.position <= completeTo) this.#moveTo(this.#furthest);
    else if (newest !== undefined) this.#moveTo({ position: newest.position, eventId: newest.id });
    return count;
  }

  #takeEvents(events: readonly RecordedEvent[]): readonly Place[] {
    this.#newestStream = events.at(-1)?.stream ?? this.#newestStream;
    const newest = this.#newest;
    for (const event of events) this.#sessions.take(event, newest);
    return events;
  }

  /** @returns the newest event, and the newest up to `completeTo`. */
  #takeColumns(run: EventColumns, completeTo: number): Place[] {
    this.#newestStream = run.stream;
    this.#sessions.takeColumns(run, this.#newest);
    // By halves: a run may be far ahead of where everything is complete.
    const complete = firstIndexAbove(run.positions, completeTo, Number) - 1;
    return [run.count - 1, complete].flatMap((index) => {
      const position = run.positions[index];
      return position === undefined ? [] : [{ position, id: run.id(index) }];
    });
  }

  #moveTo({ position, eventId }: Checkpoint): void {
    if (position <= this.#position) return;
    this.#position = position;
    this.#newestEventId = eventId;
  }

  /**
   * Writes sessions and checkpoint in one transaction: those with structural events, or all; the longest unsaved first,
   * one at least, and no more than `most` allows. Returns how many; undefined where the generation is no longer to be
   * written: it has been replaced.
   * @throws SQLite's busy error, with nothing written: call again.
   */
  flush(
    which: "due" | "all",
    expectedState: "current" | "building" = "current",
    most: FlushBounds = { sessions: Infinity, ms: Infinity },
  ): number | undefined {
    if (this.#position > this.#furthest.position) this.#furthest = this.#newest;
    const candidates = this.#sessions[which === "all" ? "unsaved" : "due"];
    const highest = candidates.size > 0 ? this.#furthest : this.#highest;
    const written = this.#views.write(() => {
      const record = this.#views.records().find(({ generation }) => generation === this.generation);
      if (record?.state !== expectedState) return undefined;
      const saved = this.#save(candidates, most);
      const checkpoint = this.#earliestUnsaved(saved);
      this.#views.saveCheckpoint(this.generation, checkpoint, highest);
      return { saved, checkpoint };
    });
    if (written === undefined) return undefined;
    const { saved, checkpoint } = written;
    this.#highest = highest;
    this.#checkpoint = checkpoint;
    this.#sessions.settle(saved);
    return saved.size;
  }

  #save(candidates: ReadonlySet<FoldedSession>, most: FlushBounds): Set<FoldedSession> {
    const saved = new Set<FoldedSession>();
    const start = performance.now();
    for (const tracked of candidates) {
      const isEnough = saved.size >= most.sessions || performance.now() - start >= most.ms;
      if (saved.size > 0 && isEnough) break;
      this.#rows.save(tracked.name, tracked, tracked.deadLetter);
      saved.add(tracked);
    }
    return saved;
  }

  /** The checkpoint never passes an event that is not in the rows. */
  #earliestUnsaved(saved: ReadonlySet<FoldedSession>): Checkpoint {
    let earliest = this.#newest;
    for (const tracked of this.#sessions.unsaved) {
      const { savedUpTo } = tracked;
      if (savedUpTo !== undefined && savedUpTo.position < earliest.position && !saved.has(tracked))
        earliest = savedUpTo;
    }
    return earliest;
  }
}
