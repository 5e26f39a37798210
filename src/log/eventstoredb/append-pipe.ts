import { randomUUID } from "node:crypto";
import type * as streamsPb from "@eventstore/db-client/generated/streams_pb.js";
import type { StreamsClient } from "@eventstore/db-client/generated/streams_grpc_pb.js";
import sharedMessages from "@eventstore/db-client/generated/shared_pb.js";
import streamsMessages from "@eventstore/db-client/generated/streams_pb.js";
import type * as sharedPb from "@eventstore/db-client/generated/shared_pb.js";
import type { ClientDuplexStream } from "@grpc/grpc-js";
import { NO_REVISION } from "../expected-revision.ts";
import type { CallArguments } from "./server-client.ts";
import { CallEnded, NoAnswer, Refusal } from "./server-failure.ts";
import { type ProposedMessage, safeNumber, uuid } from "./wire-event.ts";

/** What an append states on the wire. "any" is not among them: its outcome could not be found out. */
export type WireExpectation = number | "no-stream";

/** The server's answer. The position is missing where the server does not know it any more. */
export type AppendAnswer =
  | { readonly ok: true; readonly revision: number; readonly position: number | undefined }
  | { readonly ok: false; readonly actualRevision: number };

/** One message stays well below what gRPC takes. */
const MOST_MESSAGE_BYTES = 1024 * 1024;
/** An idle call is ended, since it would hold the process. */
const IDLE_MS = 500;

interface Pending {
  resolve(answer: AppendAnswer): void;
  reject(failure: unknown): void;
}

type AppendCall = ClientDuplexStream<streamsPb.BatchAppendReq, streamsPb.BatchAppendResp>;

/**
 * One call on which all appends to a server travel, each with its own answer, in any order. When it breaks, the
 * outcome of all that is unanswered is unknown. Replies that nobody waits for any more are dropped.
 */
export class AppendPipe {
  readonly client: StreamsClient;
  readonly #call: AppendCall;
  readonly #pending = new Map<string, Pending>();
  readonly #onBroken: (failure: Error) => void;
  readonly #idleTimer: NodeJS.Timeout;
  #answers = 0;
  #isOver = false;

  /** @param onBroken called once when the server or the network ended it; not for an end of our own. */
  constructor(client: StreamsClient, callArguments: CallArguments, onBroken: (failure: Error) => void) {
    this.client = client;
    this.#onBroken = onBroken;
    this.#call = client.batchAppend(...callArguments);
    this.#call.on("data", (response: streamsPb.BatchAppendResp) => this.#answer(response));
    this.#call.on("error", (failure: Error) => this.#broken(failure));
    this.#call.on("end", () => this.#broken(new CallEnded("the server ended the call")));
    this.#idleTimer = setTimeout(() => {
      if (this.#pending.size === 0) this.end();
    }, IDLE_MS).unref();
  }

  get isOver(): boolean {
    return this.#isOver;
  }

  /** How many answers have come: what does not grow while something waits is dead. */
  get answers(): number {
    return this.#answers;
  }

  /** Sends a batch. Rejects with a `Refusal`, with what broke the call, or with `NoAnswer` after the timeout. */
  send(
    stream: string,
    messages: readonly ProposedMessage[],
    expected: WireExpectation,
    timeoutMs: number,
  ): Promise<AppendAnswer> {
    const id = randomUUID();
    return new Promise<AppendAnswer>((resolve, reject) => {
      const timer = setTimeout(() => {
        settle(() => reject(new NoAnswer(`no answer to an append within ${timeoutMs} ms`)));
      }, timeoutMs);
      const settle = (action: () => void): void => {
        clearTimeout(timer);
        if (this.#pending.delete(id)) action();
        if (this.#pending.size === 0 && !this.#isOver) this.#idleTimer.refresh();
      };
      this.#pending.set(id, {
        resolve: (answer) => settle(() => resolve(answer)),
        reject: (failure) => settle(() => reject(failure)),
      });
      for (const request of requests(id, stream, messages, expected)) this.#call.write(request);
    });
  }

  /** Ends it. The outcome of what is unanswered is unknown. */
  end(): void {
    if (this.#isOver) return;
    this.#finish(new CallEnded("the connection was given up"));
    // Not by a polite end: servers keep such a call open for ever when nothing is unanswered.
    this.#call.cancel();
  }

  #answer(response: streamsPb.BatchAppendResp): void {
    this.#answers += 1;
    const pending = this.#pending.get(uuidText(response.getCorrelationId()));
    if (pending === undefined) return;
    try {
      pending.resolve(readAnswer(response));
    } catch (failure) {
      pending.reject(failure);
    }
  }

  #broken(failure: Error): void {
    if (this.#isOver) return;
    this.#finish(failure);
    this.#onBroken(failure);
  }

  #finish(failure: Error): void {
    this.#isOver = true;
    clearTimeout(this.#idleTimer);
    for (const pending of this.#pending.values()) pending.reject(failure);
  }
}

function* requests(
  id: string,
  stream: string,
  messages: readonly ProposedMessage[],
  expected: WireExpectation,
): Generator<streamsPb.BatchAppendReq> {
  // Without a deadline of ours: the server would measure it by its own clock.
  const options = new streamsMessages.BatchAppendReq.Options();
  options.setStreamIdentifier(streamIdentifier(stream));
  if (expected === "no-stream") options.setNoStream(new sharedMessages.Empty());
  else options.setStreamPosition(String(expected));
  let request = new streamsMessages.BatchAppendReq();
  request.setOptions(options);
  let bytes = 0;
  for (const message of messages) {
    const size = message.getData_asU8().length + message.getCustomMetadata_asU8().length;
    if (bytes > 0 && bytes + size > MOST_MESSAGE_BYTES) {
      request.setCorrelationId(uuid(id));
      yield request;
      request = new streamsMessages.BatchAppendReq();
      bytes = 0;
    }
    request.addProposedMessages(message);
    bytes += size;
  }
  request.setCorrelationId(uuid(id));
  request.setIsFinal(true);
  yield request;
}

export function streamIdentifier(stream: string): sharedPb.StreamIdentifier {
  const identifier = new sharedMessages.StreamIdentifier();
  identifier.setStreamName(Buffer.from(stream));
  return identifier;
}

function readAnswer(response: streamsPb.BatchAppendResp): AppendAnswer {
  const success = response.getSuccess();
  if (success !== undefined) {
    const position = success.getPosition()?.getCommitPosition();
    return {
      ok: true,
      revision: safeNumber(success.getCurrentRevision(), "revision"),
      position: position === undefined ? undefined : safeNumber(position, "position"),
    };
  }
  const error = response.getError();
  const details = error?.getDetails();
  const message = error?.getMessage() ?? "";
  switch (details?.getTypeName()) {
    case "event_store.client.WrongExpectedVersion": {
      const conflict = details.unpack(
        sharedMessages.WrongExpectedVersion.deserializeBinary,
        "event_store.client.WrongExpectedVersion",
      );
      const isThere = conflict?.hasCurrentStreamRevision() === true;
      const actual = isThere ? safeNumber(conflict.getCurrentStreamRevision(), "revision") : NO_REVISION;
      return { ok: false, actualRevision: actual };
    }
    case "event_store.client.AccessDenied":
      throw new Refusal("denied", "access denied");
    case "event_store.client.StreamDeleted":
      throw new Refusal("stream-deleted", "the stream is deleted");
    case "event_store.client.MaximumAppendSizeExceeded":
      throw new Refusal("too-large", "the batch is above the server's limit");
    case "event_store.client.Timeout":
      throw new Refusal("transient", "the server's own time for a write ran out");
    case "event_store.client.BadRequest":
      throw new Refusal("refused", message === "" ? "bad request" : message);
    default:
      // "Server Is Not Ready", "Server Is Busy", "No leader info available": it may pass.
      throw new Refusal("transient", message === "" ? "an unknown failure of the server" : message);
  }
}

/** Servers answer with the form that was sent, but for their own timeouts. */
function uuidText(id: sharedPb.UUID | undefined): string {
  const structured = id?.getStructured();
  if (structured === undefined) return id?.getString() ?? "";
  const hex = [structured.getMostSignificantBits(), structured.getLeastSignificantBits()]
    .map((bits) => BigInt.asUintN(64, BigInt(bits)).toString(16).padStart(16, "0"))
    .join("");
  return [hex.slice(0, 8), hex.slice(8, 12), hex.slice(12, 16), hex.slice(16, 20), hex.slice(20)].join("-");
}
