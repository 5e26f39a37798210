import { crc32 } from "node:zlib";
import { DamageError } from "../errors.ts";
import { checkStreamName } from "../log/append-checks.ts";
import type { JsonObject, JsonValue, RecordedEvent } from "../log/event-log.ts";

/**
 * An export: lines of JSON in UTF-8, a header, one event a line, an end (docs/export-format.md). A changed meaning
 * raises the version; fields that a version does not know are ignored.
 */

export const EXPORT_FORMAT = "turnlog-export";
export const EXPORT_VERSION = 1;

export interface ExportHeader {
  readonly format: typeof EXPORT_FORMAT;
  readonly version: number;
  readonly logId: string;
  /** The log's newest position when the export began: what came later is not in it. */
  readonly head: number;
  /** null: all. */
  readonly sessions: readonly string[] | null;
  /** Epoch ms; null: whatever their age. */
  readonly since: number | null;
}

export interface ExportEnd {
  readonly end: true;
  readonly events: number;
}

const ID = /^[0-9a-f]{8}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{12}$/;

/** The JSON of an event's line, without its line end. */
export function eventLineOf(event: RecordedEvent): string {
  const { stream, revision, position, recordedAt, id, type, data, metadata } = event;
  return JSON.stringify({
    stream,
    revision,
    position,
    recordedAt,
    id,
    type,
    data,
    metadata,
    crc: checksumOf(event),
  });
}

/** Over the values, not the bytes: whoever writes the same JSON in another way has changed nothing. */
function checksumOf({
  stream,
  revision,
  position,
  recordedAt,
  id,
  type,
  data,
  metadata,
}: RecordedEvent): number {
  return crc32(JSON.stringify([stream, revision, position, recordedAt, id, type, data, metadata]));
}

/** A line behind the header. @throws {DamageError} `damaged-export` naming the line */
export function parseExportLine(text: string, line: number): RecordedEvent | ExportEnd {
  const value = objectOf(text, line);
  return value["end"] === true ? endOf(value, line) : eventOf(value, line);
}

function objectOf(text: string, line: number): JsonObject {
  let value: JsonValue;
  try {
    value = JSON.parse(text) as JsonValue;
  } catch (cause) {
    throw damagedExport(line, "it is no JSON", cause);
  }
  if (typeof value === "object" && value !== null && !Array.isArray(value)) return value;
  throw damagedExport(line, "it is no JSON object");
}

/** @throws {DamageError} `damaged-export`, `newer-export` */
export function parseExportHeader(text: string): ExportHeader {
  const { format, version, logId, head, sessions, since } = objectOf(text, 1);
  if (format !== EXPORT_FORMAT || !isCount(version, 1))
    throw damagedExport(1, `it is not the header of an export ({"format":"${EXPORT_FORMAT}",…})`);
  if (version > EXPORT_VERSION) {
    throw new DamageError(
      "newer-export",
      `The export is of version ${version}; this version of turnlog knows up to ${EXPORT_VERSION}. Use a newer turnlog.`,
      { details: { version, known: EXPORT_VERSION } },
    );
  }
  if (typeof logId !== "string" || !isCount(head, -1)) throw damagedExport(1, "its header is incomplete");
  return {
    format: EXPORT_FORMAT,
    version,
    logId,
    head,
    sessions: Array.isArray(sessions) ? sessions.map(String) : null,
    since: typeof since === "number" ? since : null,
  };
}

function endOf({ events }: JsonObject, line: number): ExportEnd {
  if (!isCount(events)) throw damagedExport(line, "the end does not say how many events there are");
  return { end: true, events };
}

function eventOf(value: JsonObject, line: number): RecordedEvent {
  const { stream, revision, position, recordedAt, id, type, data, metadata, crc } = value;
  const isEvent =
    typeof stream === "string" &&
    isCount(revision) &&
    isCount(position) &&
    isCount(recordedAt) &&
    typeof id === "string" &&
    ID.test(id) &&
    typeof type === "string" &&
    type !== "" &&
    data !== undefined &&
    typeof metadata === "object" &&
    metadata !== null &&
    !Array.isArray(metadata);
  if (!isEvent) throw damagedExport(line, "it is no event");
  try {
    checkStreamName(stream);
  } catch (cause) {
    throw damagedExport(line, "its stream's name is none", cause);
  }
  const event: RecordedEvent = { stream, revision, position, recordedAt, id, type, data, metadata };
  const checksum = checksumAt(event, line);
  // Lines that other programs have made or changed need have none.
  if (crc !== undefined && crc !== checksum) throw damagedExport(line, "its checksum is wrong");
  return event;
}

function checksumAt(event: RecordedEvent, line: number): number {
  try {
    return checksumOf(event);
  } catch (cause) {
    // JSON.parse takes any depth, JSON.stringify what the stack holds.
    throw damagedExport(line, "it is nested too deep", cause);
  }
}

function isCount(value: JsonValue | undefined, least = 0): value is number {
  return Number.isSafeInteger(value) && Number(value) >= least;
}

export function damagedExport(line: number, why: string, cause?: unknown): DamageError {
  return new DamageError("damaged-export", `Line ${line} of the export is damaged: ${why}.`, {
    ...(cause === undefined ? {} : { cause }),
    details: { line },
  });
}
