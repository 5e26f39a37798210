import type { ConversationStore } from "../../src/store/conversation-store.ts";
import { openConversationStore } from "../../src/store/open-conversation-store.ts";

/** A store of its own in memory, closed after use; deltas are flushed every tick. */
export async function withStore<T>(use: (store: ConversationStore) => Promise<T>): Promise<T> {
  const store = await openConversationStore("memory:", { flushIntervalMs: 0 });
  try {
    return await use(store);
  } finally {
    await store.close();
  }
}

let logs = 0;

/** Stores of their own on one log in memory, as if each were another process. */
export async function withStores<T>(
  count: number,
  use: (...stores: ConversationStore[]) => Promise<T>,
): Promise<T> {
  const url = `memory:shared-${process.pid}-${logs++}`;
  const stores: ConversationStore[] = [];
  for (let index = 0; index < count; index++) {
    stores.push(await openConversationStore(url, { flushIntervalMs: 0 }));
  }
  try {
    return await use(...stores);
  } finally {
    for (const store of stores) await store.close();
  }
}
