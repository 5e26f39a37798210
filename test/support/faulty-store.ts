import { randomUUID } from "node:crypto";
import { expect } from "@jest/globals";
import type { NewEvent } from "../../src/log/event-log.ts";
import { MemoryEventLog } from "../../src/log/memory-event-log.ts";
import { ConversationStore, type ConversationStoreOptions } from "../../src/store/conversation-store.ts";
import { FaultyEventLog, checkLogIntegrity } from "../../src/testing/index.ts";
import type { Happening } from "./conversation-history.ts";

/** A store on a log whose calls fail as planned; the log's soundness is checked after use. */
export async function withFaultyStore<T>(
  use: (store: ConversationStore, log: FaultyEventLog) => Promise<T>,
  options: ConversationStoreOptions = {},
): Promise<T> {
  const log = new FaultyEventLog(new MemoryEventLog({}));
  const store = new ConversationStore(log, { flushIntervalMs: 0, ...options });
  try {
    const result = await use(store, log);
    expect(log.pending).toEqual([]); // A fault that never happened would prove nothing.
    await checkLogIntegrity(log);
    return result;
  } finally {
    log.clear();
    await store.close();
  }
}

let foreign = 0;

/** The happenings as another writer appends them. */
export function asForeign(...happenings: Happening[]): NewEvent[] {
  return happenings.map(({ type, data, writer = "foreign" }) => ({
    id: randomUUID(),
    type,
    data: data as never,
    metadata: { v: 1, writer, n: foreign++, time: Date.now() },
  }));
}

/** Counts that writers lack between their first and their newest event: each would prove a loss. */
export async function missingCounts(log: FaultyEventLog): Promise<Record<string, number[]>> {
  const counts = new Map<string, number[]>();
  for await (const { metadata } of log.readAll()) {
    const { writer, n } = metadata as { writer: string; n: number };
    if (writer !== "foreign") counts.set(writer, [...(counts.get(writer) ?? []), n]);
  }
  const missing: Record<string, number[]> = {};
  for (const [writer, seen] of counts) {
    expect(new Set(seen).size).toBe(seen.length);
    const holes = Array.from({ length: Math.max(...seen) }, (_, n) => n).filter((n) => !seen.includes(n));
    if (holes.length > 0) missing[writer] = holes;
  }
  return missing;
}
