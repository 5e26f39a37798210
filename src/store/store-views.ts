import type { EventLog } from "../log/event-log.ts";
import { type ConversationViews, openViews, openViewsReadOnly } from "../projections/conversation-views.ts";
import { Projector } from "../projections/projector.ts";
import type { SessionDirectory } from "../projections/session-index.ts";
import { ViewedSessionDirectory } from "../projections/viewed-session-directory.ts";
import type { ConversationStoreOptions } from "./store-options.ts";

/** The views of an opened store, and the projector that keeps them up to date. */
export interface StoreViews {
  readonly views: ConversationViews;
  readonly directory: SessionDirectory;
  /** The rows cannot be used: the store goes on without them. */
  onDamage(error: unknown): void;
  close(): void;
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
  return {
    views,
    directory: new ViewedSessionDirectory(log, views),
    onDamage: (error) => {
      projector?.stop();
      process.emitWarning(
        `The views ${path} are damaged (${String(error)}): reading from the log instead. Open the store again, or run turnlog rebuild, to have them made anew.`,
        "TurnlogWarning",
      );
    },
    close: () => {
      projector?.stop();
      views.close();
    },
  };
}
