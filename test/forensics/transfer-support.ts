import { randomUUID } from "node:crypto";
import { join } from "node:path";
import {
  type ExportedSoFar,
  type TransferOptions,
  type TransferReport,
  type TransferSelection,
  exportLines,
  exportSource,
  logSource,
  transfer,
} from "../../src/forensics/transfer.ts";
import type { EventLog, RecordedEvent } from "../../src/log/event-log.ts";
import { MemoryEventLog } from "../../src/log/memory-event-log.ts";
import { openEventLog } from "../../src/log/open-event-log.ts";
import type { ConversationStore } from "../../src/store/conversation-store.ts";
import { openConversationStore } from "../../src/store/open-conversation-store.ts";
import type { FixtureNode } from "../support/eventstoredb-fixture/fixture-node.ts";

/** URLs of stores that are nobody else's. */
export class StoreUrls {
  readonly #folder: string;
  readonly #node: FixtureNode | undefined;

  readonly #kept: MemoryEventLog[] = [];

  constructor(folder: string, node?: FixtureNode) {
    this.#folder = folder;
    this.#node = node;
  }

  next(kind: "memory" | "file" | "server"): string {
    const name = `transfer-${randomUUID()}`;
    if (kind === "memory") {
      // A log in memory goes with the last who has it open.
      this.#kept.push(new MemoryEventLog({ name }));
      return `memory:${name}`;
    }
    if (kind === "file") return join(this.#folder, `${name}.db`);
    return `${this.#node?.url ?? ""}&log=${name}`;
  }

  async close(): Promise<void> {
    for (const log of this.#kept) await log.close();
  }
}

export async function withLog<T>(url: string, use: (log: EventLog) => Promise<T>): Promise<T> {
  const log = await openEventLog(url);
  try {
    return await use(log);
  } finally {
    await log.close();
  }
}

export async function withStoreAt<T>(url: string, use: (store: ConversationStore) => Promise<T>): Promise<T> {
  const store = await openConversationStore(url, { flushIntervalMs: 0, durability: "process" });
  try {
    return await use(store);
  } finally {
    await store.close();
  }
}

/** Everything that a store says, but what belongs to its own clock and order. */
export async function told(url: string): Promise<unknown> {
  return withStoreAt(url, async (store) => {
    const sessions = await store.listSessions({ limit: 1000 });
    const each = [];
    for (const { id } of sessions.toSorted((a, b) => (a.id < b.id ? -1 : 1))) {
      const messages = await store.listMessages(id, { limit: 1000, includeReplaced: true });
      const { revision } = await store.readSession(id);
      const past = await store.history(id, { at: Math.floor(revision / 2) });
      each.push({ id, messages, revision, past, prompt: await store.getMessages(id) });
    }
    return { sessions, each };
  });
}

/** The events of all streams as they were written, in order of their streams. */
export async function written(url: string): Promise<Map<string, unknown[]>> {
  const streams = new Map<string, unknown[]>();
  await withLog(url, async (log) => {
    for await (const { stream, revision, id, type, data, metadata } of log.readAll()) {
      const events = streams.get(stream) ?? [];
      streams.set(stream, events);
      events.push({ revision, id, type, data, metadata });
    }
  });
  return new Map([...streams].toSorted(([a], [b]) => (a < b ? -1 : 1)));
}

export async function copy(
  from: string,
  to: string,
  selection: TransferSelection = {},
  options: TransferOptions = {},
): Promise<TransferReport> {
  return withLog(from, (source) =>
    withLog(to, async (target) => transfer(await logSource(source, selection), target, options)),
  );
}

export async function exportOf(
  from: string,
  selection: TransferSelection = {},
  resume?: ExportedSoFar,
): Promise<string> {
  return withLog(from, async (log) => {
    let text = "";
    for await (const line of exportLines(log, selection, { resume })) text += `${line}\n`;
    return text;
  });
}

/** Imports what is read in pieces of any size. */
export async function importOf(
  text: string | Uint8Array,
  to: string,
  { sessions, ...options }: TransferOptions & { sessions?: string[] } = {},
): Promise<TransferReport> {
  return withLog(to, async (log) => transfer(await exportSource(inPieces(text), sessions), log, options));
}

export async function* inPieces(text: string | Uint8Array, size = 1000): AsyncGenerator<Uint8Array> {
  const bytes = Buffer.from(text);
  for (let at = 0; at < bytes.length; at += size) yield bytes.subarray(at, at + size);
}

export async function streamOf(url: string, stream: string): Promise<RecordedEvent[]> {
  return withLog(url, (log) => all(log.readStream(stream)));
}

async function all<T>(items: AsyncIterable<T>): Promise<T[]> {
  const list: T[] = [];
  for await (const item of items) list.push(item);
  return list;
}

/** Ids of messages renumbered by where they first occur: two that differ in them alone are equal. */
export function withoutIds(value: unknown): unknown {
  const ids = new Map<unknown, number>();
  return JSON.parse(
    JSON.stringify(value, (key, each: unknown) => {
      if (key !== "id" || typeof each !== "number") return each;
      if (!ids.has(each)) ids.set(each, ids.size);
      return ids.get(each);
    }),
  );
}
