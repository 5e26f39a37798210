import type { ConversationEvent } from "../events/conversation-event.ts";
import { eventCodec } from "../events/event-codec.ts";
import { type StoredPart, parseParts } from "../events/stored-part.ts";
import { TurnlogError } from "../errors.ts";
import type { RecordedEvent } from "../log/event-log.ts";
import { type Conversation, applyEvent, emptyConversation, skipEvent } from "../projections/conversation.ts";
import { parseBranches } from "../projections/message-branches.ts";
import { type MessageStatus, toStoredMessage } from "../projections/stored-message.ts";
import type { ModelMessage } from "../store/model-message-types.ts";
import { toModelMessages } from "../store/model-messages.ts";
import { lossOf } from "./placeholder-events.ts";
import { endOfEvent, marksOf, startedTurnOf, turnOfEvent } from "./event-times.ts";

/** How much of a turn's end is kept event by event, ms. */
const LAST_MS = 1000;
/** Messages that a prompt holds, as `getMessages` without a limit. */
const PROMPT_MESSAGES = 50;

/** What the log says of one turn, besides what the fold keeps. */
export interface TurnTimeline {
  /** The newest event of the turn. */
  lastEvent: RecordedEvent;
  /** When it was over: the moment of its last mark, epoch ms by the writer's clock. */
  lastEventAt: number;
  events: number;
  deltas: number;
  /** What the turn had written by then, also where the message shows something else by now. */
  parts: StoredPart[];
  /** The turn's events of the second that `lastEventAt` ends. */
  lastSecond: RecordedEvent[];
  /** What the model was asked: the conversation when the turn began, without the turn's own message. */
  prompt: ModelMessage[];
  /** Index of the newest complete answer among the message's branches; undefined where there is none. */
  safeBranch: number | undefined;
}

export interface SessionTimeline {
  turns: Map<string, TurnTimeline>;
  /** Why the session could be read no further; what is told is as of the events before. */
  damage: Error | undefined;
}

/**
 * Follows turns through one session's events, from its first. Bounded in memory by the size of the conversation.
 * Damage does not throw: what lies before it is told.
 * @param readEvents gives the session's events from their start, each time it is called
 */
export async function traceTurns(
  readEvents: () => AsyncIterable<RecordedEvent>,
  turnIds: ReadonlySet<string>,
): Promise<SessionTimeline> {
  const traced = await traceOnce(readEvents(), new TurnTracer(turnIds));
  if (traced.unfoldable === undefined) return traced;
  // The event was half applied when it turned out to be wrong: once more, up to the one before.
  const again = await traceOnce(readEvents(), new TurnTracer(turnIds, traced.unfoldable));
  return { turns: again.turns, damage: traced.damage };
}

async function traceOnce(
  events: AsyncIterable<RecordedEvent>,
  tracer: TurnTracer,
): Promise<SessionTimeline & { unfoldable: number | undefined }> {
  let damage: Error | undefined;
  try {
    for await (const event of events) tracer.take(event);
  } catch (error) {
    if (!TurnlogError.isInstance(error)) throw error;
    damage = error;
  }
  const { unfoldable, loss } = tracer;
  const error = unfoldable?.error ?? damage ?? loss;
  return { turns: tracer.finish(), damage: error, unfoldable: unfoldable?.revision };
}

/** A turn being followed. */
interface Traced extends Omit<TurnTimeline, "parts"> {
  readonly messageId: number;
  content: string;
  /** The content has changed since it was last taken down. */
  isStale: boolean;
}

class TurnTracer {
  readonly #turnIds: ReadonlySet<string>;
  readonly #state: Conversation = emptyConversation();
  readonly #traced = new Map<string, Traced>();
  readonly #answers = new AnswerHistory();
  /** Events from here on are not folded. */
  readonly #foldBefore: number;
  /** The first event that cannot be read or applied. */
  unfoldable: { revision: number; error: Error } | undefined;

  #loss: Error | undefined;

  constructor(turnIds: ReadonlySet<string>, foldBefore = Infinity) {
    this.#turnIds = turnIds;
    this.#foldBefore = foldBefore;
  }

  /** What the log had lost before it was salvaged. */
  get loss(): Error | undefined {
    return this.#loss;
  }

  take(stored: RecordedEvent): void {
    const turnId = turnOfEvent(stored);
    this.#fold(stored, turnId);
    if (turnId === undefined || !this.#turnIds.has(turnId)) return;
    const turn = this.#traced.get(turnId) ?? this.#begin(turnId, stored);
    if (turn !== undefined) note(turn, stored);
  }

  /** What an event that cannot be read says is lost, and so is what builds on it; times and tools of the rest still tell. */
  #fold(stored: RecordedEvent, turnId: string | undefined): void {
    if (this.unfoldable !== undefined || stored.revision >= this.#foldBefore) return;
    try {
      const event = eventCodec.decode(stored);
      if (event === undefined) {
        this.#loss ??= lossOf(stored);
        return skipEvent(this.#state, stored);
      }
      this.#takeDown(event, turnId);
      this.#answers.before(this.#state, event);
      applyEvent(this.#state, event);
      this.#answers.after(this.#state, event);
    } catch (error) {
      if (!TurnlogError.isInstance(error)) throw error;
      this.unfoldable = { revision: stored.revision, error };
    }
  }

  /** Before somebody else changes a turn's message: what the turn itself had written. */
  #takeDown(event: ConversationEvent, turnId: string | undefined): void {
    const changed = (event.data as { messageId?: unknown }).messageId;
    for (const [id, turn] of this.#traced) {
      if (id !== turnId && turn.isStale && turn.messageId === changed) this.#keepContent(turn);
    }
  }

  #keepContent(turn: Traced): void {
    turn.content = this.#state.messages.get(turn.messageId)?.content.toString() ?? turn.content;
    turn.isStale = false;
  }

  #begin(turnId: string, stored: RecordedEvent): Traced | undefined {
    const started = startedTurnOf(stored);
    if (started === undefined) return undefined;
    const others = this.#state.messages.current().filter(({ id }) => id !== started.messageId);
    const turn: Traced = {
      messageId: started.messageId,
      lastEvent: stored,
      lastEventAt: 0,
      events: 0,
      deltas: 0,
      lastSecond: [],
      prompt: toModelMessages(others.slice(-PROMPT_MESSAGES).map(toStoredMessage)),
      safeBranch: undefined,
      content: "",
      isStale: true,
    };
    this.#traced.set(turnId, turn);
    return turn;
  }

  finish(): Map<string, TurnTimeline> {
    const turns = new Map<string, TurnTimeline>();
    for (const [id, turn] of this.#traced) {
      if (turn.isStale) this.#keepContent(turn);
      const { content, isStale: _isStale, messageId, ...timeline } = turn;
      const parts = parseParts(content) ?? [];
      turns.set(id, { ...timeline, parts, safeBranch: this.#answers.newestComplete(messageId) });
    }
    return turns;
  }
}

function note(turn: Traced, event: RecordedEvent): void {
  turn.lastEvent = event;
  turn.lastEventAt = Math.max(turn.lastEventAt, endOfEvent(event));
  turn.events++;
  turn.deltas += marksOf(event).length;
  turn.isStale = true;
  turn.lastSecond.push(event);
  const since = turn.lastEventAt - LAST_MS;
  const first = turn.lastSecond.findIndex((each) => endOfEvent(each) >= since);
  if (first > 0) turn.lastSecond.splice(0, first);
}

const COMPLETE: ReadonlySet<MessageStatus | undefined> = new Set(["saved", "filling", "finished", undefined]);

/** Which of a message's branches were complete answers when they were put aside. */
class AnswerHistory {
  readonly #statuses = new Map<number, MessageStatus>();
  readonly #branches = new Map<number, (MessageStatus | undefined)[]>();

  before(state: Conversation, event: ConversationEvent): void {
    if (event.type !== "TurnStarted") return;
    const message = state.messages.get(event.data.messageId);
    if (message !== undefined) this.#statuses.set(message.id, message.status);
  }

  after(state: Conversation, event: ConversationEvent): void {
    if (event.type !== "BranchesUpdated") return;
    const { messageId, pushContent, branches } = event.data;
    if (pushContent !== true && branches === undefined) return;
    const count = parseBranches(state.messages.get(messageId)?.branchesJson ?? "").length;
    const known = this.#branches.get(messageId) ?? [];
    // Branches that a caller wrote himself are as complete as he says.
    while (known.length < count) known.push(undefined);
    known.length = count;
    if (pushContent === true && count > 0) known[count - 1] = this.#statuses.get(messageId);
    this.#branches.set(messageId, known);
  }

  newestComplete(messageId: number): number | undefined {
    const index = (this.#branches.get(messageId) ?? []).findLastIndex((status) => COMPLETE.has(status));
    return index === -1 ? undefined : index;
  }
}
