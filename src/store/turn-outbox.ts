import { StateError } from "../errors.ts";
import type { ConversationEvent } from "../events/conversation-event.ts";
import type { Conversation } from "../projections/conversation.ts";
import { type Deferred, deferred } from "./deferred.ts";
import type { Decision, Session, SessionObserver } from "./session.ts";
import { EVENT_OVERHEAD } from "./turn-limits.ts";
import type { TimedDraft } from "./writer.ts";

/** Text that may be on its way to the log before a turn writer asks its caller to wait. UTF-16 units. */
export const MOST_UNACKNOWLEDGED = 1_048_576;

const ANOTHER_TURN = "another turn has begun in this session";

/** A draft, or what makes it when it is sent: once, and not while a thousand turns are ended in one moment. */
export type LazyDraft = TimedDraft | (() => TimedDraft);

interface Entry {
  draft: LazyDraft;
  /** UTF-16 units of text, for back-pressure. */
  units: number;
  /** Most bytes of JSON. */
  bytes: number;
  waiting: Deferred[];
}

/**
 * A turn's events on their way into the log: in order, one append at a time, everything that came meanwhile in
 * the next. It watches the session for what others write and gives the turn up (`turn-lost`) rather than write
 * over it.
 */
export class TurnOutbox implements SessionObserver {
  readonly #session: Session;
  readonly #turnId: string;
  readonly #messageId: number;
  readonly #maxAppendBytes: number;
  readonly #onFailed: () => void;
  #queue: Entry[] = [];
  #sending: Entry[] = [];
  /** Of what is being sent, what is not known to be in the log. */
  #unlanded: readonly Entry[] = [];
  #units = 0;
  #drained: Deferred | undefined;
  #failure: unknown;
  #hasFailed = false;

  /** @param onFailed called once when the writing has ended for good. */
  constructor(
    session: Session,
    turn: { turnId: string; messageId: number },
    maxAppendBytes: number,
    onFailed: () => void,
  ) {
    this.#session = session;
    this.#onFailed = onFailed;
    this.#turnId = turn.turnId;
    this.#messageId = turn.messageId;
    this.#maxAppendBytes = maxAppendBytes;
    session.observe(this);
  }

  get hasFailed(): boolean {
    return this.#hasFailed;
  }

  /** Throws what ended the writing for good: `turn-lost`, or the log's failure. */
  check(): void {
    if (this.#hasFailed) throw this.#failure;
  }

  /** @param bytes most bytes that the draft's text takes in JSON. */
  push(draft: LazyDraft, units: number, bytes: number): void {
    this.#queue.push({ draft, units, bytes: bytes + EVENT_OVERHEAD, waiting: [] });
    this.#units += units;
  }

  send(): void {
    if (this.#sending.length === 0 && this.#queue.length > 0 && !this.#hasFailed) void this.#sendAll();
  }

  /** Resolves when more can be taken; undefined where it can at once. */
  whenReady(): Promise<void> | undefined {
    if (this.#units <= MOST_UNACKNOWLEDGED) return undefined;
    this.#drained ??= deferred();
    return this.#drained.promise;
  }

  /** Resolves when everything pushed so far is acknowledged. */
  whenAcknowledged(): Promise<void> {
    const newest = this.#queue.at(-1) ?? this.#sending.at(-1);
    if (newest === undefined) return Promise.resolve();
    const done = deferred();
    newest.waiting.push(done);
    return done.promise;
  }

  /** What is not on its way into the log yet, for a process that exits. */
  takeUnsent(): TimedDraft[] {
    // What was handed to the session may still wait there, behind another command or for its turn in this tick.
    const waiting = this.#session.isAppending(this) ? [] : this.#unlanded;
    const drafts = [...waiting, ...this.#queue].map(draftOf);
    this.#unlanded = [];
    this.#queue = [];
    return drafts;
  }

  /** Ends the writing: everything on its way is rejected with this error, and so is every later call. */
  fail(error: unknown): void {
    if (this.#hasFailed) return;
    this.#hasFailed = true;
    this.#failure = error;
    for (const entry of [...this.#sending, ...this.#queue]) {
      for (const waiting of entry.waiting) waiting.reject(error);
    }
    this.#queue = [];
    this.#units = 0;
    this.#wake();
    this.#onFailed();
  }

  close(): void {
    this.#session.unobserve(this);
  }

  observe(event: ConversationEvent): void {
    const reason = this.#whyLost(event);
    if (reason !== undefined) this.fail(this.#lost(reason));
  }

  #lost(reason: string): StateError {
    return new StateError(
      "turn-lost",
      `Turn ${this.#turnId} of session "${this.#session.id}" cannot go on: ${reason}. Nothing was overwritten.`,
      { details: { sessionId: this.#session.id, turnId: this.#turnId, messageId: this.#messageId } },
    );
  }

  #whyLost(event: ConversationEvent): string | undefined {
    switch (event.type) {
      case "TurnEnded":
        return event.data.turnId === this.#turnId
          ? `it was ended as ${event.data.outcome} by writer ${event.metadata.writer}`
          : undefined;
      case "AssistantStubAppended":
      case "TurnStarted":
        return ANOTHER_TURN;
      case "SessionDeleted":
        return "the session was deleted";
      case "BranchesUpdated": {
        const { messageId, content, pushContent, branches } = event.data;
        const changes = content !== undefined || pushContent === true || branches !== undefined;
        return messageId === this.#messageId && changes
          ? `its message ${messageId} was changed by writer ${event.metadata.writer}`
          : undefined;
      }
      default:
        return undefined;
    }
  }

  async #sendAll(): Promise<void> {
    while (this.#queue.length > 0) {
      const batch = this.#takeBatch();
      this.#sending = this.#unlanded = batch;
      try {
        const onAppended = (): void => void (this.#unlanded = []);
        const command = (state: Conversation): Decision<void> => {
          this.check(); // What was read after a conflict may have taken the turn away.
          // Another writer may have taken it before this one had heard that it had begun.
          const turn = state.unendedTurns.get(this.#turnId);
          if (turn === undefined) throw this.#lost("it was ended by another writer");
          if (turn.superseded) throw this.#lost(ANOTHER_TURN);
          const drafts = batch.map(draftOf);
          return { drafts, result: undefined, seal: drafts.at(-1)?.type === "TurnEnded", onAppended };
        };
        await this.#session.run(command, { source: this });
      } catch (error) {
        this.fail(error);
      }
      this.#sending = [];
      if (this.#hasFailed) return;
      for (const entry of batch) {
        this.#units -= entry.units;
        for (const waiting of entry.waiting) waiting.resolve();
      }
      if (this.#units <= MOST_UNACKNOWLEDGED) this.#wake();
    }
  }

  /** As much as one append may hold, at least one event. */
  #takeBatch(): Entry[] {
    let bytes = 0;
    let count = 0;
    for (const entry of this.#queue) {
      bytes += entry.bytes;
      if (count > 0 && bytes > this.#maxAppendBytes) break;
      count++;
    }
    return this.#queue.splice(0, count);
  }

  #wake(): void {
    this.#drained?.resolve();
    this.#drained = undefined;
  }
}

function draftOf(entry: Entry): TimedDraft {
  if (typeof entry.draft === "function") entry.draft = entry.draft();
  return entry.draft;
}
