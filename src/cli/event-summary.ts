import type { Splice } from "../events/conversation-event.ts";
import type { JsonValue, RecordedEvent } from "../log/event-log.ts";
import { count, plural } from "./figures.ts";
import { terminalLine } from "./terminal-text.ts";

/** Events as stored are shown whatever is in them: nothing here trusts the vocabulary's schemas. */
type Fields = Readonly<Record<string, unknown>>;

const MOST_TEXT = 48;

const SUMMARIES: Readonly<Record<string, (data: Fields) => string[]>> = {
  MessageSaved: (data) => [message(data), String(data["role"]), quote(data["content"])],
  AssistantStubAppended: (data) => [message(data)],
  TurnStarted: (data) => [message(data), String(data["kind"]), optional(data["model"])],
  BranchesUpdated: describeUpdate,
  TurnEnded: (data) => [
    message(data),
    String(data["outcome"]),
    optional(data["finishReason"]),
    quote(fieldsOf(data["error"])["message"]),
  ],
  MessagesReplaced: (data) => [
    String(data["reason"]),
    plural(listOf(data["messages"]).length, "entry").replace("entrys", "entries"),
  ],
  SessionUpdated: (data) => [quote(data["title"]), "metadata" in data ? "metadata" : ""],
  SessionForked: (data) => [`from ${quote(fieldsOf(data["origin"])["sessionId"])}`],
  SessionDeleted: () => [],
};

/** What an event says, in a few words that are safe for a terminal. */
export function summarizeEvent({ type, data }: RecordedEvent): string {
  const summarize = Object.hasOwn(SUMMARIES, type) ? SUMMARIES[type] : undefined;
  const words = summarize?.(fieldsOf(data)) ?? [shorten(JSON.stringify(data))];
  return terminalLine(words.filter((word) => word !== "").join(" "));
}

function describeUpdate(data: Fields): string[] {
  const words = [message(data)];
  if (data["pushContent"] === true) words.push("content becomes a branch");
  if (Array.isArray(data["content"])) words.push(...describeSplices(listOf(data["content"]), data["marks"]));
  if (Array.isArray(data["branches"])) words.push("branches");
  if (data["activeBranch"] !== undefined) words.push(`shows variant ${Number(data["activeBranch"]) + 1}`);
  return words;
}

function describeSplices(splices: readonly unknown[], marks: unknown): string[] {
  let inserted = 0;
  let deleted = 0;
  let text = "";
  for (const splice of splices) {
    const [, del, ins] = (Array.isArray(splice) ? splice : []) as Partial<Splice>;
    if (typeof del === "number") deleted += del;
    if (typeof ins === "string") {
      inserted += ins.length;
      if (text.length < MOST_TEXT) text += ins;
    }
  }
  const deltas = Array.isArray(marks) ? [`in ${plural(marks.length, "delta")}`] : [];
  const removed = deleted > 0 ? [`-${count(deleted)}`] : [];
  return [`+${count(inserted)}`, ...removed, ...deltas, quote(text, inserted > text.length)];
}

function message(data: Fields): string {
  return `#${String(data["messageId"])}`;
}

function optional(value: unknown): string {
  return typeof value === "string" ? value : "";
}

function quote(value: unknown, isCut = false): string {
  if (typeof value !== "string") return "";
  return `“${shorten(value)}${isCut && value.length <= MOST_TEXT ? "…" : ""}”`;
}

function shorten(text: string): string {
  return text.length <= MOST_TEXT ? text : `${text.slice(0, MOST_TEXT - 1)}…`;
}

function fieldsOf(value: JsonValue | unknown): Fields {
  return typeof value === "object" && value !== null ? (value as Fields) : {};
}

function listOf(value: unknown): readonly unknown[] {
  return Array.isArray(value) ? value : [];
}
