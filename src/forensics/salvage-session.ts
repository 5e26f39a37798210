import { TurnlogError } from "../errors.ts";
import type { ConversationEvent } from "../events/conversation-event.ts";
import { eventCodec } from "../events/event-codec.ts";
import type { RecordedEvent } from "../log/event-log.ts";
import { newMessageIds } from "../store/fork-ids.ts";

/**
 * Tells which events behind a hole can still be applied. Up to the hole all of them can. Behind it nobody knows what a
 * message had become that began before it or in it: only what is about messages that began behind it can, until the
 * session is deleted and begins anew.
 */
export class HoleRule {
  #isBehindHole = false;
  /** Messages that began behind the last hole. */
  readonly #known = new Set<number>();

  meetHole(): void {
    this.#isBehindHole = true;
    this.#known.clear();
  }

  /** False for an event that is to be set aside. */
  canApply(stored: RecordedEvent): boolean {
    if (!this.#isBehindHole) return true;
    let event: ConversationEvent | undefined;
    try {
      event = eventCodec.decode(stored);
    } catch (error) {
      if (!TurnlogError.isInstance(error)) throw error;
      return true; // No worse than it was: whoever reads it is told.
    }
    if (event === undefined) return true;
    if (event.type === "SessionDeleted") this.#isBehindHole = false;
    if (!this.#isApplicable(event)) return false;
    for (const id of newMessageIds(event.type, event.data)) this.#known.add(id);
    return true;
  }

  #isApplicable({ type, data }: ConversationEvent): boolean {
    switch (type) {
      case "MessageSaved":
      case "AssistantStubAppended":
      case "SessionUpdated":
      case "SessionDeleted":
        return true;
      case "TurnStarted":
      case "BranchesUpdated":
      case "TurnEnded":
        return this.#known.has(data.messageId);
      case "MessagesReplaced":
        // What is kept, and in which order, depends on all that was there.
        return data.messages.every((entry) => !("keep" in entry));
      default:
        return false;
    }
  }
}
