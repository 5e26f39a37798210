import { InvalidInputError } from "../errors.ts";
import { type ExpectedRevision, checkExpectedRevision } from "./expected-revision.ts";
import type { JsonValue, NewEvent } from "./event-log.ts";

const UUID = /^[0-9a-f]{8}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{12}$/;
const LONGEST_STREAM_NAME = 1024;
/** Bytes of JSON that one UTF-16 unit can take: an escaped control character or lone surrogate. */
const LONGEST_ESCAPE = 6;
/** Bytes of the longest number that JSON.stringify writes, `true`, `false` and `null` included. */
const LONGEST_NUMBER = 25;

/** The part of the append contract that needs no storage, the same for every adapter. */
export function checkAppend(
  stream: string,
  events: readonly NewEvent[],
  expectedRevision: ExpectedRevision,
  maxAppendBytes: number,
): void {
  checkStreamName(stream);
  checkExpectedRevision(expectedRevision);
  if (events.length === 0) {
    throw new InvalidInputError("empty-append", `An append to stream "${stream}" has no events.`);
  }
  checkEventIds(stream, events);
  // Serialising every small delta just to measure it would double its cost.
  if (mostBytes(events) <= maxAppendBytes) return;
  const bytes = appendBytes(events);
  if (bytes > maxAppendBytes) throw eventTooLarge(stream, bytes, maxAppendBytes);
}

function checkEventIds(stream: string, events: readonly NewEvent[]): void {
  const ids = events.length > 1 ? new Set<string>() : undefined;
  for (const event of events) {
    if (typeof event.type !== "string" || event.type === "" || !UUID.test(event.id)) {
      throw new InvalidInputError(
        "invalid-event",
        `An event for stream "${stream}" needs a type and a lower-case UUID as id, not ${JSON.stringify(event.type)} and ${JSON.stringify(event.id)}.`,
      );
    }
    if (!isJson(event.data) || !isObject(event.metadata)) {
      throw new InvalidInputError(
        "invalid-event",
        `The event ${event.id} for stream "${stream}" needs JSON as data and an object as metadata, not ${typeof event.data} and ${typeof event.metadata}.`,
      );
    }
    if (ids === undefined) continue;
    if (ids.has(event.id)) {
      throw new InvalidInputError(
        "repeated-event-id",
        `The event id ${event.id} occurs twice in one append to stream "${stream}".`,
      );
    }
    ids.add(event.id);
  }
}

/** False for what JSON has no word for. What is inside is up to JSON.stringify. */
function isJson(value: unknown): boolean {
  const type = typeof value;
  return type === "string" || type === "number" || type === "boolean" || type === "object";
}

function isObject(value: unknown): boolean {
  return typeof value === "object" && value !== null && !Array.isArray(value);
}

/** Well-formed UTF-16, 1 to 1,024 units, no control characters. */
export function isStreamName(stream: unknown): stream is string {
  return (
    typeof stream === "string" &&
    stream.length > 0 &&
    stream.length <= LONGEST_STREAM_NAME &&
    !/[\u0000-\u001f\u007f-\u009f]/.test(stream) &&
    !hasLoneSurrogate(stream)
  );
}

/** @throws {InvalidInputError} `invalid-stream-name` */
export function checkStreamName(stream: string): void {
  if (isStreamName(stream)) return;
  throw new InvalidInputError(
    "invalid-stream-name",
    `A stream name is 1 to ${LONGEST_STREAM_NAME} characters without control characters or lone surrogates, not ${JSON.stringify(stream)}.`,
  );
}

/** Names are keys in engines that keep UTF-8, where a lone surrogate would turn into another name. */
export function hasLoneSurrogate(text: string): boolean {
  return /[\ud800-\udfff]/u.test(text);
}

/** The size that `limits.maxAppendBytes` bounds: UTF-8 bytes of the JSON of data and metadata of all events. */
export function appendBytes(events: readonly NewEvent[]): number {
  let bytes = 0;
  for (const event of events) {
    bytes +=
      Buffer.byteLength(JSON.stringify(event.data)) + Buffer.byteLength(JSON.stringify(event.metadata));
  }
  return bytes;
}

/** An upper bound of `appendBytes`, found without serialising. */
function mostBytes(events: readonly NewEvent[]): number {
  let bytes = 0;
  for (const event of events) bytes += mostBytesOf(event.data) + mostBytesOf(event.metadata);
  return bytes;
}

function mostBytesOf(value: JsonValue): number {
  if (typeof value === "string") return value.length * LONGEST_ESCAPE + 2;
  if (typeof value !== "object" || value === null) return LONGEST_NUMBER;
  let bytes = 2;
  if (Array.isArray(value)) {
    for (const item of value) bytes += mostBytesOf(item) + 1;
  } else {
    for (const key in value) bytes += key.length * LONGEST_ESCAPE + 4 + mostBytesOf(value[key] ?? null);
  }
  return bytes;
}

function eventTooLarge(stream: string, bytes: number, maxAppendBytes: number): InvalidInputError {
  return new InvalidInputError(
    "event-too-large",
    `An append of ${bytes} bytes to stream "${stream}" is above this log's limit of ${maxAppendBytes} bytes; nothing was written.`,
    { details: { stream, bytes, maxAppendBytes } },
  );
}
