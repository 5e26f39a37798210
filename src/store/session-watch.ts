import { Observable, type Subscription } from "../log/observable.ts";
import { conversationStream } from "../events/conversation-event.ts";
import { eventCodec } from "../events/event-codec.ts";
import type { EventLog, RecordedEvent } from "../log/event-log.ts";
import { type ConversationChanges } from "../projections/conversation-changes.ts";
import { applyEvent, emptyConversation, skipEvent } from "../projections/conversation.ts";
import { copyJson } from "../projections/json-copy.ts";
import { type StoredMessage, toStoredMessage } from "../projections/stored-message.ts";

/**
 * What a watcher is told, each as of a revision. First a `snapshot`; then, for each event, what it changed: one
 * message, added or changed; the whole list (`messages`: replaced or deleted); the session's title and metadata.
 */
export type SessionChange = { readonly revision: number } & (
  | { readonly kind: "snapshot" | "messages"; readonly messages: StoredMessage[] }
  | { readonly kind: "message"; readonly message: StoredMessage }
  | {
      readonly kind: "session";
      readonly title: string | undefined;
      readonly metadata: Record<string, unknown> | undefined;
    }
);

/** A session as it is and as it changes, by this process or another: no change is missed, none comes twice. */
export function watchSession(log: EventLog, sessionId: string): Observable<SessionChange> {
  return new Observable((subscriber) => {
    const watched = new WatchedSession();
    const stream = conversationStream(sessionId);
    let live: Subscription | undefined;
    const start = async (): Promise<void> => {
      // Taken before the stream is read: what comes in between is in both, and is skipped by its revision.
      let position = await log.head();
      for await (const recorded of log.readStream(stream)) {
        watched.take(recorded);
        position = Math.max(position, recorded.position);
        if (subscriber.closed) return;
      }
      subscriber.next(watched.snapshot());
      if (subscriber.closed) return;
      live = log.subscribe({ after: position, streamPrefix: stream }).subscribe({
        next: (signal) => {
          // The prefix also lets longer session ids through.
          if (signal.kind !== "event" || signal.event.stream !== stream) return;
          for (const change of watched.take(signal.event)) subscriber.next(change);
        },
        error: (error) => subscriber.error(error),
        complete: () => subscriber.complete(),
      });
      if (subscriber.closed) live.unsubscribe();
    };
    start().catch((error: unknown) => subscriber.error(error));
    return () => live?.unsubscribe();
  });
}

class WatchedSession {
  readonly #state = emptyConversation();
  readonly #changes: ConversationChanges = { messages: new Set(), list: false, session: false };

  constructor() {
    this.#state.changes = this.#changes;
  }

  snapshot(): SessionChange {
    this.#clear();
    return { kind: "snapshot", revision: this.#state.revision, messages: this.#messages() };
  }

  take(recorded: RecordedEvent): SessionChange[] {
    if (recorded.revision <= this.#state.revision) return [];
    const event = eventCodec.decode(recorded);
    if (event === undefined) skipEvent(this.#state, recorded);
    else applyEvent(this.#state, event);
    const changes = this.#describe(recorded.revision);
    this.#clear();
    return changes;
  }

  #describe(revision: number): SessionChange[] {
    const { messages, list, session } = this.#changes;
    const changes: SessionChange[] = [];
    if (list) changes.push({ kind: "messages", revision, messages: this.#messages() });
    else
      for (const each of messages)
        changes.push({ kind: "message", revision, message: toStoredMessage(each) });
    const { title, metadata } = this.#state;
    if (session) changes.push({ kind: "session", revision, title, metadata: copyJson(metadata) });
    return changes;
  }

  #messages(): StoredMessage[] {
    return this.#state.messages.current().map(toStoredMessage);
  }

  #clear(): void {
    this.#changes.messages.clear();
    this.#changes.list = false;
    this.#changes.session = false;
  }
}

/**
 * The same as an async iterable. A consumer that is slower than the session gets the newest state of each message
 * rather than all states between: what waits for it is bounded by the size of the session.
 */
export async function* watchSessionIterably(
  changes: Observable<SessionChange>,
  signal?: AbortSignal,
): AsyncGenerator<SessionChange, void, undefined> {
  const waiting = new Map<string, SessionChange>();
  let failure: { error: unknown } | undefined;
  let isDone = signal?.aborted === true;
  let wake: () => void = () => undefined;
  const subscription = changes.subscribe({
    next: (change) => {
      const key = change.kind === "message" ? `message ${change.message.id}` : change.kind;
      if (change.kind === "messages") {
        for (const each of waiting.keys()) if (each.startsWith("message ")) waiting.delete(each);
      }
      // In the place of an older state of the same: a consumer meets new messages in their order.
      waiting.set(key, change);
      wake();
    },
    error: (error: unknown) => {
      failure = { error };
      wake();
    },
    complete: () => {
      isDone = true;
      wake();
    },
  });
  const stop = (): void => {
    isDone = true;
    wake();
  };
  signal?.addEventListener("abort", stop);
  try {
    for (;;) {
      for (const [key, change] of waiting) {
        waiting.delete(key);
        yield change;
      }
      if (failure !== undefined) throw failure.error;
      if (isDone) return;
      if (waiting.size === 0) await new Promise<void>((resolve) => (wake = resolve));
    }
  } finally {
    signal?.removeEventListener("abort", stop);
    subscription.unsubscribe();
  }
}
