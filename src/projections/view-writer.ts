import { isStructural, sessionOfStream } from "../events/conversation-event.ts";
import { eventCodec } from "../events/event-codec.ts";
import type { EventColumns } from "../log/event-columns.ts";
import type { EventRuns, RecordedEvent } from "../log/event-log.ts";
import { TurnlogError } from "../errors.ts";
import { applyEvent, applyMergedUpdate, emptyConversation, skipEvent } from "./conversation.ts";
import type { Checkpoint, ConversationViews } from "./conversation-views.ts";
import { type ViewGeneration, type ViewedConversation, unsavedConversation } from "./view-generation.ts";
import { noChanges } from "./conversation-changes.ts";
import { type MergedUpdate, MergedUpdates } from "./merged-updates.ts";

/** Why a session can be folded no further. */
export interface DeadLetter {
  sessionId: string;
  stream: string;
  revision: number;
  position: number;
  type: string;
  code: string;
  message: string;
}

interface Tracked extends ViewedConversation {
  name: string;
  /** The log's event just before its first one that is not in its rows; undefined when all are. */
  savedUpTo: Checkpoint | undefined;
  deadLetter: DeadLetter | undefined;
}

/** Of an event. */
interface Place {
  readonly position: number;
  readonly id: string;
}

export interface ViewWriterOptions {
  /** Streaming sessions kept folded behind a flush; the others are loaded anew when they go on. */
  mostSessions: number;
  /** UTF-16 units of content that they may hold together. */
  mostUnits: number;
  /** Called with each event that cannot be folded; what it throws ends the writing. */
  onDeadLetter(deadLetter: DeadLetter): void;
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
  readonly #options: ViewWriterOptions;
  /** By stream: the log hands out one string for all events of a run, so that looking up does not hash anew. */
  readonly #tracked = new Map<string, Tracked>();
  readonly #dirty = new Set<Tracked>();
  readonly #due = new Set<Tracked>();
  /** Everything up to here has been folded. */
  #position: number;
  /** Of the event there. */
  #newestEventId: string | undefined;
  /** The newest event that has been folded: runs may be ahead of the position. */
  #furthest: Checkpoint;
  #highest: Checkpoint;
  #checkpoint: Checkpoint;
  #pendingUnits = 0;
  #newestStream: string | undefined;

  constructor(
    views: ConversationViews,
    generation: number,
    from: { checkpoint: Checkpoint; highest: Checkpoint },
    options: ViewWriterOptions,
  ) {
    this.#views = views;
    this.#rows = views.rows(generation);
    this.#checkpoint = from.checkpoint;
    this.#position = from.checkpoint.position;
    this.#newestEventId = from.checkpoint.eventId;
    this.#highest = this.#furthest = from.highest;
    this.#options = options;
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
    return this.#pendingUnits;
  }

  get #newest(): Checkpoint {
    return { position: this.#position, eventId: this.#newestEventId };
  }

  /** Sessions with structural events that are not in their rows. */
  get dueSessions(): number {
    return this.#due.size;
  }

  get hasPending(): boolean {
    return this.#position > this.#checkpoint.position;
  }

  /** Sessions with events that are not in their rows. */
  get unsavedSessions(): number {
    return this.#dirty.size;
  }

  /** Folds an event, in memory. Events that the rows have seen already are skipped. */
  take(event: RecordedEvent): void {
    if (event.position <= this.#position) return;
    this.#takeAny(event);
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
    for (const event of events) this.#takeAny(event);
    return events;
  }

  /**
   * Updates that go on where the one before them ended are folded together, all else event by event.
   * @returns the newest event, and the newest up to `completeTo`.
   */
  #takeColumns(run: EventColumns, completeTo: number): Place[] {
    this.#newestStream = run.stream;
    const updates = new MergedUpdates(run);
    for (let index = 0; index < run.count;) {
      const merged = updates.from(index);
      if (merged !== undefined && this.#takeMerged(merged)) index += merged.count;
      else this.#takeAny(run.recordedEvent(index++));
    }
    const complete = run.positions.findLastIndex((position) => position <= completeTo);
    return [run.count - 1, complete].flatMap((index) => {
      const position = run.positions[index];
      return position === undefined ? [] : [{ position, id: run.id(index) }];
    });
  }

  /** False where the events are to be taken one by one: some are in the rows already, or one of them cannot be applied. */
  #takeMerged(merged: MergedUpdate): boolean {
    const { event, splice } = merged;
    const tracked = this.#tracked.get(event.stream) ?? this.#track(event.stream);
    if (tracked === undefined || tracked.deadLetter !== undefined) return false;
    if (!applyMergedUpdate(tracked.conversation, merged)) return false;
    this.#pendingUnits += splice[2].length;
    if (tracked.savedUpTo === undefined) {
      tracked.savedUpTo = this.#newest;
      this.#dirty.add(tracked);
    }
    if (isStructural(event.type, event.metadata.cause)) this.#due.add(tracked);
    return true;
  }

  #moveTo({ position, eventId }: Checkpoint): void {
    if (position <= this.#position) return;
    this.#position = position;
    this.#newestEventId = eventId;
  }

  #takeAny(event: RecordedEvent): void {
    this.#pendingUnits += unitsOf(event.data);
    const tracked = this.#tracked.get(event.stream) ?? this.#track(event.stream);
    if (tracked !== undefined) this.#fold(tracked, event);
  }

  #fold(tracked: Tracked, event: RecordedEvent): void {
    const { conversation } = tracked;
    if (event.revision <= conversation.revision || tracked.deadLetter !== undefined) return;
    if (tracked.savedUpTo === undefined) {
      tracked.savedUpTo = this.#newest;
      this.#dirty.add(tracked);
    }
    try {
      const decoded = eventCodec.decode(event);
      if (decoded === undefined) skipEvent(conversation, event);
      else applyEvent(conversation, decoded);
      if (decoded === undefined || isStructural(decoded.type, decoded.metadata.cause)) this.#due.add(tracked);
    } catch (error) {
      if (!TurnlogError.isInstance(error)) throw error;
      const { stream, revision, position, type } = event;
      const deadLetter = {
        sessionId: tracked.name,
        stream,
        revision,
        position,
        type,
        code: error.code,
        message: error.message,
      };
      this.#options.onDeadLetter(deadLetter);
      this.#bury(tracked, stream, deadLetter);
    }
  }

  /** What the fold half did of the event is dropped, with what was not written yet: the rows stay as they are. */
  #bury(tracked: Tracked, stream: string, deadLetter: DeadLetter): void {
    this.#tracked.delete(stream);
    this.#dirty.delete(tracked);
    this.#due.delete(tracked);
    const fresh = this.#track(stream);
    if (fresh === undefined) return;
    fresh.deadLetter = deadLetter;
    fresh.savedUpTo = undefined;
    this.#dirty.add(fresh);
    this.#due.add(fresh);
  }

  /** Undefined for a stream that is no session's. */
  #track(stream: string): Tracked | undefined {
    const name = sessionOfStream(stream);
    if (name === undefined) return undefined;
    const loaded = this.#rows.load(name) ?? unsavedConversation(emptyConversation());
    loaded.conversation.changes = noChanges();
    const tracked: Tracked = {
      ...loaded,
      name,
      savedUpTo: undefined,
      deadLetter: this.#rows.deadLetterOf(name),
    };
    this.#tracked.set(stream, tracked);
    return tracked;
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
    const candidates = which === "all" ? this.#dirty : this.#due;
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
    const unsaved = this.#dirty.size - saved.size;
    this.#pendingUnits = unsaved === 0 ? 0 : (this.#pendingUnits * unsaved) / this.#dirty.size;
    for (const tracked of saved) {
      tracked.savedUpTo = undefined;
      this.#dirty.delete(tracked);
      this.#due.delete(tracked);
    }
    this.#forget();
    return saved.size;
  }

  #save(candidates: ReadonlySet<Tracked>, most: FlushBounds): Set<Tracked> {
    const saved = new Set<Tracked>();
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
  #earliestUnsaved(saved: ReadonlySet<Tracked>): Checkpoint {
    let earliest = this.#newest;
    for (const tracked of this.#dirty) {
      const { savedUpTo } = tracked;
      if (savedUpTo !== undefined && savedUpTo.position < earliest.position && !saved.has(tracked))
        earliest = savedUpTo;
    }
    return earliest;
  }

  /** What is written need not be held: only a message that is being streamed would be loaded again and again. */
  #forget(): void {
    let sessions = 0;
    let units = 0;
    for (const [stream, tracked] of this.#tracked) {
      if (this.#dirty.has(tracked)) continue;
      const { unendedTurns, filling, messages } = tracked.conversation;
      const isStreaming = unendedTurns.size > 0 || filling !== undefined;
      if (isStreaming) units += messages.loadedUnits();
      if (isStreaming && ++sessions <= this.#options.mostSessions && units <= this.#options.mostUnits)
        continue;
      this.#tracked.delete(stream);
    }
  }
}

/** Text that an event brings into memory; an estimate, and cheap. Nothing has been checked yet. */
function unitsOf(data: RecordedEvent["data"]): number {
  const content: unknown = (data as { content?: unknown } | null)?.content;
  if (typeof content === "string") return content.length;
  if (!Array.isArray(content)) return 0;
  let units = 0;
  for (const splice of content as unknown[]) {
    const text: unknown = Array.isArray(splice) ? splice[2] : undefined;
    if (typeof text === "string") units += text.length;
  }
  return units;
}
