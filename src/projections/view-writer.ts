import { isStructural, sessionOfStream } from "../events/conversation-event.ts";
import { eventCodec } from "../events/event-codec.ts";
import type { RecordedEvent } from "../log/event-log.ts";
import { TurnlogError } from "../errors.ts";
import { applyEvent, emptyConversation, skipEvent } from "./conversation.ts";
import type { Checkpoint, ConversationViews } from "./conversation-views.ts";
import { type ViewGeneration, type ViewedConversation, noChanges } from "./view-generation.ts";

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
  /** Position just before its first event that is not in its rows; undefined when all are. */
  savedUpTo: number | undefined;
  deadLetter: DeadLetter | undefined;
}

export interface ViewWriterOptions {
  /** Sessions kept folded between two flushes. */
  mostSessions: number;
  /** Messages that a session may hold in memory before it is forgotten and loaded anew. */
  mostMessages: number;
  /** Called with each event that cannot be folded; what it throws ends the writing. */
  onDeadLetter(deadLetter: DeadLetter): void;
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
  readonly #tracked = new Map<string, Tracked>();
  readonly #dirty = new Set<Tracked>();
  readonly #due = new Set<Tracked>();
  #newest: Checkpoint;
  #highest: Checkpoint;
  #checkpoint: Checkpoint;
  /** Events by position since the checkpoint, for its id: only those that may become one. */
  #eventIds: Checkpoint[] = [];

  constructor(
    views: ConversationViews,
    generation: number,
    from: { checkpoint: Checkpoint; highest: Checkpoint },
    options: ViewWriterOptions,
  ) {
    this.#views = views;
    this.#rows = views.rows(generation);
    this.#checkpoint = from.checkpoint;
    this.#newest = from.checkpoint;
    this.#highest = from.highest;
    this.#options = options;
  }

  get generation(): number {
    return this.#rows.generation;
  }

  /** The newest event that was taken. */
  get position(): number {
    return this.#newest.position;
  }

  /** True where a structural event waits to be written. */
  get hasDue(): boolean {
    return this.#due.size > 0;
  }

  get hasPending(): boolean {
    return this.#newest.position > this.#checkpoint.position;
  }

  /** Folds an event, in memory. Events that the rows have seen already are skipped. */
  take(event: RecordedEvent): void {
    if (event.position <= this.#newest.position) return;
    const name = sessionOfStream(event.stream);
    if (name !== undefined) this.#fold(name, event);
    this.#newest = { position: event.position, eventId: event.id };
    this.#eventIds.push(this.#newest);
  }

  #fold(name: string, event: RecordedEvent): void {
    const tracked = this.#track(name);
    const { conversation } = tracked;
    if (event.revision <= conversation.revision || tracked.deadLetter !== undefined) return;
    tracked.savedUpTo ??= this.#newest.position;
    this.#dirty.add(tracked);
    try {
      const decoded = eventCodec.decode(event);
      if (decoded === undefined) skipEvent(conversation, event);
      else applyEvent(conversation, decoded);
      if (decoded === undefined || isStructural(decoded.type, decoded.metadata.cause)) this.#due.add(tracked);
    } catch (error) {
      if (!TurnlogError.isInstance(error)) throw error;
      const { stream, revision, position, type } = event;
      const deadLetter = {
        sessionId: name,
        stream,
        revision,
        position,
        type,
        code: error.code,
        message: error.message,
      };
      this.#options.onDeadLetter(deadLetter);
      this.#bury(tracked, deadLetter);
    }
  }

  /** What the fold half did of the event is dropped: the rows stay at the event before it. */
  #bury(tracked: Tracked, deadLetter: DeadLetter): void {
    this.#tracked.delete(tracked.name);
    this.#dirty.delete(tracked);
    this.#due.delete(tracked);
    const fresh = this.#track(tracked.name);
    fresh.deadLetter = deadLetter;
    fresh.savedUpTo = undefined;
    this.#dirty.add(fresh);
    this.#due.add(fresh);
  }

  #track(name: string): Tracked {
    let tracked = this.#tracked.get(name);
    if (tracked !== undefined) return tracked;
    const loaded = this.#rows.load(name) ?? {
      conversation: emptyConversation(),
      session: undefined,
      nextPlace: 0,
    };
    loaded.conversation.changes = noChanges();
    tracked = { ...loaded, name, savedUpTo: undefined, deadLetter: this.#rows.deadLetterOf(name) };
    this.#tracked.set(name, tracked);
    return tracked;
  }

  /**
   * Writes sessions and checkpoint in one transaction: those with structural events, or all. False where the
   * generation is no longer to be written: it has been replaced.
   * @throws SQLite's busy error, with nothing written: call again.
   */
  flush(which: "due" | "all", expectedState: "current" | "building" = "current"): boolean {
    const sessions = which === "all" ? [...this.#dirty] : [...this.#due];
    const highest = sessions.length > 0 ? this.#newest : this.#highest;
    const unsaved = this.#earliestUnsaved(new Set(sessions));
    const checkpoint = this.#checkpointAt(unsaved);
    const isInService = this.#views.write(() => {
      const record = this.#views.records().find(({ generation }) => generation === this.generation);
      if (record?.state !== expectedState) return false;
      for (const tracked of sessions) this.#rows.save(tracked.name, tracked, tracked.deadLetter);
      this.#views.saveCheckpoint(this.generation, checkpoint, highest);
      return true;
    });
    if (!isInService) return false;
    this.#highest = highest;
    this.#checkpoint = checkpoint;
    const firstKept = this.#eventIds.findIndex(({ position }) => position > checkpoint.position);
    this.#eventIds = firstKept < 0 ? [] : this.#eventIds.slice(firstKept);
    for (const tracked of sessions) {
      tracked.savedUpTo = undefined;
      this.#dirty.delete(tracked);
      this.#due.delete(tracked);
    }
    this.#forget();
    return true;
  }

  /** The checkpoint never passes an event that is not in the rows. */
  #earliestUnsaved(saved: ReadonlySet<Tracked>): number {
    let earliest = this.#newest.position;
    for (const tracked of this.#dirty) {
      if (!saved.has(tracked) && tracked.savedUpTo !== undefined)
        earliest = Math.min(earliest, tracked.savedUpTo);
    }
    return earliest;
  }

  #checkpointAt(position: number): Checkpoint {
    if (position <= this.#checkpoint.position) return this.#checkpoint;
    return this.#eventIds.find((event) => event.position === position) ?? this.#checkpoint;
  }

  #forget(): void {
    for (const [name, tracked] of this.#tracked) {
      if (this.#dirty.has(tracked)) continue;
      const isLong = tracked.conversation.messages.loaded > this.#options.mostMessages;
      if (isLong || this.#tracked.size > this.#options.mostSessions) this.#tracked.delete(name);
    }
  }
}
