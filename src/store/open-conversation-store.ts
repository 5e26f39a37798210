import type { EventLog } from "../log/event-log.ts";
import { openEventLog } from "../log/open-event-log.ts";
import { viewsPath } from "../projections/views-path.ts";
import { type ConversationStoreOptions, ConversationStore } from "./conversation-store.ts";
import type { StoreViews } from "./store-views.ts";

/**
 * Opens the conversations of a store: `memory:`, a path or `file:` URL of a SQLite file (made where there is none).
 * @throws `unknown-store-url`, `store-not-found`, `not-a-turnlog-file`, `newer-format`, `read-only`, …
 */
export async function openConversationStore(
  urlOrPath: string,
  options: ConversationStoreOptions = {},
): Promise<ConversationStore> {
  const log = await openEventLog(urlOrPath, { readOnly: options.readOnly ?? false });
  try {
    const views = await openStoreViews(log, urlOrPath, options);
    return new ConversationStore(log, options, views);
  } catch (error) {
    await log.close();
    throw error;
  }
}

async function openStoreViews(
  log: EventLog,
  urlOrPath: string,
  options: ConversationStoreOptions,
): Promise<StoreViews | undefined> {
  const path = viewsPath(urlOrPath, options.views);
  if (path === undefined) return undefined;
  // Loaded on demand: a program that needs no views needs no native module.
  const { openStoreViews: open } = await import("./store-views.ts");
  return open(log, path, options);
}
