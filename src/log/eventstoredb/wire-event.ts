import { deflateRawSync, inflateRawSync } from "node:zlib";
import type * as streamsPb from "@eventstore/db-client/generated/streams_pb.js";
import sharedMessages from "@eventstore/db-client/generated/shared_pb.js";
import streamsMessages from "@eventstore/db-client/generated/streams_pb.js";
import { DamageError, InvalidInputError } from "../../errors.ts";
import { hasLoneSurrogate } from "../append-checks.ts";
import type { JsonObject, JsonValue, NewEvent, RecordedEvent } from "../event-log.ts";

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
const TICKS_PER_MS = 10_000;

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

export type WireRecord = streamsPb.ReadResp.ReadEvent.RecordedEvent;

export function streamNameOf(record: WireRecord): string {
  const name = record.getStreamIdentifier()?.getStreamName_asU8();
  return name === undefined ? "" : Buffer.from(name).toString("utf8");
}

export function revisionOf(record: WireRecord): number {
  return safeNumber(record.getStreamRevision(), "revision");
}

export function positionOf(record: WireRecord): number {
  return safeNumber(record.getCommitPosition(), "position");
}

/** @throws {DamageError} `unsafe-number`: the server's numbers are 64 bits wide, ours 53. */
export function safeNumber(digits: string, what: string): number {
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
  const properties = record.getMetadataMap();
  const revision = revisionOf(record);
  const place = {
    stream,
    revision,
    position: positionOf(record),
    // The server counts in ticks of 100 ns since 1970; what is lost above 53 bits is below a millisecond.
    recordedAt: Math.floor(Number(properties.get("created") ?? 0) / TICKS_PER_MS),
  };
  const id = record.getId()?.getString() ?? "";
  const type = properties.get("type") ?? "";
  try {
    if (properties.get("content-type") !== JSON_CONTENT)
      return { ...place, ...openEnvelope(record, id, type) };
    const data = JSON.parse(text(record.getData_asU8())) as JsonValue;
    const metadata = record.getCustomMetadata_asU8();
    return {
      ...place,
      id,
      type,
      data,
      metadata: metadata.length === 0 ? {} : (JSON.parse(text(metadata)) as JsonObject),
    };
  } catch (cause) {
    throw new DamageError(
      "foreign-event",
      `Revision ${revision} of stream "${stream}" (${type}) is not an event of this library: ${cause instanceof Error ? cause.message : String(cause)}.`,
      { cause, details: { stream, revision, type } },
    );
  }
}

function openEnvelope(record: WireRecord, id: string, type: string): NewEvent {
  if (!ENVELOPE_MARK.equals(record.getCustomMetadata_asU8())) throw new Error("it is not JSON");
  const json = inflateRawSync(record.getData_asU8(), { maxOutputLength: MOST_INFLATED_BYTES }).toString(
    "utf8",
  );
  const [data, metadata, own] = JSON.parse(json) as Envelope;
  return { id: own?.id ?? id, type: own?.type ?? type, data, metadata };
}

/** The JSON of an event of ours; undefined where it is none. */
export function jsonOf(record: WireRecord): JsonValue | undefined {
  try {
    return JSON.parse(text(record.getData_asU8())) as JsonValue;
  } catch {
    return undefined;
  }
}

function text(bytes: Uint8Array): string {
  return Buffer.from(bytes.buffer, bytes.byteOffset, bytes.byteLength).toString("utf8");
}
