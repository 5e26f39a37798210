import { deflateRawSync, inflateRawSync } from "node:zlib";
import type * as streamsPb from "@eventstore/db-client/generated/streams_pb.js";
import sharedMessages from "@eventstore/db-client/generated/shared_pb.js";
import streamsMessages from "@eventstore/db-client/generated/streams_pb.js";
import { DamageError, InvalidInputError } from "../../errors.ts";
import { hasLoneSurrogate } from "../append-checks.ts";
import type { JsonObject, JsonValue, NewEvent, RecordedEvent } from "../event-log.ts";
import type { WireRecord } from "./read-response.ts";

export type ProposedMessage = streamsPb.BatchAppendReq.ProposedMessage;

const JSON_CONTENT = "application/json";
/** What cannot be stored as it is lies in an envelope: deflated JSON, `[data, metadata, own?]`. */
const ENVELOPE_CONTENT = "application/octet-stream";
const ENVELOPE_MARK = Buffer.from('{"encoding":"turnlog-envelope-1"}');
/** The server refuses the nil UUID. */
const NIL_ID = "00000000-0000-0000-0000-000000000000";
const STAND_IN_ID = "74757266-6c6f-8670-8e69-6c0000000000";
const STAND_IN_TYPE = "TurnlogEnvelope";
/** More than a server can be told to take in one event; a guard against damage. */
const MOST_INFLATED_BYTES = 64 * 1024 * 1024;

type Envelope = [data: JsonValue, metadata: JsonObject, own?: { id?: string; type?: string }];

interface SerialisedEvent {
  readonly id: string;
  readonly type: string;
  readonly isEnvelope: boolean;
  readonly data: Uint8Array;
  readonly metadata: Uint8Array;
}

/**
 * Serialises a batch for the wire. As JSON, so that other tools can read it; in envelopes where the server would
 * refuse that: newer servers count types and metadata into their limit, and no server takes the nil UUID.
 *
 * @throws {InvalidInputError} `event-too-large` where not even envelopes are small enough
 */
export function encodeBatch(
  stream: string,
  events: readonly NewEvent[],
  maxAppendBytes: number,
): ProposedMessage[] {
  const plain = events.map((event) => (needsEnvelope(event) ? enveloped(event) : serialised(event)));
  if (bytesOnServer(plain) <= maxAppendBytes) return plain.map(toMessage);
  const packed = events.map(enveloped);
  const bytes = bytesOnServer(packed);
  if (bytes <= maxAppendBytes) return packed.map(toMessage);
  throw new InvalidInputError(
    "event-too-large",
    `An append of ${events.length} events to stream "${stream}" takes ${bytes} bytes on the server with its types, above its limit of ${maxAppendBytes}; nothing was written.`,
    { details: { stream, bytes, maxAppendBytes } },
  );
}

function needsEnvelope({ id, type }: NewEvent): boolean {
  return id === NIL_ID || hasLoneSurrogate(type);
}

function serialised({ id, type, data, metadata }: NewEvent): SerialisedEvent {
  return {
    id,
    type,
    isEnvelope: false,
    data: Buffer.from(JSON.stringify(data)),
    metadata: Buffer.from(JSON.stringify(metadata)),
  };
}

function enveloped({ id, type, data, metadata }: NewEvent): SerialisedEvent {
  const own = { ...(id === NIL_ID && { id }), ...(hasLoneSurrogate(type) && { type }) };
  const envelope: Envelope = Object.keys(own).length === 0 ? [data, metadata] : [data, metadata, own];
  return {
    id: own.id === undefined ? id : STAND_IN_ID,
    type: own.type === undefined ? type : STAND_IN_TYPE,
    isEnvelope: true,
    data: deflateRawSync(JSON.stringify(envelope)),
    metadata: ENVELOPE_MARK,
  };
}

/** As newer servers count it; older ones count less. */
function bytesOnServer(events: readonly SerialisedEvent[]): number {
  let bytes = 0;
  for (const { data, metadata, type } of events) bytes += data.length + metadata.length + 2 * type.length;
  return bytes;
}

function toMessage({ id, type, isEnvelope, data, metadata }: SerialisedEvent): ProposedMessage {
  const message = new streamsMessages.BatchAppendReq.ProposedMessage();
  message.setId(uuid(id));
  message.getMetadataMap().set("type", type);
  message.getMetadataMap().set("content-type", isEnvelope ? ENVELOPE_CONTENT : JSON_CONTENT);
  message.setData(data);
  message.setCustomMetadata(metadata);
  return message;
}

/** A JSON event that is ours, not a caller's: the log's own, or a stream's metadata. */
export function jsonMessage(id: string, type: string, data: JsonValue): ProposedMessage {
  return toMessage({ ...serialised({ id, type, data, metadata: {} }), isEnvelope: false });
}

export function uuid(id: string): InstanceType<typeof sharedMessages.UUID> {
  const message = new sharedMessages.UUID();
  message.setString(id);
  return message;
}

export function revisionOf(record: WireRecord): number {
  return safeNumber(record.revision, "revision");
}

export function positionOf(record: WireRecord): number {
  return safeNumber(record.position, "position");
}

/** @throws {DamageError} `unsafe-number`: the server's numbers are 64 bits wide, ours 53. */
export function safeNumber(digits: string | number, what: string): number {
  const value = Number(digits);
  if (Number.isSafeInteger(value)) return value;
  throw new DamageError(
    "unsafe-number",
    `The server's ${what} ${digits} is above what JavaScript counts exactly.`,
  );
}

/**
 * @param stream the stream's name in the log, without the log's prefix
 * @throws {DamageError} `foreign-event` for what this library cannot have written
 */
export function decodeEvent(record: WireRecord, stream: string): RecordedEvent {
  const { id, type, recordedAt } = record;
  const revision = revisionOf(record);
  const position = positionOf(record);
  try {
    if (record.contentType !== JSON_CONTENT)
      return { stream, revision, position, recordedAt, ...openEnvelope(record) };
    const data = JSON.parse(record.data.toString("utf8")) as JsonValue;
    const { metadata: bytes } = record;
    const metadata = bytes.length === 0 ? {} : (JSON.parse(bytes.toString("utf8")) as JsonObject);
    return { stream, revision, position, recordedAt, id, type, data, metadata };
  } catch (cause) {
    throw new DamageError(
      "foreign-event",
      `Revision ${revision} of stream "${stream}" (${type}) is not an event of this library: ${cause instanceof Error ? cause.message : String(cause)}.`,
      { cause, details: { stream, revision, type } },
    );
  }
}

function openEnvelope({ id, type, data: bytes, metadata: mark }: WireRecord): NewEvent {
  if (!ENVELOPE_MARK.equals(mark)) throw new Error("it is not JSON");
  const json = inflateRawSync(bytes, { maxOutputLength: MOST_INFLATED_BYTES }).toString("utf8");
  const [data, metadata, own] = JSON.parse(json) as Envelope;
  return { id: own?.id ?? id, type: own?.type ?? type, data, metadata };
}

/** The JSON of an event of ours; undefined where it is none. */
export function jsonOf(record: WireRecord): JsonValue | undefined {
  try {
    return JSON.parse(record.data.toString("utf8")) as JsonValue;
  } catch {
    return undefined;
  }
}
