import {
  type ConversationEvent,
  type EventData,
  type NewMessage,
  type TurnError,
  type Role,
  conversationStream,
} from "../events/conversation-event.ts";
import { eventCodec } from "../events/event-codec.ts";
import type { StoredPart, Usage } from "../events/stored-part.ts";
import type { EventLog, RecordedEvent } from "../log/event-log.ts";
import { type Conversation, applyEvent, emptyConversation, skipEvent } from "../projections/conversation.ts";
import { EMPTY_CONTENT, parseBranches } from "../projections/message-branches.ts";
import { GrowingParts, type PartChange } from "./replay-parts.ts";
import { splitByMarks } from "./replay-splices.ts";
import { type ReplayRange, type ReplaySelection, findRange, isInRange, isOfTurn } from "./replay-turns.ts";

export type { ReplaySelection } from "./replay-turns.ts";

/** What a step did. */
export type ReplayChange =
  | (PartChange & { messageId: number })
  | { kind: "message"; messageId: number; role: Role; parts: readonly StoredPart[] }
  | {
      kind: "turn-started";
      messageId: number;
      turnId: string;
      turn: "new" | "regenerate";
      model: string | null;
    }
  | {
      kind: "turn-ended";
      messageId: number;
      outcome: string;
      finishReason: string | null;
      usage: Usage | null;
      error: TurnError | null;
      /** It was ended by a repair, not by its writer: no part of the turn's time. */
      isRepair: boolean;
    }
  /** Which of its variants a message shows; a regenerate has put the answer before aside. */
  | { kind: "branch"; messageId: number; active: number; variants: number }
  | { kind: "replaced"; reason: string; messages: number }
  | { kind: "session"; title?: string | null; metadata?: Record<string, unknown> | null }
  | { kind: "forked"; from: string; total: number }
  | { kind: "deleted" }
  /** Of a type that this version does not know. */
  | { kind: "unknown" };

/** One delta, or one event that is none. */
export interface ReplayStep {
  /** The POINT after it: `show --at` and `fork --at` take it. */
  point: string;
  revision: number;
  type: string;
  cause: string | null;
  /** Epoch ms by the writer's clock. */
  time: number;
  /** Since the step before, ms; 0 for the first, and where a clock went back. */
  waitMs: number;
  changes: ReplayChange[];
}

/** A session's changes, step by step. */
export interface Replay {
  sessionId: string;
  /** Which of how many turns it is, counted from 1; null where it is a range of the session. */
  turn: number | null;
  turns: number;
  steps: ReplayStep[];
}

/**
 * What happened in a turn (the newest, unless the selection says otherwise) or between two points, delta by delta with
 * recorded times. Folds the session from its start; memory grows with what is selected.
 * @throws {NotFoundError} `turn-not-found`, `point-not-found`
 * @throws {DamageError} as the codec and the fold do
 */
export async function readReplay(
  log: EventLog,
  sessionId: string,
  selection: ReplaySelection = {},
): Promise<Replay> {
  const stream = conversationStream(sessionId);
  const range = await findRange(log.readStream(stream), selection);
  const reader = new StepReader(range);
  for await (const event of log.readStream(stream)) {
    // What follows is not played, and may be of a version that cannot be read.
    if (event.revision > Math.min(range.to.revision, range.turn?.last ?? Infinity)) break;
    reader.take(event);
  }
  return { sessionId, turn: range.turnNumber ?? null, turns: range.turns, steps: reader.steps };
}

class StepReader {
  readonly steps: ReplayStep[] = [];
  readonly #range: ReplayRange;
  readonly #state: Conversation = emptyConversation();
  readonly #parts = new Map<number, GrowingParts>();
  #lastTime: number | undefined;

  constructor(range: ReplayRange) {
    this.#range = range;
  }

  take(stored: RecordedEvent): void {
    const event = eventCodec.decode(stored);
    if (event === undefined) {
      skipEvent(this.#state, stored);
      this.#step(stored, 1, 1, (stored.metadata["time"] as number) ?? 0, [{ kind: "unknown" }]);
      return;
    }
    applyEvent(this.#state, event);
    if (event.type === "BranchesUpdated") this.#takeUpdate(stored, event);
    else this.#step(stored, 1, 1, event.metadata.time, this.#changesOf(event));
  }

  #takeUpdate(stored: RecordedEvent, event: ConversationEvent & { type: "BranchesUpdated" }): void {
    const { messageId, pushContent, content, marks = [], branches, activeBranch } = event.data;
    if (pushContent === true) this.#parts.set(messageId, new GrowingParts(EMPTY_CONTENT));
    const showsVariant = pushContent === true || branches !== undefined || activeBranch !== undefined;
    const deltas = splitByMarks(content ?? [], marks);
    let time = event.metadata.time;
    for (const [index, { afterMs, splices }] of deltas.entries()) {
      time += afterMs;
      const changes: ReplayChange[] = [];
      if (showsVariant && index === 0) changes.push(this.#branchOf(messageId));
      for (const change of this.#partsOf(messageId).apply(splices)) changes.push({ ...change, messageId });
      this.#step(stored, index + 1, deltas.length, time, changes);
    }
  }

  #branchOf(messageId: number): ReplayChange {
    const message = this.#state.messages.get(messageId);
    const variants = parseBranches(message?.branchesJson ?? "").length + 1;
    return { kind: "branch", messageId, active: message?.activeBranch ?? 0, variants };
  }

  #partsOf(messageId: number): GrowingParts {
    let parts = this.#parts.get(messageId);
    if (parts === undefined) this.#parts.set(messageId, (parts = new GrowingParts("")));
    return parts;
  }

  #changesOf(event: Exclude<ConversationEvent, { type: "BranchesUpdated" }>): ReplayChange[] {
    switch (event.type) {
      case "MessageSaved":
        return [this.#added(event.data)];
      case "AssistantStubAppended":
        return [this.#added({ ...event.data, role: "assistant", format: "parts" })];
      case "TurnStarted": {
        const { messageId, turnId, kind, model = null } = event.data;
        return [{ kind: "turn-started", messageId, turnId, turn: kind, model }];
      }
      case "TurnEnded":
        return [turnEnded(event.data, event.metadata.cause === "repair")];
      case "MessagesReplaced": {
        const { reason, messages } = event.data;
        const added = messages.filter((entry): entry is NewMessage => !("keep" in entry));
        const replaced: ReplayChange = { kind: "replaced", reason, messages: messages.length };
        return [replaced, ...added.map((message) => this.#added(message))];
      }
      case "SessionUpdated":
        return [{ kind: "session", ...event.data } as ReplayChange];
      case "SessionForked":
        return [{ kind: "forked", from: event.data.origin.sessionId, total: event.data.total }];
      case "SessionDeleted":
        this.#parts.clear();
        return [{ kind: "deleted" }];
      default:
        return [{ kind: "unknown" }];
    }
  }

  #added({ messageId, role, format, content }: Omit<NewMessage, "externalId" | "metadata">): ReplayChange {
    const parts = new GrowingParts(content, format);
    this.#parts.set(messageId, parts);
    return { kind: "message", messageId, role, parts: [...parts.parts] };
  }

  #step(event: RecordedEvent, mark: number, marks: number, time: number, changes: ReplayChange[]): void {
    const { turn } = this.#range;
    const isLast = mark === marks;
    if (turn !== undefined && !isOfTurn(turn, event)) return;
    if (!isInRange(this.#range, event.revision, isLast ? Infinity : mark)) return;
    const cause = event.metadata["cause"];
    this.steps.push({
      point: isLast ? String(event.revision) : `${event.revision}+${mark}`,
      revision: event.revision,
      type: event.type,
      cause: typeof cause === "string" ? cause : null,
      time,
      waitMs: this.#lastTime === undefined ? 0 : Math.max(0, time - this.#lastTime),
      changes,
    });
    this.#lastTime = time;
  }
}

function turnEnded(data: EventData["TurnEnded"], isRepair: boolean): ReplayChange {
  const { messageId, outcome, finishReason = null, usage = null, error = null } = data;
  return { kind: "turn-ended", messageId, outcome, finishReason, usage, error, isRepair };
}
