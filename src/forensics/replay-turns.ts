import { InvalidInputError, NotFoundError } from "../errors.ts";
import type { RecordedEvent } from "../log/event-log.ts";
import type { Point } from "../projections/point.ts";
import { marksOf, startedTurnOf, timeOfEvent, turnOfEvent } from "./event-times.ts";

/** An answer being produced: a turn, or a bare stub that somebody fills. */
export interface ReplayTurn {
  messageId: number;
  /** Undefined for a bare stub. */
  turnId: string | undefined;
  /** Of its first event: the user's message that it answers where that stands right before it. */
  first: number;
  last: number;
}

/** Which steps to play. */
export interface ReplaySelection {
  /** Counted from 1, or the newest. */
  turn?: number | "last" | undefined;
  /** After this point. */
  from?: Point | undefined;
  /** Up to this point, inclusive. */
  to?: Point | undefined;
}

/** A selection with its points as revisions: what the events say of turns and times is known. */
export interface ReplayRange {
  turn: ReplayTurn | undefined;
  /** Of `turn`, counted from 1. */
  turnNumber: number | undefined;
  turns: number;
  from: Place;
  to: Place;
}

/** After so many marks of a revision; Infinity: after all of it. */
interface Place {
  revision: number;
  marks: number;
}

/**
 * Reads a session's events once, without folding them.
 * @throws {NotFoundError} `turn-not-found`, `point-not-found`
 */
export async function findRange(
  events: AsyncIterable<RecordedEvent>,
  { turn, from, to }: ReplaySelection,
): Promise<ReplayRange> {
  const turns = new TurnFinder();
  const points = [new PlaceFinder(from), new PlaceFinder(to)] as const;
  let newest = -1;
  for await (const event of events) {
    turns.take(event);
    for (const point of points) point.take(event);
    newest = event.revision;
  }
  const isWhole = turn === undefined && (from !== undefined || to !== undefined || turns.found.length === 0);
  const number = turn === undefined || turn === "last" ? turns.found.length : turn;
  const chosen = isWhole ? undefined : turns.found[number - 1];
  if (!isWhole && chosen === undefined) throw turnNotFound(turn, turns.found.length);
  return {
    turn: chosen,
    turnNumber: chosen && number,
    turns: turns.found.length,
    from: points[0].found(newest) ?? { revision: -1, marks: Infinity },
    to: points[1].found(newest) ?? { revision: newest, marks: Infinity },
  };
}

/** True where a step after so many marks of a revision is in the range. */
export function isInRange({ from, to }: ReplayRange, revision: number, marks: number): boolean {
  return isBehind({ revision, marks }, from) && !isBehind({ revision, marks }, to);
}

function isBehind(a: Place, b: Place): boolean {
  return a.revision > b.revision || (a.revision === b.revision && a.marks > b.marks);
}

/** True where an event is part of the turn. */
export function isOfTurn(turn: ReplayTurn, event: RecordedEvent): boolean {
  const { revision, type, data } = event;
  if (revision < turn.first || revision > turn.last) return false;
  const turnId = turnOfEvent(event);
  if (turn.turnId !== undefined && turnId === turn.turnId) return true;
  const { messageId } = data as { messageId?: unknown };
  if (type === "AssistantStubAppended" && messageId === turn.messageId) return true;
  if (turnId !== undefined) return false;
  return turn.turnId === undefined
    ? messageId === turn.messageId || revision === turn.first
    : revision === turn.first;
}

class TurnFinder {
  readonly found: ReplayTurn[] = [];
  #userMessage: number | undefined;

  take(event: RecordedEvent): void {
    const { type, revision, data } = event;
    const started = startedTurnOf(event);
    const { messageId, role } = data as { messageId?: unknown; role?: unknown };
    if (started !== undefined) this.#start(started, revision);
    else if (type === "AssistantStubAppended" && typeof messageId === "number")
      this.found.push({ messageId, turnId: undefined, first: this.#userMessage ?? revision, last: revision });
    else if (type === "BranchesUpdated" || type === "TurnEnded") this.#goOn(event, messageId);
    this.#userMessage = type === "MessageSaved" && role === "user" ? revision : undefined;
  }

  #start({ turnId, messageId }: { turnId: string; messageId: number }, revision: number): void {
    const newest = this.found.at(-1);
    // The stub that a new turn begins with.
    if (newest?.turnId === undefined && newest?.messageId === messageId && newest.last === revision - 1) {
      newest.turnId = turnId;
      newest.last = revision;
    } else this.found.push({ messageId, turnId, first: revision, last: revision });
  }

  #goOn(event: RecordedEvent, messageId: unknown): void {
    const turnId = turnOfEvent(event);
    const turn = this.found.findLast((each) =>
      turnId === undefined
        ? each.turnId === undefined && each.messageId === messageId
        : each.turnId === turnId,
    );
    if (turn !== undefined) turn.last = event.revision;
  }
}

/** Where a point lies, in revisions and marks. */
class PlaceFinder {
  readonly #point: Point | undefined;
  #marks: number | undefined;
  /** The newest revision that is not later than a point in time. */
  #before = -1;
  #isPast = false;

  constructor(point: Point | undefined) {
    this.#point = point;
  }

  take(event: RecordedEvent): void {
    const point = this.#point;
    if (point?.kind === "revision" && event.revision === point.revision)
      this.#marks = Math.max(1, marksOf(event).length);
    if (point?.kind !== "time" || this.#isPast) return;
    this.#isPast = event.type !== "SessionForked" && timeOfEvent(event) > point.time;
    if (!this.#isPast) this.#before = event.revision;
  }

  found(newest: number): Place | undefined {
    const point = this.#point;
    if (point === undefined) return undefined;
    if (point.kind === "time") return { revision: this.#before, marks: Infinity };
    const { revision, marks = Infinity } = point;
    if (this.#marks === undefined) {
      throw new NotFoundError(
        "point-not-found",
        `The session has no revision ${revision}: its newest is ${newest}.`,
        { details: { revision, newest } },
      );
    }
    if (marks !== Infinity && marks > this.#marks) {
      throw new NotFoundError(
        "point-not-found",
        `Revision ${revision} has ${this.#marks} marks, not ${marks}.`,
        {
          details: { revision, marks: this.#marks },
        },
      );
    }
    return { revision, marks: marks === this.#marks ? Infinity : marks };
  }
}

function turnNotFound(turn: number | "last" | undefined, turns: number): Error {
  if (turn === 0) return new InvalidInputError("invalid-usage", "Turns are counted from 1.");
  return new NotFoundError(
    "turn-not-found",
    `The session has no turn ${String(turn ?? "")}: it has ${turns === 0 ? "none" : turns}.`,
    { details: { turn, turns } },
  );
}
