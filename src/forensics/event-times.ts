import type { Mark } from "../events/conversation-event.ts";
import type { RecordedEvent } from "../log/event-log.ts";

/** What stored events say of themselves, read without trusting the vocabulary's schemas: a log may be damaged. */

/** Epoch ms at which the event began, by its writer's clock; NaN where it says none. */
export function timeOfEvent({ metadata }: RecordedEvent): number {
  const time = metadata["time"];
  return typeof time === "number" ? time : Number.NaN;
}

/** The deltas of an event that streams; a delta alone carries no marks and counts as one of its whole length. */
export function marksOf(event: RecordedEvent): readonly Mark[] {
  if (event.type !== "BranchesUpdated") return [];
  const { marks, content } = fieldsOf(event.data);
  if (Array.isArray(marks)) return (marks as unknown[]).filter(isMark);
  if (event.metadata["cause"] !== "delta" || !Array.isArray(content)) return [];
  const texts = (content as unknown[]).map((splice) => (Array.isArray(splice) ? String(splice[2]) : ""));
  return [[0, texts.join("").length]];
}

function isMark(value: unknown): value is Mark {
  return Array.isArray(value) && typeof value[0] === "number" && typeof value[1] === "number";
}

/** Epoch ms of the event's last mark. */
export function endOfEvent(event: RecordedEvent): number {
  let end = timeOfEvent(event);
  for (const [afterMs] of marksOf(event)) end += afterMs;
  return end;
}

/** The turn that an event belongs to. */
export function turnOfEvent(event: RecordedEvent): string | undefined {
  const turnId = event.metadata["turnId"] ?? fieldsOf(event.data)["turnId"];
  return typeof turnId === "string" ? turnId : undefined;
}

export interface StartedTurn {
  turnId: string;
  messageId: number;
  kind: "new" | "regenerate";
  model: string | undefined;
}

/** The turn that an event begins. */
export function startedTurnOf(event: RecordedEvent): StartedTurn | undefined {
  const { turnId, messageId, kind, model } = fieldsOf(event.data);
  if (event.type !== "TurnStarted" || typeof turnId !== "string" || typeof messageId !== "number")
    return undefined;
  return {
    turnId,
    messageId,
    kind: kind === "regenerate" ? "regenerate" : "new",
    model: typeof model === "string" ? model : undefined,
  };
}

/** The turn that an event ends. */
export function endedTurnOf(event: RecordedEvent): string | undefined {
  return event.type === "TurnEnded" ? turnOfEvent(event) : undefined;
}

function fieldsOf(data: unknown): Readonly<Record<string, unknown>> {
  return typeof data === "object" && data !== null ? (data as Record<string, unknown>) : {};
}
