import { InvalidInputError, NotFoundError } from "../errors.ts";
import type { ConversationEvent, Mark, Splice } from "../events/conversation-event.ts";
import { type StoredEvent, eventCodec } from "../events/event-codec.ts";
import { type Conversation, applyEvent, emptyConversation, skipEvent } from "./conversation.ts";

/**
 * A point in a session's history: after a revision, after the first `marks` deltas of a revision, or as it was at
 * a time.
 */
export type Point =
  | { readonly kind: "revision"; readonly revision: number; readonly marks?: number }
  /** Epoch ms by the writers' clocks. */
  | { readonly kind: "time"; readonly time: number };

const REVISION = /^(\d+)(?:\+(\d+))?$/;
const AGO = /^(\d+(?:\.\d+)?)([smhd])-ago$/;
const TIME =
  /^(\d{4})-(\d{2})-(\d{2})(?:[T ](\d{2}):(\d{2})(?::(\d{2})(?:\.(\d{1,9}))?)?(Z|[+-]\d{2}:\d{2})?)?$/i;

const UNIT_MS = { s: 1000, m: 60_000, h: 3_600_000, d: 86_400_000 } as const;

/**
 * Reads a point as people write it: `120` is after revision 120, `120+7` after its first seven marks, `120+0`
 * before it; an ISO 8601 time (local where it names no offset) or `5m-ago` (s, m, h, d) is after the last event
 * whose time, and all times before it, are not later.
 * @param now epoch ms that `-ago` counts from
 * @throws {InvalidInputError} `invalid-point`
 */
export function parsePoint(text: string, now: number): Point {
  const revision = REVISION.exec(text);
  if (revision !== null) {
    const point = { kind: "revision" as const, revision: Number(revision[1]) };
    const marks = revision[2] === undefined ? undefined : Number(revision[2]);
    if (!Number.isSafeInteger(point.revision) || !Number.isSafeInteger(marks ?? 0)) throw invalidPoint(text);
    return marks === undefined ? point : { ...point, marks };
  }
  const ago = AGO.exec(text);
  if (ago !== null) {
    const unit = ago[2] as keyof typeof UNIT_MS;
    return { kind: "time", time: now - Number(ago[1]) * UNIT_MS[unit] };
  }
  const time = parseTime(text);
  if (time === undefined) throw invalidPoint(text);
  return { kind: "time", time };
}

/** A point in any of the forms that the API takes. @throws {InvalidInputError} `invalid-point` */
export function toPoint(at: number | string | Date | Point): Point {
  if (typeof at === "string") return parsePoint(at, Date.now());
  if (at instanceof Date) return { kind: "time", time: at.getTime() };
  return typeof at === "number" ? parsePoint(String(at), Date.now()) : at;
}

/** Date.parse rolls 31 February over into March and reads a bare date as UTC: neither is what the writer meant. */
function parseTime(text: string): number | undefined {
  const match = TIME.exec(text);
  if (match === null) return undefined;
  const [, year, month, day, hour = "0", minute = "0", second = "0", fraction = "0", offset] = match;
  const date = new Date(0);
  date.setUTCFullYear(Number(year), Number(month) - 1, Number(day));
  const isDay = date.getUTCMonth() === Number(month) - 1 && date.getUTCDate() === Number(day);
  if (!isDay || Number(hour) > 23 || Number(minute) > 59 || Number(second) > 59) return undefined;
  const ms = Math.floor(Number(`0.${fraction}`) * 1000);
  if (offset === undefined) {
    date.setFullYear(Number(year), Number(month) - 1, Number(day));
    return date.setHours(Number(hour), Number(minute), Number(second), ms);
  }
  const utc = date.setUTCHours(Number(hour), Number(minute), Number(second), ms);
  return utc - offsetMs(offset);
}

function offsetMs(offset: string): number {
  if (offset.toUpperCase() === "Z") return 0;
  const minutes = Number(offset.slice(1, 3)) * 60 + Number(offset.slice(4, 6));
  return (offset.startsWith("-") ? -minutes : minutes) * UNIT_MS.m;
}

function invalidPoint(text: string): InvalidInputError {
  return new InvalidInputError(
    "invalid-point",
    `${JSON.stringify(text)} is no point in a session: write a revision (120), a revision and marks (120+7), an ISO time (2026-11-24T02:13:00Z) or an age (5m-ago; s, m, h, d).`,
  );
}

/**
 * One session's events, from its first, folded up to a point; without a point, all of them. A time before the
 * first event gives an empty conversation. After part of an event `revision` is that event's.
 * @throws {NotFoundError} `point-not-found` where the session has no such revision, or that revision fewer marks
 * @throws {DamageError} as the codec and the fold do
 */
export async function foldTo(events: AsyncIterable<StoredEvent>, point?: Point): Promise<Conversation> {
  const state = emptyConversation();
  let oldest: number | undefined;
  for await (const stored of events) {
    oldest ??= stored.revision;
    const step = point === undefined ? "whole" : stepAt(stored, point, oldest);
    if (step === "stop") return state;
    const event = eventCodec.decode(stored);
    if (step === "whole") apply(state, stored, event);
    else if (step > 0) apply(state, stored, event && firstMarksOf(event, step));
    if (isReached(stored, point)) return state;
  }
  if (point?.kind === "revision") throw pointNotFound(point.revision, state.revision);
  return state;
}

/** How much of an event lies before the point. */
function stepAt(event: StoredEvent, point: Point, oldest: number): "whole" | "stop" | number {
  if (point.kind === "time") {
    // It was written when the copies behind it had long been: their times are the session's history.
    if (event.type === "SessionForked") return "whole";
    const { time } = event.metadata as { time: number };
    return time > point.time ? "stop" : "whole";
  }
  if (event.revision < point.revision) return "whole";
  if (event.revision > point.revision) {
    throw new NotFoundError(
      "point-not-found",
      `Revision ${point.revision} has been removed from the log: the session's oldest event is revision ${oldest}.`,
      { details: { revision: point.revision, oldest } },
    );
  }
  return point.marks ?? "whole";
}

function isReached(event: StoredEvent, point: Point | undefined): boolean {
  return point?.kind === "revision" && event.revision === point.revision;
}

function apply(state: Conversation, stored: StoredEvent, event: ConversationEvent | undefined): void {
  if (event === undefined) skipEvent(state, stored);
  else applyEvent(state, event);
}

/** The event as it was when its first marks had come; an event without marks counts as one. */
function firstMarksOf(event: ConversationEvent, marks: number): ConversationEvent {
  const all = event.type === "BranchesUpdated" ? (event.data.marks ?? []) : [];
  const count = Math.max(1, all.length);
  if (marks > count) {
    throw new NotFoundError(
      "point-not-found",
      `Revision ${event.revision} has ${count} ${count === 1 ? "mark" : "marks"}, not ${marks}.`,
      { details: { revision: event.revision, marks: count } },
    );
  }
  if (marks === count || event.type !== "BranchesUpdated") return event;
  const content = firstSplicesOf(event.data.content ?? [], all, marks);
  // Branches come after the content, and `length` is that of the whole event.
  const { messageId, pushContent } = event.data;
  return { ...event, data: { messageId, content, ...(pushContent === undefined ? {} : { pushContent }) } };
}

/**
 * The splices that the first `count` marks stand for. Each delta was one splice; neighbours that continued each
 * other became one, so a splice covers as many marks as make up the length of its inserted text, and at least one.
 */
export function firstSplicesOf(splices: readonly Splice[], marks: readonly Mark[], count: number): Splice[] {
  const first: Splice[] = [];
  let next = 0;
  for (const [at, del, ins] of splices) {
    if (next >= count) return first;
    let units = marks[next++]?.[1] ?? ins.length;
    while (units < ins.length && next < count) units += marks[next++]?.[1] ?? 0;
    first.push([at, del, ins.slice(0, units)]);
  }
  return first;
}

function pointNotFound(revision: number, newest: number): NotFoundError {
  const end = newest === -1 ? "it has no events" : `its newest is ${newest}`;
  return new NotFoundError("point-not-found", `The session has no revision ${revision}: ${end}.`, {
    details: { revision, newest },
  });
}
