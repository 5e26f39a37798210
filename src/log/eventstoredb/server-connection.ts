import type { StreamsClient } from "@eventstore/db-client/generated/streams_grpc_pb.js";
import streamsService from "@eventstore/db-client/generated/streams_grpc_pb.js";
import type { ClientReadableStream } from "@grpc/grpc-js";
import { type AppendAnswer, AppendPipe, type WireExpectation } from "./append-pipe.ts";
import type { ConnectionSettings } from "./connection-settings.ts";
import type { Lifetime } from "./lifetime.ts";
import type { ReadRequest } from "./read-request.ts";
import { type ReadResponse, type WireRecord, decodeReadResponse } from "./read-response.ts";
import {
  type CallArguments,
  type ClusterMember,
  type ServerClient,
  createServerClient,
} from "./server-client.ts";
import { CallEnded, NoAnswer, Refusal, isCancelled } from "./server-failure.ts";
import type { ProposedMessage } from "./wire-event.ts";

/** A page ends early at this size, so that a reader of large events holds few of them. */
const MOST_PAGE_BYTES = 8 * 1024 * 1024;

export interface ReadPage {
  readonly records: readonly WireRecord[];
  /** The server said that nothing more follows now. */
  readonly isEnd: boolean;
}

/** What a subscription tells. Nothing more comes after `onEnd`. */
export interface SubscriptionHandlers {
  onRecord(record: WireRecord): void;
  onCaughtUp(): void;
  /** Everything up to this position has been looked at. */
  onCheckpoint(position: number): void;
  /** The server or the network ended it; a polite end is a `CallEnded`. */
  onEnd(failure: Error): void;
}

/** Single attempts of everything that is asked of one server. Trying again is for those who know what is asked. */
export class ServerConnection {
  readonly serverName: string;
  readonly #client: ServerClient;
  #pipe: AppendPipe | undefined;
  #isClosed = false;

  /** @throws what `createServerClient` throws; the network is not used before the first call */
  constructor(settings: ConnectionSettings) {
    this.serverName = settings.serverName;
    this.#client = createServerClient(settings);
  }

  /** @throws {NoAnswer} and what the server says; the outcome is unknown unless it is a `Refusal` that is final */
  async append(
    stream: string,
    messages: readonly ProposedMessage[],
    expected: WireExpectation,
    timeoutMs: number,
  ): Promise<AppendAnswer> {
    const pipe = await this.#openPipe(timeoutMs);
    const answersBefore = pipe.answers;
    try {
      return await pipe.send(stream, messages, expected, timeoutMs);
    } catch (failure) {
      // Nothing at all came back: the connection is dead, not only slow with this one.
      if (failure instanceof NoAnswer && !pipe.isOver && pipe.answers === answersBefore) {
        await this.#giveUp(pipe);
      }
      throw failure;
    }
  }

  /** One page of a read with a count, at most that many events. An unknown stream is empty. */
  async readPage(request: ReadRequest, timeoutMs: number, lifetime: Lifetime): Promise<ReadPage> {
    const client = await this.#streams(timeoutMs);
    try {
      return await collectPage(client, this.#client.arguments(), request, timeoutMs, lifetime);
    } catch (failure) {
      await this.#afterFailure(client, failure);
      throw failure;
    }
  }

  /**
   * Starts a subscription. The handlers are called until `onEnd`, or until the returned function cancelled it.
   * @param timeoutMs within which the server must confirm it
   */
  async subscribe(
    request: ReadRequest,
    timeoutMs: number,
    handlers: SubscriptionHandlers,
  ): Promise<() => void> {
    const client = await this.#streams(timeoutMs);
    return startSubscription(client, this.#client.arguments(), request, timeoutMs, {
      ...handlers,
      onEnd: (failure) => {
        void this.#afterFailure(client, failure);
        handlers.onEnd(failure);
      },
    });
  }

  /** Such as 23.10.7. */
  serverVersion(timeoutMs: number): Promise<string> {
    return within(this.#client.serverVersion(), timeoutMs);
  }

  members(timeoutMs: number): Promise<readonly ClusterMember[]> {
    return within(this.#client.members(), timeoutMs);
  }

  async close(): Promise<void> {
    this.#isClosed = true;
    this.#pipe?.end();
    await this.#client.disconnect();
  }

  async #openPipe(timeoutMs: number): Promise<AppendPipe> {
    const client = await this.#streams(timeoutMs);
    const current = this.#pipe;
    if (current !== undefined && !current.isOver) {
      if (current.client === client) return current;
      // The client went to another node: what this call still owes is asked again there.
      current.end();
    }
    const pipe = new AppendPipe(client, this.#client.arguments(), (failure) => {
      void this.#afterFailure(client, failure);
    });
    this.#pipe = pipe;
    return pipe;
  }

  async #giveUp(pipe: AppendPipe): Promise<void> {
    pipe.end();
    await this.#client.reconnect(pipe.client);
  }

  #streams(timeoutMs: number): Promise<StreamsClient> {
    // The client would connect again.
    if (this.#isClosed) return Promise.reject(new Refusal("refused", "the connection was closed"));
    return within(this.#client.streams(), timeoutMs);
  }

  async #afterFailure(client: StreamsClient, failure: unknown): Promise<void> {
    if (this.#isClosed) return;
    if (failure instanceof NoAnswer) await this.#client.reconnect(client);
    else if (failure instanceof Error) await this.#client.report(client, failure);
  }
}

/** A promise that nobody waits for any more never becomes an unhandled rejection. */
async function within<T>(promise: Promise<T>, timeoutMs: number): Promise<T> {
  let timer: NodeJS.Timeout | undefined;
  const timeout = new Promise<never>((_resolve, reject) => {
    timer = setTimeout(() => reject(new NoAnswer(`no node was reached within ${timeoutMs} ms`)), timeoutMs);
  });
  try {
    return await Promise.race([promise, timeout]);
  } finally {
    clearTimeout(timer);
  }
}

/** As the generated `client.read`, with answers decoded by `decodeReadResponse`. */
function startRead(
  client: StreamsClient,
  [metadata, options]: CallArguments,
  request: ReadRequest,
): ClientReadableStream<ReadResponse> {
  const { path, requestSerialize } = streamsService.StreamsService.read;
  return client.makeServerStreamRequest(
    path,
    requestSerialize,
    decodeReadResponse,
    request,
    metadata,
    options,
  );
}

function collectPage(
  client: StreamsClient,
  callArguments: CallArguments,
  request: ReadRequest,
  timeoutMs: number,
  lifetime: Lifetime,
): Promise<ReadPage> {
  return new Promise((resolve, reject) => {
    const records: WireRecord[] = [];
    let bytes = 0;
    const call = startRead(client, callArguments, request);
    const finish = (action: () => void): void => {
      clearTimeout(timer);
      leave();
      action();
    };
    const timer = setTimeout(() => {
      finish(() => reject(new NoAnswer(`no answer to a read within ${timeoutMs} ms`)));
      call.cancel();
    }, timeoutMs);
    const leave = lifetime.whenOver((failure) => {
      clearTimeout(timer);
      reject(failure);
      call.cancel();
    });
    call.on("data", (response: ReadResponse) => {
      timer.refresh();
      if (response.kind !== "event") return;
      const { record } = response;
      records.push(record);
      bytes += record.data.length + record.metadata.length;
      if (bytes < MOST_PAGE_BYTES) return;
      finish(() => resolve({ records, isEnd: false }));
      call.cancel();
    });
    call.on("end", () => finish(() => resolve({ records, isEnd: true })));
    // Also what comes after the page was settled, as when it was cancelled: it must be listened to.
    call.on("error", (failure: Error) => finish(() => reject(failure)));
  });
}

function startSubscription(
  client: StreamsClient,
  callArguments: CallArguments,
  request: ReadRequest,
  timeoutMs: number,
  handlers: SubscriptionHandlers,
): () => void {
  const call = startRead(client, callArguments, request);
  let isOver = false;
  const end = (failure: Error): void => {
    clearTimeout(confirmation);
    if (isOver) return;
    isOver = true;
    handlers.onEnd(failure);
  };
  const confirmation = setTimeout(() => {
    end(new NoAnswer(`the subscription was not confirmed within ${timeoutMs} ms`));
    call.cancel();
  }, timeoutMs);
  call.on("data", (response: ReadResponse) => {
    clearTimeout(confirmation);
    if (isOver) return;
    if (response.kind === "event") handlers.onRecord(response.record);
    else if (response.kind === "caught-up") handlers.onCaughtUp();
    else if (response.kind === "checkpoint") handlers.onCheckpoint(response.position);
  });
  call.on("end", () => end(new CallEnded("the server ended the subscription")));
  call.on("error", (failure: Error) => {
    if (!isOver || !isCancelled(failure)) end(failure);
  });
  return () => {
    isOver = true;
    clearTimeout(confirmation);
    call.cancel();
  };
}
