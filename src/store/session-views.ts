import { type Conversation, emptyConversation } from "../projections/conversation.ts";
import { type ConversationViews } from "../projections/conversation-views.ts";
import { isDamagedViews, isViewsBusy } from "../projections/view-errors.ts";
import { DamagedView, StaleView } from "../projections/message-collection.ts";

/** Loads in a row before the views are given up: each means that the rows moved on meanwhile. */
const MOST_LOADS = 1000;

/**
 * Where sessions begin: at the rows of the views where there are any, else at nothing. Damaged views are not served
 * for long: the store goes on without them.
 */
export class SessionViews {
  readonly #logId: string;
  #views: ConversationViews | undefined;
  readonly #onDamage: (error: unknown) => void;

  /** @param onDamage told once, when the views are given up. */
  constructor(logId: string, views: ConversationViews | undefined, onDamage: (error: unknown) => void) {
    this.#logId = logId;
    this.#views = views;
    this.#onDamage = onDamage;
  }

  load(sessionId: string): Conversation {
    const views = this.#views;
    if (views === undefined) return emptyConversation();
    try {
      return views.read(() => {
        const current = views.serving(this.#logId);
        const loaded = current && views.rows(current.generation).load(sessionId);
        return loaded?.conversation ?? emptyConversation();
      });
    } catch (error) {
      // Locked for a moment, or put out of service: this once the log alone has to do.
      if (!(error instanceof StaleView) && !isViewsBusy(error)) this.#giveUp(error);
      return emptyConversation();
    }
  }

  /** True where the state is to be loaded again, because of the views and not of the call. */
  mustReload(error: unknown, loads: number): boolean {
    if (error instanceof DamagedView || isDamagedViews(error)) this.#giveUp(error);
    else if (!(error instanceof StaleView)) return false;
    else if (loads >= MOST_LOADS) this.#giveUp(error);
    return true;
  }

  #giveUp(error: unknown): void {
    if (this.#views === undefined) return;
    this.#views = undefined;
    this.#onDamage(error);
  }
}
