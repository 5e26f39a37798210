import type { Command } from "commander";
import type { ConversationStore, ConversationStoreOptions } from "../store/conversation-store.ts";

export interface StoreOption {
  store?: string;
}

const DEFAULT_STORE = "./turnlog.db";

/** Adds `--store`, the same for every command but for its default. */
export function storeOption(command: Command, byDefault: string = DEFAULT_STORE): Command {
  const help = `path or URL of the store (default: $TURNLOG_STORE, else ${byDefault})`;
  return command.option("--store <url>", help);
}

export function storeUrl(
  { store }: StoreOption,
  env: NodeJS.ProcessEnv,
  byDefault: string = DEFAULT_STORE,
): string {
  return store ?? (env["TURNLOG_STORE"] || byDefault);
}

/** Opens the store, uses it and closes it; what went wrong in use is not hidden by what goes wrong on closing. */
export async function withStore<T>(
  url: string,
  options: ConversationStoreOptions,
  use: (store: ConversationStore) => Promise<T>,
): Promise<T> {
  // Loaded on demand: --help and a wrong flag need no database.
  const { openConversationStore } = await import("../store/open-conversation-store.ts");
  const store = await openConversationStore(url, options);
  let result: T;
  try {
    result = await use(store);
  } catch (error) {
    await store.close().catch(() => undefined);
    throw error;
  }
  await store.close();
  return result;
}

/** Opens the store for a command that only reads: it is never made, never changed, and no writer notices. */
export function withReadOnlyStore<T>(url: string, use: (store: ConversationStore) => Promise<T>): Promise<T> {
  return withStore(url, { readOnly: true }, use);
}
