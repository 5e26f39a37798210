import { conversationStream } from "../events/conversation-event.ts";
import type { RecordedEvent } from "../log/event-log.ts";
import type { ReadProgress } from "../projections/session-index.ts";
import type { ConversationStore } from "../store/conversation-store.ts";
import type { ModelMessage } from "../store/model-message-types.ts";
import { type AutopsyTool, type TurnPhase, describeTools, phaseOf, textOf } from "./turn-phase.ts";
import { type TurnTimeline, traceTurns } from "./turn-timeline.ts";
import { type Damage, type UnendedTurn, type UnendedTurns, findUnendedTurns } from "./unended-turns.ts";
import { type WriterReport, reportWriter } from "./writer-report.ts";

/**
 * `crashed`: it did not end and its writer is dead. `running`: its writer lives. `unknown`: its writer is neither
 * known to be dead nor known to live.
 */
export type TurnVerdict = "crashed" | "running" | "unknown";

/** A turn that began and did not end. null is what the log does not say. */
export interface AutopsyTurn {
  sessionId: string;
  messageId: number;
  turnId: string;
  kind: "new" | "regenerate";
  verdict: TurnVerdict;
  /** Another turn has begun since: nobody will go on with this one. */
  superseded: boolean;
  phase: TurnPhase;
  model: string | null;
  writer: WriterReport;
  startedAt: Date;
  lastEvent: Pick<RecordedEvent, "position" | "revision" | "type"> & { cause: string | null };
  /** When the last event was over: the moment of its last delta. */
  lastEventAt: Date;
  /** From then until the writer's last sign of life; until the autopsy where the writer is not dead. */
  silentMs: number;
  events: number;
  deltas: number;
  text: string;
  reasoning: string;
  /** All of its calls, in order. */
  tools: AutopsyTool[];
  /** Of a regenerate: index of the branch that holds the newest complete answer. */
  safeBranch: number | null;
  /** What the model was asked, in the AI SDK's shape. */
  prompt: ModelMessage[];
  /** The turn's events of the second that ends with its last. */
  lastSecond: RecordedEvent[];
}

/** What was found. */
export interface AutopsyReport {
  /** Crashed ones first, then unknown ones; among them the newest first. */
  turns: AutopsyTurn[];
  /** Of all that were found, also where `limit` leaves some out. */
  counts: Record<TurnVerdict, number>;
  damage: Damage[];
}

/** Where to look. */
export interface AutopsyOptions {
  /** Only this session; default all. */
  sessionId?: string | undefined;
  /** Only turns whose last event is not older, epoch ms. */
  since?: number | undefined;
  /** How many turns are told. Default all. */
  limit?: number | undefined;
  /** Epoch ms of the look. Default: now. */
  now?: number | undefined;
  /** Told now and then while the log is read because there are no views to ask. */
  onProgress?: ((progress: ReadProgress) => void) | undefined;
}

const VERDICTS = { dead: "crashed", alive: "running", unknown: "unknown" } as const;
const ORDER: readonly TurnVerdict[] = ["crashed", "unknown", "running"];

/**
 * Finds the turns that began and did not end, and says of each what the log knows: only reading, on a live store
 * too. Costs the events of the sessions that have such turns; finding those costs the whole log where there are no
 * views. Damage is reported, not thrown.
 */
export async function autopsy(
  store: ConversationStore,
  options: AutopsyOptions = {},
): Promise<AutopsyReport> {
  const { since = -Infinity, limit = Infinity, onProgress } = options;
  const found = await findUnendedTurns(store, options.sessionId, onProgress);
  const now = options.now ?? Date.now();
  const sessions = new SessionTimelines(store, found);
  const report: AutopsyReport = {
    turns: [],
    counts: { crashed: 0, running: 0, unknown: 0 },
    damage: found.damage,
  };
  for (const turn of found.turns.toSorted(mostUrgentFirst)) {
    // Only where it matters: to follow a session costs its events.
    const isTold = report.turns.length < limit;
    const mustLook = isTold || turn.startedAt.getTime() < since;
    const timeline = mustLook ? await sessions.of(turn) : undefined;
    if (mustLook && timeline === undefined) continue; // It has ended since, or cannot be read.
    if (timeline !== undefined && timeline.lastEventAt < since) continue;
    report.counts[VERDICTS[turn.writer.verdict]]++;
    if (isTold && timeline !== undefined) report.turns.push(describe(turn, timeline, now));
  }
  return report;
}

function mostUrgentFirst(a: UnendedTurn, b: UnendedTurn): number {
  const rank = ({ writer }: UnendedTurn): number => ORDER.indexOf(VERDICTS[writer.verdict]);
  return rank(a) - rank(b) || b.startedAt.getTime() - a.startedAt.getTime();
}

function describe(turn: UnendedTurn, timeline: TurnTimeline, now: number): AutopsyTurn {
  const { lastEvent, lastEventAt, parts } = timeline;
  const writer = reportWriter(turn.writer);
  // A dead writer's clock stopped with its last sign of life; anybody else's goes on.
  const endAt = writer.verdict === "dead" ? Math.max(lastEventAt, turn.writer.lastSeen ?? 0) : now;
  const cause = lastEvent.metadata["cause"];
  const { position, revision, type } = lastEvent;
  return {
    sessionId: turn.sessionId,
    messageId: turn.messageId,
    turnId: turn.turnId,
    kind: turn.kind,
    verdict: VERDICTS[writer.verdict],
    superseded: turn.isSuperseded,
    phase: phaseOf(parts),
    model: turn.model ?? null,
    writer,
    startedAt: turn.startedAt,
    lastEvent: { position, revision, type, cause: typeof cause === "string" ? cause : null },
    lastEventAt: new Date(lastEventAt),
    silentMs: Math.max(0, endAt - lastEventAt),
    events: timeline.events,
    deltas: timeline.deltas,
    text: textOf(parts, "text"),
    reasoning: textOf(parts, "reasoning"),
    tools: describeTools(parts, endAt),
    safeBranch: turn.kind === "regenerate" ? (timeline.safeBranch ?? null) : null,
    prompt: timeline.prompt,
    lastSecond: timeline.lastSecond,
  };
}

/** Follows each session once, however many unended turns it has. */
class SessionTimelines {
  readonly #store: ConversationStore;
  readonly #turnIds = new Map<string, Set<string>>();
  readonly #timelines = new Map<string, Map<string, TurnTimeline>>();
  readonly #damage: Damage[];

  /** @param found its list of damage grows by what is met on the way */
  constructor(store: ConversationStore, { turns, damage }: UnendedTurns) {
    this.#store = store;
    this.#damage = damage;
    for (const { sessionId, turnId } of turns) {
      const ids = this.#turnIds.get(sessionId) ?? new Set<string>();
      this.#turnIds.set(sessionId, ids.add(turnId));
    }
  }

  async of({ sessionId, turnId }: UnendedTurn): Promise<TurnTimeline | undefined> {
    let timelines = this.#timelines.get(sessionId);
    if (timelines === undefined) {
      timelines = await this.#trace(sessionId);
      this.#timelines.set(sessionId, timelines);
    }
    const timeline = timelines.get(turnId);
    return timeline?.lastEvent.type === "TurnEnded" ? undefined : timeline;
  }

  async #trace(sessionId: string): Promise<Map<string, TurnTimeline>> {
    const readEvents = (): AsyncIterable<RecordedEvent> =>
      this.#store.log.readStream(conversationStream(sessionId));
    const { turns, damage } = await traceTurns(readEvents, this.#turnIds.get(sessionId) ?? new Set());
    const isKnown = this.#damage.some((each) => each.sessionId === sessionId);
    if (damage !== undefined && !isKnown) this.#damage.push({ sessionId, message: damage.message });
    return turns;
  }
}
