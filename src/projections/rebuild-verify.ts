import { setImmediate as nextTick } from "node:timers/promises";
import { isDeepStrictEqual } from "node:util";
import { TurnlogError } from "../errors.ts";
import { conversationStream } from "../events/conversation-event.ts";
import { eventCodec } from "../events/event-codec.ts";
import type { EventLog } from "../log/event-log.ts";
import { type Conversation, applyEvent, emptyConversation, skipEvent } from "./conversation.ts";
import { DamagedView, StaleView } from "./message-collection.ts";
import { type RebuildRun, checkNotAborted } from "./rebuild-run.ts";
import type { FoldedMessage } from "./stored-message.ts";
import type { ViewGeneration } from "./view-generation.ts";

/** One thing that the new views say otherwise than the old ones. */
export interface Difference {
  session: string;
  /** The message, undefined where it is the session itself. */
  messageId?: number;
  /** The field; `message` or `session` where it is missing on one side. */
  field: string;
  /** As JSON, shortened. Undefined: missing. */
  old?: string;
  new?: string;
}

/** How the new views compare with the old. */
export interface Verification {
  /** Sessions and messages that were compared, each at the revision of its old rows. */
  sessions: number;
  messages: number;
  /** Of those, how many differ. */
  differingSessions: number;
  differingMessages: number;
  /** Sessions whose old rows are of a moment that the log no longer has. */
  notComparable: number;
  /** The first hundred. */
  differences: Difference[];
}

const MOST_DIFFERENCES = 100;
const LONGEST_VALUE = 120;
const SESSIONS_A_TICK = 100;
const MESSAGES_A_PAGE = 200;
/** Loads of a session whose rows the projector goes on to write. */
const MOST_ATTEMPTS = 10;

/** Compares the new generation with the old one, session by session, at the revision of the old rows. */
export async function verifyGeneration(run: RebuildRun, old: number, fresh: number): Promise<Verification> {
  const { views, ceiling, options } = run;
  const differences = new Differences();
  const started = performance.now();
  const oldRows = views.rows(old);
  const newRows = views.rows(fresh);
  let seen = 0;
  const step = async (session: string): Promise<void> => {
    if (++seen % SESSIONS_A_TICK !== 0) return;
    checkNotAborted(run);
    const eventsPerSecond = seen / ((performance.now() - started) / 1000);
    options.onProgress?.({
      phase: "verifying",
      position: ceiling,
      ceiling,
      events: seen,
      eventsPerSecond,
      session,
    });
    await nextTick();
  };
  for (const session of oldRows.names()) {
    await verifySession(run, session, oldRows, newRows, differences);
    await step(session);
  }
  const checkpoint = views.read(() =>
    views.records().find(({ generation }) => generation === old),
  )?.checkpoint;
  for (const session of newRows.names()) {
    if (views.read(() => oldRows.placeOf(session)) === undefined) {
      // The old views need not have a session that began after their checkpoint.
      for await (const first of run.log.readStream(conversationStream(session), { limit: 1 })) {
        if (checkpoint !== undefined && first.position <= checkpoint.position)
          differences.missing(session, undefined, "session");
      }
    }
    await step(session);
  }
  return differences.report();
}

async function verifySession(
  { log, views }: RebuildRun,
  session: string,
  oldRows: ViewGeneration,
  newRows: ViewGeneration,
  differences: Differences,
): Promise<void> {
  for (let attempt = 0; attempt < MOST_ATTEMPTS; attempt++) {
    const [place, isHere] = views.read(() => [
      oldRows.placeOf(session),
      newRows.placeOf(session) !== undefined,
    ]);
    if (place === undefined) return;
    if (!isHere) return differences.missing(session, "session", undefined);
    const expected = await stateAt(log, newRows, session, place.revision);
    if (expected === undefined) return differences.skip();
    const isCompared = views.read(() => {
      // The projector may have written it meanwhile.
      if (oldRows.placeOf(session)?.revision !== place.revision) return false;
      differences.compare(session, oldRows, expected);
      return true;
    });
    if (isCompared) return;
  }
  differences.skip();
}

/**
 * What this version's fold makes of the session up to a revision: the new rows, or folded on from them, or folded
 * anew up to there. Undefined where the log no longer tells.
 */
async function stateAt(
  log: EventLog,
  rows: ViewGeneration,
  session: string,
  revision: number,
): Promise<Conversation | undefined> {
  const loaded = rows.load(session)?.conversation;
  if (loaded?.revision === revision) return loaded;
  const state = loaded !== undefined && loaded.revision < revision ? loaded : emptyConversation();
  try {
    for await (const event of log.readStream(conversationStream(session), { from: state.revision + 1 })) {
      if (event.revision > revision) break;
      const decoded = eventCodec.decode(event);
      if (decoded === undefined) skipEvent(state, event);
      else applyEvent(state, decoded);
    }
  } catch (error) {
    if (!TurnlogError.isInstance(error)) throw error;
  }
  return state.revision === revision ? state : undefined;
}

/** Collects what differs: all of it is counted, the first of it is kept. */
export class Differences {
  readonly #report: Verification = {
    sessions: 0,
    messages: 0,
    differingSessions: 0,
    differingMessages: 0,
    notComparable: 0,
    differences: [],
  };

  report(): Verification {
    return this.#report;
  }

  skip(): void {
    this.#report.notComparable++;
  }

  /** A session that one side lacks. */
  missing(session: string, old: string | undefined, fresh: string | undefined): void {
    this.#report.sessions++;
    this.#report.differingSessions++;
    this.#add(session, undefined, "session", old, fresh);
  }

  /** Compares a session's old rows with what they should be. Inside a read; the old rows' revision is the state's. */
  compare(session: string, oldRows: ViewGeneration, expected: Conversation): void {
    this.#report.sessions++;
    let isSame = true;
    try {
      const old = oldRows.load(session)?.conversation;
      if (old === undefined) throw new StaleView();
      isSame = this.#fields(session, undefined, describeSession(old), describeSession(expected));
      if (!this.#messages(session, old, expected)) isSame = false;
    } catch (error) {
      if (!(error instanceof DamagedView)) throw error;
      isSame = false;
      this.#add(session, undefined, "row", error.message, undefined);
    }
    if (!isSame) this.#report.differingSessions++;
  }

  #messages(session: string, old: Conversation, expected: Conversation): boolean {
    let isSame = true;
    const oldPages = pagesOf(old);
    const newPages = pagesOf(expected);
    for (;;) {
      const [left, right] = [oldPages.next(), newPages.next()];
      if (left.done === true && right.done === true) return isSame;
      const pair = [left.value, right.value] as [FoldedMessage | undefined, FoldedMessage | undefined];
      this.#report.messages++;
      if (this.#message(session, ...pair)) continue;
      isSame = false;
      this.#report.differingMessages++;
    }
  }

  #message(session: string, old: FoldedMessage | undefined, fresh: FoldedMessage | undefined): boolean {
    if (old !== undefined && fresh !== undefined && old.id === fresh.id)
      return this.#fields(session, old.id, describeMessage(old), describeMessage(fresh));
    const name = (message: FoldedMessage | undefined): string | undefined =>
      message && `message ${message.id}`;
    this.#add(session, (old ?? fresh)?.id, "message", name(old), name(fresh));
    return false;
  }

  #fields(
    session: string,
    messageId: number | undefined,
    old: Record<string, unknown>,
    fresh: Record<string, unknown>,
  ): boolean {
    let isSame = true;
    for (const field of new Set([...Object.keys(old), ...Object.keys(fresh)])) {
      if (isDeepStrictEqual(old[field], fresh[field])) continue;
      isSame = false;
      this.#add(session, messageId, field, JSON.stringify(old[field]), JSON.stringify(fresh[field]));
    }
    return isSame;
  }

  #add(
    session: string,
    messageId: number | undefined,
    field: string,
    old: string | undefined,
    fresh: string | undefined,
  ): void {
    if (this.#report.differences.length >= MOST_DIFFERENCES) return;
    const differing = firstDifference(old ?? "", fresh ?? "");
    this.#report.differences.push({
      session,
      ...(messageId === undefined ? {} : { messageId }),
      field,
      ...(old === undefined ? {} : { old: shorten(old, differing) }),
      ...(fresh === undefined ? {} : { new: shorten(fresh, differing) }),
    });
  }
}

/** All messages, replaced ones too, in order, a page in memory at a time. */
function* pagesOf({ messages }: Conversation): Generator<FoldedMessage, undefined> {
  let after: number | undefined;
  for (;;) {
    const range = { after, limit: MESSAGES_A_PAGE, isOldestFirst: true, includeReplaced: true };
    const page = messages.page(range) ?? [];
    yield* page;
    const last = page.at(-1);
    if (last === undefined) return undefined;
    after = last.id;
  }
}

function describeSession(state: Conversation): Record<string, unknown> {
  const { exists, title, metadata, lastActive, lastMessageId, missingForkEvents } = state;
  return {
    exists,
    title,
    metadata,
    lastActive,
    lastMessageId,
    missingForkEvents,
    messageCount: state.messages.count,
    filling: state.filling?.id,
    unendedTurns: plain([...state.unendedTurns.values()]),
  };
}

function describeMessage({ content, place: _place, ...facts }: FoldedMessage): Record<string, unknown> {
  return { ...(plain(facts) as Record<string, unknown>), content: content.toString() };
}

/** As JSON has it: a key without a value is no key. */
function plain(value: unknown): unknown {
  return JSON.parse(JSON.stringify(value));
}

function firstDifference(a: string, b: string): number {
  let index = 0;
  while (index < a.length && index < b.length && a.charCodeAt(index) === b.charCodeAt(index)) index++;
  return index;
}

/** The stretch around the first difference. */
function shorten(text: string, differing: number): string {
  const start = text.length <= LONGEST_VALUE ? 0 : Math.max(0, differing - LONGEST_VALUE / 2);
  const end = start + LONGEST_VALUE;
  return `${start > 0 ? "…" : ""}${text.slice(start, end)}${end < text.length ? "…" : ""}`;
}
