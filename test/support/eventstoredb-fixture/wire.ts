import type * as sharedTypes from "@eventstore/db-client/generated/shared_pb.js";
import shared from "@eventstore/db-client/generated/shared_pb.js";
import status from "@eventstore/db-client/generated/status_pb.js";
import type * as streamsTypes from "@eventstore/db-client/generated/streams_pb.js";
import streams from "@eventstore/db-client/generated/streams_pb.js";
import type * as Grpc from "@grpc/grpc-js";
import { anyPb, grpc } from "./client-dependencies.ts";
import type { AppendOutcome, Expectation, StoredEvent, StoredRecord } from "./stream-database.ts";

/** Between the generated messages and what the database keeps. */
export function readEvent(record: StoredRecord): Uint8Array {
  const known = responses.get(record);
  if (known !== undefined) return known;
  const recorded = new streams.ReadResp.ReadEvent.RecordedEvent();
  recorded.setId(uuid(record.id));
  recorded.setStreamIdentifier(streamIdentifier(record.stream));
  recorded.setStreamRevision(String(record.revision));
  recorded.setCommitPosition(String(record.position));
  recorded.setPreparePosition(String(record.position));
  recorded.getMetadataMap().set("type", record.type);
  recorded.getMetadataMap().set("content-type", record.contentType);
  recorded.getMetadataMap().set("created", record.created);
  recorded.setData(record.data);
  recorded.setCustomMetadata(record.metadata);
  const event = new streams.ReadResp.ReadEvent();
  event.setEvent(recorded);
  event.setCommitPosition(String(record.position));
  const response = new streams.ReadResp();
  response.setEvent(event);
  const bytes = response.serializeBinary();
  responses.set(record, bytes);
  return bytes;
}

/** Records are read again and again, and serialising is most of what a read costs. */
const responses = new WeakMap<StoredRecord, Uint8Array>();

/** A response, or one that is serialised already. */
export type ReadResponse = streamsTypes.ReadResp | Uint8Array;

export function serialiseResponse(response: ReadResponse): Buffer {
  return Buffer.from(response instanceof Uint8Array ? response : response.serializeBinary());
}

export function streamNotFound(stream: string): streamsTypes.ReadResp {
  const notFound = new streams.ReadResp.StreamNotFound();
  notFound.setStreamIdentifier(streamIdentifier(stream));
  const response = new streams.ReadResp();
  response.setStreamNotFound(notFound);
  return response;
}

export function confirmation(id: string): streamsTypes.ReadResp {
  const confirmed = new streams.ReadResp.SubscriptionConfirmation();
  confirmed.setSubscriptionId(id);
  const response = new streams.ReadResp();
  response.setConfirmation(confirmed);
  return response;
}

export function caughtUp(): streamsTypes.ReadResp {
  const response = new streams.ReadResp();
  response.setCaughtUp(new streams.ReadResp.CaughtUp());
  return response;
}

export function checkpoint(position: number): streamsTypes.ReadResp {
  const reached = new streams.ReadResp.Checkpoint();
  reached.setCommitPosition(String(position));
  reached.setPreparePosition(String(position));
  const response = new streams.ReadResp();
  response.setCheckpoint(reached);
  return response;
}

export function toStoredEvent(message: streamsTypes.BatchAppendReq.ProposedMessage): StoredEvent {
  return {
    id: message.getId()?.getString() ?? "",
    type: message.getMetadataMap().get("type") ?? "",
    contentType: message.getMetadataMap().get("content-type") ?? "",
    data: message.getData_asU8(),
    metadata: message.getCustomMetadata_asU8(),
  };
}

export function expectationOf(options: streamsTypes.BatchAppendReq.Options): Expectation {
  if (options.hasNoStream()) return "no-stream";
  if (options.hasAny()) return "any";
  if (options.hasStreamExists()) return "stream-exists";
  return Number(options.getStreamPosition());
}

export function nameOf(identifier: sharedTypes.StreamIdentifier | undefined): string {
  return Buffer.from(identifier?.getStreamName_asU8() ?? []).toString("utf8");
}

export function appendAnswer(
  id: sharedTypes.UUID | undefined,
  stream: string,
  outcome: AppendOutcome,
): streamsTypes.BatchAppendResp {
  if (outcome.kind === "deleted") {
    return appendError(id, stream, "event_store.client.StreamDeleted", new shared.StreamDeleted());
  }
  if (outcome.kind === "wrong-version") {
    const wrong = new shared.WrongExpectedVersion();
    if (outcome.current < 0) wrong.setCurrentNoStream(emptyOf());
    else wrong.setCurrentStreamRevision(String(outcome.current));
    return appendError(id, stream, "event_store.client.WrongExpectedVersion", wrong);
  }
  const success = new streams.BatchAppendResp.Success();
  success.setCurrentRevision(String(outcome.revision));
  if (outcome.position === undefined) success.setNoPosition(emptyOf());
  else {
    const position = new shared.AllStreamPosition();
    position.setCommitPosition(String(outcome.position));
    position.setPreparePosition(String(outcome.position));
    success.setPosition(position);
  }
  const response = new streams.BatchAppendResp();
  response.setCorrelationId(id);
  response.setStreamIdentifier(streamIdentifier(stream));
  response.setSuccess(success);
  return response;
}

/** Failures travel as details of a `google.rpc.Status` with an empty message, or as a message with empty details. */
export function appendError(
  id: sharedTypes.UUID | undefined,
  stream: string,
  typeName: string,
  details: { serializeBinary(): Uint8Array },
  message = "",
): streamsTypes.BatchAppendResp {
  const any = new anyPb.Any();
  any.pack(details.serializeBinary(), typeName);
  const error = new status.Status();
  error.setDetails(any);
  error.setMessage(message);
  const response = new streams.BatchAppendResp();
  response.setCorrelationId(id);
  response.setStreamIdentifier(streamIdentifier(stream));
  response.setError(error);
  return response;
}

/** A failure of a whole call: a status, and the server's name of its exception. */
export function callFailure(
  code: Grpc.status,
  details: string,
  properties: Readonly<Record<string, string>> = {},
): Grpc.ServiceError {
  const metadata = new grpc.Metadata();
  for (const [key, value] of Object.entries(properties)) metadata.set(key, value);
  return Object.assign(new Error(details), { name: "ServiceError", code, details, metadata });
}

function emptyOf(): sharedTypes.Empty {
  return new shared.Empty();
}

export function uuid(id: string): sharedTypes.UUID {
  const message = new shared.UUID();
  message.setString(id);
  return message;
}

export function streamIdentifier(stream: string): sharedTypes.StreamIdentifier {
  const identifier = new shared.StreamIdentifier();
  identifier.setStreamName(Buffer.from(stream));
  return identifier;
}
