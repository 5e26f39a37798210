import { isStructural, sessionOfStream } from "../events/conversation-event.ts";
import { eventCodec } from "../events/event-codec.ts";
import type { EventColumns } from "../log/event-columns.ts";
import type { RecordedEvent } from "../log/event-log.ts";
import { TurnlogError } from "../errors.ts";
import { applyEvent, applyMergedUpdate, emptyConversation, skipEvent } from "./conversation.ts";
import type { Checkpoint } from "./conversation-views.ts";
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

/** A session as far as it has been folded. */
export interface FoldedSession extends ViewedConversation {
  name: string;
  /** The log's event just before its first one that is not in its rows; undefined when all are. */
  savedUpTo: Checkpoint | undefined;
  deadLetter: DeadLetter | undefined;
}

export interface FoldedSessionsOptions {
  /** Streaming sessions kept folded behind a flush; the others are loaded anew when they go on. */
  mostSessions: number;
  /** UTF-16 units of content that they may hold together. */
  mostUnits: number;
  /** Called with each event that cannot be folded; what it throws ends the writing. */
  onDeadLetter(deadLetter: DeadLetter): void;
}

/**
 * The sessions that are folded in memory before they are written into the rows of a generation. `newest` is always the
 * newest event up to which everything has been folded.
 */
export class FoldedSessions {
  readonly #rows: ViewGeneration;
  readonly #options: FoldedSessionsOptions;
  /** By stream: the log hands out one string for all events of a run, so that looking up does not hash anew. */
  readonly #tracked = new Map<string, FoldedSession>();
  readonly #unsaved = new Set<FoldedSession>();
  readonly #due = new Set<FoldedSession>();
  #pendingUnits = 0;

  constructor(rows: ViewGeneration, options: FoldedSessionsOptions) {
    this.#rows = rows;
    this.#options = options;
  }

  /** Those with events that are not in their rows, the longest unsaved first. */
  get unsaved(): ReadonlySet<FoldedSession> {
    return this.#unsaved;
  }

  /** Those with structural events that are not in their rows. */
  get due(): ReadonlySet<FoldedSession> {
    return this.#due;
  }

  /** About how many UTF-16 units of text have been folded and not written. */
  get pendingUnits(): number {
    return this.#pendingUnits;
  }

  /** Folds an event. One that the rows have seen already is skipped. */
  take(event: RecordedEvent, newest: Checkpoint): void {
    this.#pendingUnits += unitsOf(event.data);
    const tracked = this.#tracked.get(event.stream) ?? this.#track(event.stream);
    if (tracked !== undefined) this.#fold(tracked, event, newest);
  }

  /** As `take`, of each event of a run; updates that go on where the one before them ended are folded together. */
  takeColumns(run: EventColumns, newest: Checkpoint): void {
    const updates = new MergedUpdates(run);
    for (let index = 0; index < run.count;) {
      const merged = updates.from(index);
      if (merged !== undefined && this.#takeMerged(merged, newest)) index += merged.count;
      else this.take(run.recordedEvent(index++), newest);
    }
  }

  /** To be called when these have been written. */
  settle(saved: ReadonlySet<FoldedSession>): void {
    const unsaved = this.#unsaved.size - saved.size;
    this.#pendingUnits = unsaved === 0 ? 0 : (this.#pendingUnits * unsaved) / this.#unsaved.size;
    for (const tracked of saved) {
      tracked.savedUpTo = undefined;
      this.#unsaved.delete(tracked);
      this.#due.delete(tracked);
    }
    this.#forget();
  }

  /** False where the events are to be taken one by one: some are in the rows already, or one of them cannot be applied. */
  #takeMerged(merged: MergedUpdate, newest: Checkpoint): boolean {
    const { event } = merged;
    const tracked = this.#tracked.get(event.stream) ?? this.#track(event.stream);
    if (tracked === undefined || tracked.deadLetter !== undefined) return false;
    if (!applyMergedUpdate(tracked.conversation, merged)) return false;
    this.#pendingUnits += event.data.content[0][2].length;
    if (tracked.savedUpTo === undefined) {
      tracked.savedUpTo = newest;
      this.#unsaved.add(tracked);
    }
    if (isStructural(event.type, event.metadata.cause)) this.#due.add(tracked);
    return true;
  }

  #fold(tracked: FoldedSession, event: RecordedEvent, newest: Checkpoint): void {
    const { conversation } = tracked;
    if (event.revision <= conversation.revision || tracked.deadLetter !== undefined) return;
    if (tracked.savedUpTo === undefined) {
      tracked.savedUpTo = newest;
      this.#unsaved.add(tracked);
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
  #bury(tracked: FoldedSession, stream: string, deadLetter: DeadLetter): void {
    this.#tracked.delete(stream);
    this.#unsaved.delete(tracked);
    this.#due.delete(tracked);
    const fresh = this.#track(stream);
    if (fresh === undefined) return;
    fresh.deadLetter = deadLetter;
    fresh.savedUpTo = undefined;
    this.#unsaved.add(fresh);
    this.#due.add(fresh);
  }

  /** Undefined for a stream that is no session's. */
  #track(stream: string): FoldedSession | undefined {
    const name = sessionOfStream(stream);
    if (name === undefined) return undefined;
    const known = this.#rows.load(name);
    const loaded = known ?? unsavedConversation(emptyConversation());
    loaded.conversation.changes = noChanges();
    const tracked: FoldedSession = {
      ...loaded,
      name,
      savedUpTo: undefined,
      deadLetter: known && this.#rows.deadLetterOf(name),
    };
    this.#tracked.set(stream, tracked);
    return tracked;
  }

  /** What is written need not be held: only a message that is being streamed would be loaded again and again. */
  #forget(): void {
    let sessions = 0;
    let units = 0;
    for (const [stream, tracked] of this.#tracked) {
      if (this.#unsaved.has(tracked)) continue;
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
