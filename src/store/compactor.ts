import { InvalidInputError } from "../errors.ts";
import type { ConversationStore } from "./conversation-store.ts";
import type { StoredMessage } from "../projections/stored-message.ts";
import { activeParts } from "./prompt-steps.ts";

/** When to compact, and how. Give it maxMessages, maxTokens, or both. */
export interface CompactorOptions {
  /** `summarize` (default): the older half becomes one summary. `sliding`: what is too old is left out. */
  strategy?: "summarize" | "sliding" | undefined;
  /** Compact when the session has more messages than this. */
  maxMessages?: number | undefined;
  /** Compact when the session is estimated at more tokens than this. */
  maxTokens?: number | undefined;
  /** Tokens of a message. Default: UTF-16 units of its content / 4. */
  estimateTokens?: ((message: StoredMessage) => number) | undefined;
  /** Makes the summary of the messages that will be replaced; needed by `summarize`. */
  summarize?: ((messages: StoredMessage[], options: { signal: AbortSignal }) => Promise<string>) | undefined;
  /** How long `summarize` may take, ms. Default 60,000. */
  timeoutMs?: number | undefined;
}

/** What a compaction did, and why not more. */
export interface CompactionResult {
  /** `none`: below the limits, or nothing could be left out. */
  strategy: "summarize" | "sliding" | "none";
  /** Messages that are no longer part of the conversation. */
  replaced: number;
  kept: number;
  /** Id of the summary. */
  summaryId?: number;
  /** Why it slid although it was to summarize, or why it did nothing. */
  reason?: string;
  /** What summarize threw. */
  error?: unknown;
}

const FEWEST_KEPT = 2;

/**
 * Shortens conversations that grow beyond a prompt. One event says what stays, by id: dates and branches are
 * untouched, and what is replaced stays in the log and in `listMessages({includeReplaced: true})`.
 */
export class Compactor {
  readonly #options: CompactorOptions;
  readonly #estimate: (message: StoredMessage) => number;

  /** @throws {InvalidInputError} `invalid-compactor` without a limit, or without `summarize` where it is needed. */
  constructor(options: CompactorOptions) {
    const { strategy = "summarize", maxMessages, maxTokens } = options;
    for (const limit of [maxMessages, maxTokens]) {
      if (limit === undefined || (limit >= 1 && !Number.isNaN(limit))) continue;
      throw invalidCompactor(`A limit is a number from 1, not ${limit}.`);
    }
    if (maxMessages === undefined && maxTokens === undefined) {
      throw invalidCompactor(
        "Give it maxMessages, maxTokens, or both: without a limit it has nothing to do.",
      );
    }
    if (strategy === "summarize" && options.summarize === undefined) {
      throw invalidCompactor('The strategy "summarize" needs a summarize function; "sliding" does not.');
    }
    this.#options = { ...options, strategy };
    this.#estimate = options.estimateTokens ?? ((message) => message.content.length / 4);
  }

  /** True where the messages exceed a limit. */
  isDue(messages: readonly StoredMessage[]): boolean {
    const { maxMessages = Infinity, maxTokens = Infinity } = this.#options;
    return messages.length > maxMessages || this.#tokens(messages) > maxTokens;
  }

  /**
   * Compacts the session if it is due. Messages that come while it summarizes, and an open turn, stay; when
   * somebody else has changed what it was about to replace, it does nothing and says so.
   */
  async compact(store: ConversationStore, sessionId: string): Promise<CompactionResult> {
    const { revision, messages } = await store.readSession(sessionId);
    if (!this.isDue(messages)) return nothing(messages, "below the limits");
    if (this.#options.strategy === "sliding") return this.#slide(store, sessionId, revision, messages);
    const cut = this.#cut(messages, 2);
    if (cut === 0) return nothing(messages, "nothing can be left out");
    const summary = await this.#summarize(messages.slice(0, cut));
    if ("reason" in summary) {
      const slid = await this.#slide(store, sessionId, revision, messages);
      return { ...slid, ...summary };
    }
    return replace(store, sessionId, revision, messages, cut, `[Conversation summary]: ${summary.text}`);
  }

  #slide(
    store: ConversationStore,
    sessionId: string,
    revision: number,
    messages: StoredMessage[],
  ): Promise<CompactionResult> {
    return replace(store, sessionId, revision, messages, this.#cut(messages, 1), undefined);
  }

  /** How many of the oldest messages go, when the newest may take up a `share`-th of the limits. */
  #cut(messages: readonly StoredMessage[], share: number): number {
    const { maxMessages = Infinity, maxTokens = Infinity } = this.#options;
    const most = Math.max(FEWEST_KEPT, Math.floor(maxMessages / share));
    let kept = 0;
    let tokens = 0;
    while (kept < messages.length && kept < most) {
      tokens += this.#tokens(messages.slice(messages.length - kept - 1, messages.length - kept));
      if (kept >= FEWEST_KEPT && tokens > maxTokens / share) break;
      kept++;
    }
    const open = messages.findIndex((message) => message.status === "open");
    return beforeCalls(messages, Math.min(messages.length - kept, open === -1 ? Infinity : open));
  }

  #tokens(messages: readonly StoredMessage[]): number {
    return messages.reduce((sum, message) => sum + this.#estimate(message), 0);
  }

  async #summarize(
    messages: StoredMessage[],
  ): Promise<{ text: string } | { reason: string; error?: unknown }> {
    const timeoutMs = this.#options.timeoutMs ?? 60_000;
    const abort = new AbortController();
    let timer: NodeJS.Timeout | undefined;
    const timeout = new Promise<undefined>((resolve) => {
      timer = setTimeout(() => resolve(undefined), timeoutMs);
    });
    try {
      const summary = this.#options.summarize?.(messages, { signal: abort.signal });
      const text = await Promise.race([summary?.then((made) => String(made ?? "")), timeout]);
      if (text === undefined) return { reason: `summarize took longer than ${timeoutMs} ms` };
      return text.trim() === "" ? { reason: "summarize returned nothing" } : { text };
    } catch (error) {
      return { reason: `summarize failed: ${error instanceof Error ? error.message : String(error)}`, error };
    } finally {
      clearTimeout(timer);
      abort.abort();
    }
  }
}

/** A tool's result does not stay without its call: the cut, or as far before it as calls have their results behind it. */
function beforeCalls(messages: readonly StoredMessage[], cut: number): number {
  let start = cut;
  for (let index = messages.length - 1; index >= start; index--) {
    const message = messages[index];
    if (message?.role !== "tool") continue;
    const before = messages.slice(0, index);
    for (const isCall of callsOf(message)) {
      const call = before.findLastIndex(isCall);
      if (call >= 0) start = Math.min(start, call);
    }
  }
  return start;
}

/** What tells the messages that made the calls whose results this one holds. A plain text answers the newest. */
function callsOf(result: StoredMessage): ((message: StoredMessage) => boolean)[] {
  const ids = toolIdsOf(result);
  if (ids.size === 0) return [({ role }) => role === "assistant"];
  return [...ids].map((id) => (message) => message.role === "assistant" && toolIdsOf(message).has(id));
}

function toolIdsOf(message: StoredMessage): Set<unknown> {
  return new Set(activeParts(message).flatMap((part) => (part.kind === "tool" ? [part["tool_id"]] : [])));
}

async function replace(
  store: ConversationStore,
  sessionId: string,
  through: number,
  messages: readonly StoredMessage[],
  cut: number,
  summary: string | undefined,
): Promise<CompactionResult> {
  if (cut === 0) return nothing(messages, "nothing can be left out");
  const ids = messages.map(({ id }) => id);
  const done = await store.compactMessages(sessionId, {
    through,
    before: ids,
    keep: ids.slice(cut),
    summary,
  });
  if (done === undefined) return nothing(messages, "the conversation was replaced or deleted meanwhile");
  return {
    strategy: summary === undefined ? "sliding" : "summarize",
    replaced: cut,
    kept: ids.length - cut,
    ...(done.summaryId === undefined ? {} : { summaryId: done.summaryId }),
  };
}

function nothing(messages: readonly StoredMessage[], reason: string): CompactionResult {
  return { strategy: "none", replaced: 0, kept: messages.length, reason };
}

function invalidCompactor(message: string): InvalidInputError {
  return new InvalidInputError("invalid-compactor", message);
}
