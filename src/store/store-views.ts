import type { EventLog } from "../log/event-log.ts";
import { type ConversationViews } from "../projections/conversation-views.ts";
import { isDamagedViews, isViewsBusy } from "../projections/view-errors.ts";
import { openViews, openViewsReadOnly } from "../projections/open-views.ts";
import { Projector } from "../projections/projector.ts";
import {
  type ReadProgressOptions,
  type SessionDirectory,
  SessionIndex,
  type SessionInfo,
  type SessionQuery,
} from "../projections/session-index.ts";
import { ViewedSessionDirectory } from "../projections/viewed-session-directory.ts";
import { type Deletion, purgeFromViews } from "../projections/views-purge.ts";
import type { ConversationStoreOptions } from "./store-options.ts";

/** The views of an opened store, and the projector that keeps them up to date. */
export interface StoreViews {
  readonly views: ConversationViews;
  readonly directory: SessionDirectory;
  /** The rows cannot be used: the store goes on without them. */
  onDamage(error: unknown): void;
  /** Removes what the file still holds of a deleted session. */
  purge(deletion: Deletion): Promise<void>;
  close(): Promise<void>;
}

/** Undefined for a store that never writes where there are no views that it could use. */
export async function openStoreViews(
  log: EventLog,
  path: string,
  options: ConversationStoreOptions,
): Promise<StoreViews | undefined> {
  const isReader = options.readOnly === true;
  const views = isReader ? await openViewsReadOnly(log, path) : await openViews(log, { path });
  if (views === undefined) return undefined;
  const projector = isReader || options.projector === false ? undefined : new Projector(log, views);
  projector?.start();
  let isGivenUp = false;
  const onDamage = (error: unknown): void => {
    if (isGivenUp) return;
    isGivenUp = true;
    projector?.stop();
    process.emitWarning(
      `The views ${path} are damaged (${String(error)}): reading from the log instead. Open the store again, or run turnlog rebuild, to have them made anew.`,
      "TurnlogWarning",
    );
  };
  return {
    views,
    directory: new FallbackDirectory(new ViewedSessionDirectory(log, views), new SessionIndex(log), onDamage),
    onDamage,
    purge: (deletion) => purgeFromViews(log, views, deletion),
    close: async () => {
      await projector?.close();
      views.close();
    },
  };
}

/** Answers from the views, and from the log once they turn out to be damaged. */
class FallbackDirectory implements SessionDirectory {
  readonly #viewed: SessionDirectory;
  readonly #fromLog: SessionDirectory;
  readonly #onDamage: (error: unknown) => void;
  #isDamaged = false;

  constructor(viewed: SessionDirectory, fromLog: SessionDirectory, onDamage: (error: unknown) => void) {
    this.#viewed = viewed;
    this.#fromLog = fromLog;
    this.#onDamage = onDamage;
  }

  list(query: SessionQuery): Promise<SessionInfo[]> {
    return this.#answer((directory) => directory.list(query));
  }

  sessionsWithUnendedTurns(options?: ReadProgressOptions): Promise<string[]> {
    return this.#answer((directory) => directory.sessionsWithUnendedTurns(options));
  }

  async #answer<Result>(ask: (directory: SessionDirectory) => Promise<Result>): Promise<Result> {
    if (!this.#isDamaged) {
      try {
        return await ask(this.#viewed);
      } catch (error) {
        // Locked for a moment: this once the log alone has to do.
        if (!isDamagedViews(error) && !isViewsBusy(error)) throw error;
        if (isDamagedViews(error)) {
          this.#isDamaged = true;
          this.#onDamage(error);
        }
      }
    }
    return ask(this.#fromLog);
  }
}
