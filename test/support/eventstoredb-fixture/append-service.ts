import shared from "@eventstore/db-client/generated/shared_pb.js";
import type * as streamsTypes from "@eventstore/db-client/generated/streams_pb.js";
import type * as Grpc from "@grpc/grpc-js";
import type { Fault } from "./faults.ts";
import type { FixtureNode } from "./fixture-node.ts";
import type { StoredEvent } from "./stream-database.ts";
import { appendAnswer, appendError, expectationOf, nameOf, toStoredEvent } from "./wire.ts";

export type AppendCall = Grpc.ServerDuplexStream<streamsTypes.BatchAppendReq, streamsTypes.BatchAppendResp>;

interface Batch {
  readonly options: streamsTypes.BatchAppendReq.Options;
  readonly events: StoredEvent[];
}

const NIL_ID = "00000000-0000-0000-0000-000000000000";

/**
 * The BatchAppend method: many appends on one call, answered one by one. A polite end by the client is not
 * answered: the server goes on waiting, as the real one does.
 */
export function serveAppends(node: FixtureNode, call: AppendCall): void {
  const batches = new Map<string, Batch>();
  call.on("data", (request: streamsTypes.BatchAppendReq) => {
    const id = request.getCorrelationId()?.getString() ?? "";
    const options = request.getOptions();
    if (options !== undefined) batches.set(id, { options, events: [] });
    const batch = batches.get(id);
    if (batch === undefined) return;
    batch.events.push(...request.getProposedMessagesList().map(toStoredEvent));
    if (!request.getIsFinal()) return;
    batches.delete(id);
    serveBatch(node, call, request, batch);
  });
  void node.stopped.then(() => call.end());
}

function serveBatch(
  node: FixtureNode,
  call: AppendCall,
  request: streamsTypes.BatchAppendReq,
  batch: Batch,
): void {
  const id = request.getCorrelationId();
  const stream = nameOf(batch.options.getStreamIdentifier());
  const send = (response: streamsTypes.BatchAppendResp, fault?: Fault): void => {
    if (fault?.kind === "delay") setTimeout(() => call.write(response), fault.ms);
    else call.write(response);
  };
  const refuse = (typeName: string, details: { serializeBinary(): Uint8Array }, message = ""): void =>
    send(appendError(id, stream, typeName, details, message));
  const fault = node.faults.take("append");
  switch (fault?.kind) {
    case "hang":
      return;
    case "reset":
      return node.proxy.reset();
    case "fail":
      return void call.emit("error", fault.failure);
    case "says":
      return refuse("event_store.client.Empty", new shared.Empty(), fault.message);
    default:
  }
  if (!node.isReady) return refuse("event_store.client.Empty", new shared.Empty(), "Server Is Not Ready");
  const notLeader = node.notLeader(call.metadata);
  if (notLeader !== undefined) return void call.emit("error", notLeader);
  const unknown = node.unknownUser(call.metadata);
  if (unknown !== undefined) return void call.emit("error", unknown);
  const denied = node.accessFailure(call.metadata, false);
  if (denied !== undefined) return refuse("event_store.client.AccessDenied", new shared.AccessDenied());
  const bytes = batch.events.reduce((sum, event) => sum + node.sizeOf(event), 0);
  if (bytes > node.maxAppendBytes) {
    const exceeded = new shared.MaximumAppendSizeExceeded();
    exceeded.setMaxappendsize(node.maxAppendBytes);
    return refuse("event_store.client.MaximumAppendSizeExceeded", exceeded);
  }
  if (stream === "" || batch.events.some((event) => !isAcceptable(event))) {
    return refuse("event_store.client.BadRequest", new shared.BadRequest(), "BadRequest");
  }
  const outcome = node.database.append(stream, batch.events, expectationOf(batch.options));
  if (fault?.kind === "answer-lost") return node.proxy.reset();
  send(appendAnswer(id, stream, outcome), fault);
}

function isAcceptable({ id, type }: StoredEvent): boolean {
  return /^[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}$/i.test(id) && id !== NIL_ID && type !== "";
}
