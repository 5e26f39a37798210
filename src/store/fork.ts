import { StateError } from "../errors.ts";
import {
  type ConversationEvent,
  type EventData,
  type EventDraft,
  type EventMetadata,
  conversationStream,
} from "../events/conversation-event.ts";
import { type EncodedEvent, eventCodec, eventDefinitions } from "../events/event-codec.ts";
import type { RecordedEvent } from "../log/event-log.ts";
import type { Point } from "../projections/point.ts";
import { newMessageIds, renewIds } from "./fork-ids.ts";
import { type ForkOrigin, type ForkPlan, eventsToCopy, planFork } from "./fork-plan.ts";
import { nextInBlock } from "./message-ids.ts";
import type { Session, SessionServices } from "./session.ts";

/** Where to fork, and as what. */
export interface ForkOptions {
  /** Where to leave the origin: a POINT in any form that `history` takes. */
  at: number | string | Date | Point;
  /** Name of the new session. Default: the origin's, `-fork-` and the revision (and marks) of the point. */
  as?: string | undefined;
  /** Told after each append. */
  onProgress?: ((progress: ForkProgress) => void) | undefined;
}

/** How far a fork has come. */
export interface ForkProgress {
  /** Events that the fork has behind its SessionForked. */
  copied: number;
  total: number;
}

/** A fork that is whole. */
export interface Fork {
  sessionId: string;
  origin: ForkOrigin;
  /** Events behind its SessionForked, ends of interrupted turns included. */
  events: number;
  messages: number;
  /** What this call did: made it, went on with an unfinished one, or found it whole. */
  outcome: "made" | "resumed" | "found";
}

/** The name of a fork that is given none: the same for the same point, so that a second run finds the first. */
export function forkName({ sessionId, revision, marks }: ForkOrigin): string {
  return marks === undefined ? `${sessionId}-fork-${revision}` : `${sessionId}-fork-${revision + 1}+${marks}`;
}

const BATCH_EVENTS = 512;
const BATCH_BYTES = 524_288;
/** What a copy's id, place and origin add to its data and metadata, at most. */
const ENVELOPE_BYTES = 512;
/** Conflicts in a row: each means that another process copies the same fork. */
const MOST_ATTEMPTS = 1000;

type Services = Pick<SessionServices, "log" | "writer" | "messageIds" | "durability">;

/**
 * Copies a session up to a point into a new one, behind a SessionForked that names the total. Whatever stops it, the
 * next call with the same point and name goes on: what has been copied tells which ids it was given.
 * @param session gives the session of a name
 * @throws {StateError} `session-exists`, `fork-damaged`, `conflict`
 */
export async function forkSession(
  services: Services,
  session: (sessionId: string) => Session,
  sessionId: string,
  { point, as, onProgress }: { point: Point; as: string | undefined; onProgress: ForkOptions["onProgress"] },
): Promise<Fork> {
  const plan = await planFork(services.log, sessionId, point);
  const name = as ?? forkName(plan.origin);
  const copy = new ForkCopy(services, session(name), plan, onProgress);
  const outcome = await copy.run();
  return { sessionId: name, origin: plan.origin, events: plan.total, messages: plan.messages, outcome };
}

/** How far a fork has come: its SessionForked, and the newest id that was given out behind it. */
interface Standing {
  base: number;
  newest: number;
  lastMessageId: number;
}

class ForkCopy {
  readonly #services: Services;
  readonly #session: Session;
  readonly #stream: string;
  readonly #plan: ForkPlan;
  readonly #onProgress: ForkOptions["onProgress"];
  #ids = new Map<number, number>();
  #lastMessageId = 0;
  /** Blocks that are reserved and not in the log yet, and how many of them the batch uses. */
  readonly #spareBlocks: number[] = [];
  #usedBlocks = 0;

  constructor(services: Services, session: Session, plan: ForkPlan, onProgress: ForkOptions["onProgress"]) {
    this.#services = services;
    this.#session = session;
    this.#stream = conversationStream(session.id);
    this.#plan = plan;
    this.#onProgress = onProgress;
  }

  async run(): Promise<Fork["outcome"]> {
    await this.#services.writer.start();
    let isResumed = false;
    for (let attempt = 0; attempt < MOST_ATTEMPTS; attempt++) {
      const standing = await this.#standing();
      if (standing === "whole") return isResumed ? "resumed" : "found";
      if (standing === undefined) {
        if (!(await this.#begin())) continue;
        const begun = await this.#standing();
        if (typeof begun === "object" && (await this.#copy(begun))) return isResumed ? "resumed" : "made";
      } else {
        isResumed = true;
        if (await this.#copy(standing)) return "resumed";
      }
    }
    throw new StateError(
      "conflict",
      `Other writers kept changing session "${this.#session.id}" while it was forked: gave up after ${MOST_ATTEMPTS} attempts. Fork again to go on.`,
    );
  }

  /** Undefined where the fork has not begun. */
  async #standing(): Promise<Standing | "whole" | undefined> {
    const { exists, missing, newest, lastMessageId } = await this.#session.query((state) => ({
      exists: state.exists,
      missing: state.missingForkEvents,
      newest: state.revision,
      lastMessageId: state.lastMessageId,
    }));
    if (!exists) return undefined;
    const forked = await this.#forkedEvent();
    const { origin, total } = this.#plan;
    if (forked === undefined || !isSameOrigin(forked.data.origin, origin) || forked.data.total !== total)
      throw sessionExists(this.#session.id, forked?.data.origin, missing);
    return missing === 0 ? "whole" : { base: forked.revision, newest, lastMessageId };
  }

  /** The SessionForked that the session's present life began with. */
  async #forkedEvent(): Promise<(ConversationEvent & { type: "SessionForked" }) | undefined> {
    const { log } = this.#services;
    for await (const stored of log.readStream(this.#stream, { direction: "backwards" })) {
      if (stored.type === "SessionDeleted") return undefined;
      if (stored.type !== "SessionForked") continue;
      const event = eventCodec.decode(stored);
      if (event?.type === "SessionForked") return event;
    }
    return undefined;
  }

  /** False after a conflict. */
  async #begin(): Promise<boolean> {
    const newest = await this.#session.query((state) => state.revision);
    const { origin, total } = this.#plan;
    const events = this.#services.writer.encode([{ type: "SessionForked", data: { origin, total } }]);
    return (await this.#append(events, newest, false)) !== undefined;
  }

  /** Copies what is missing; false after a conflict. */
  async #copy({ base, newest, lastMessageId }: Standing): Promise<boolean> {
    this.#ids = new Map();
    this.#lastMessageId = lastMessageId;
    const existing = this.#services.log.readStream(this.#stream, { from: base + 1 })[Symbol.asyncIterator]();
    const mostBytes = Math.min(BATCH_BYTES, this.#services.log.limits.maxAppendBytes / 2);
    let revision = base;
    let batch: EncodedEvent[] = [];
    let bytes = 0;
    const write = async (isLast: boolean): Promise<boolean> => {
      if (batch.length === 0) return true;
      const events = batch;
      batch = [];
      bytes = 0;
      const appended = await this.#append(events, revision, isLast);
      if (appended === undefined) return false;
      revision = appended;
      this.#onProgress?.({ copied: revision - base, total: this.#plan.total });
      return true;
    };
    try {
      for await (const source of eventsToCopy(this.#services.log, this.#plan)) {
        if (revision < newest) {
          const copied = await existing.next();
          if (copied.done === true || !this.#learn(source, copied.value)) throw forkDamaged(this.#session.id);
          revision = copied.value.revision;
          continue;
        }
        const size = Buffer.byteLength(JSON.stringify([source.data, source.metadata])) + ENVELOPE_BYTES;
        const isFull = batch.length >= BATCH_EVENTS || bytes + size > mostBytes;
        if (isFull && !(await write(false))) return false;
        batch.push(await this.#renewed(source, base));
        bytes += size;
      }
      // The ends come in one append with the last copies: what else is there is not ours.
      if (revision < newest) throw forkDamaged(this.#session.id);
      batch.push(...this.#services.writer.encode(this.#ends()));
      return await write(true);
    } finally {
      this.#services.writer.takeBack(batch); // Nothing unless it failed: these were not handed to the log.
      await existing.return?.();
    }
  }

  #ends(): EventDraft[] {
    return this.#plan.ends.map((end) => ({
      type: "TurnEnded",
      data: { ...end, messageId: this.#idOf(end.messageId) },
      cause: "repair",
    }));
  }

  /** Which ids a copied event gave its messages; false where it is no copy of this event. */
  #learn(source: ConversationEvent, copied: RecordedEvent): boolean {
    const event = eventCodec.decode(copied);
    if (event?.metadata.origin?.id !== source.id || event.type !== source.type) return false;
    const given = newMessageIds(event.type, event.data);
    for (const [index, id] of newMessageIds(source.type, source.data).entries()) {
      const renewed = given[index];
      if (renewed === undefined) return false;
      this.#ids.set(id, renewed);
    }
    return true;
  }

  async #renewed(source: ConversationEvent, base: number): Promise<EncodedEvent> {
    for (const id of newMessageIds(source.type, source.data)) this.#ids.set(id, await this.#nextId());
    const data = renewIds(
      source.type,
      source.data,
      (id) => this.#idOf(id),
      (revision) => this.#revisionOf(revision, base),
    );
    const { time } = source.metadata;
    const [encoded] = this.#services.writer.encode([{ type: source.type, data, time } as EventDraft]);
    if (encoded === undefined) throw new Error("an event that is encoded must be there");
    const { writer, n } = encoded.metadata as EventMetadata;
    const origin = {
      logId: this.#plan.origin.logId,
      stream: source.stream,
      revision: source.revision,
      id: source.id,
    };
    // What the origin's event says of itself stays, but for who wrote it; it has been brought to the newest version.
    const v = eventDefinitions.get(source.type)?.version ?? source.metadata.v;
    return { ...encoded, metadata: { ...source.metadata, v, writer, n, origin } as never };
  }

  async #nextId(): Promise<number> {
    let next = nextInBlock(this.#lastMessageId);
    if (next === undefined) {
      next =
        this.#spareBlocks[this.#usedBlocks] ??
        (await this.#services.messageIds.reserveBlock(this.#session.id));
      this.#spareBlocks[this.#usedBlocks++] = next;
    }
    this.#lastMessageId = next;
    return next;
  }

  #idOf(messageId: number): number {
    const id = this.#ids.get(messageId);
    if (id === undefined) throw new Error(`message ${messageId} of the origin has no copy`);
    return id;
  }

  /** The fork's revision that stands where the origin's stood: of what came before the first copy, SessionForked. */
  #revisionOf(revision: number, base: number): number {
    const { first, skipped } = this.#plan;
    const copied = revision - first + 1 - skipped.filter((each) => each <= revision).length;
    return base + Math.max(0, copied);
  }

  /** The newest revision, undefined after a conflict. */
  async #append(events: EncodedEvent[], after: number, isLast: boolean): Promise<number | undefined> {
    const { log, writer, durability } = this.#services;
    const expected = after === -1 ? ("no-stream" as const) : after;
    const options = isLast ? { durability, seal: true } : {};
    const result = await writer.appending(events, log.append(this.#stream, events, expected, options));
    const used = this.#usedBlocks;
    this.#usedBlocks = 0;
    if (!result.ok) {
      writer.takeBack(events); // And so are the blocks, for the next attempt.
      return undefined;
    }
    this.#spareBlocks.splice(0, used);
    return result.revision;
  }
}

function isSameOrigin(a: EventData["SessionForked"]["origin"], b: ForkOrigin): boolean {
  return (
    a.logId === b.logId && a.sessionId === b.sessionId && a.revision === b.revision && a.marks === b.marks
  );
}

function sessionExists(
  sessionId: string,
  origin: EventData["SessionForked"]["origin"] | undefined,
  missing: number,
): StateError {
  const what =
    origin === undefined || missing === 0
      ? "exists already"
      : `is an unfinished fork of ${JSON.stringify(origin.sessionId)} at ${pointText(origin)}: fork it there again to finish it, or delete it`;
  return new StateError(
    "session-exists",
    `Session ${JSON.stringify(sessionId)} ${what}. Give the fork another name. Nothing was written.`,
    { details: { sessionId, origin, missing } },
  );
}

/** A fork's point as POINTs are written. */
export function pointText({ revision, marks }: { revision: number; marks?: number | undefined }): string {
  return marks === undefined ? String(revision) : `${revision + 1}+${marks}`;
}

function forkDamaged(sessionId: string): StateError {
  return new StateError(
    "fork-damaged",
    `Session ${JSON.stringify(sessionId)} is an unfinished fork that others have written to: delete it and fork again.`,
    { details: { sessionId } },
  );
}
