import { once } from "node:events";
import { setImmediate as nextTick } from "node:timers/promises";
import type * as streamsTypes from "@eventstore/db-client/generated/streams_pb.js";
import type * as Grpc from "@grpc/grpc-js";
import { grpc } from "./client-dependencies.ts";
import type { Fault, Step } from "./faults.ts";
import type { FixtureNode } from "./fixture-node.ts";
import type { StoredRecord, StreamDatabase } from "./stream-database.ts";
import {
  callFailure,
  caughtUp,
  checkpoint,
  confirmation,
  nameOf,
  readEvent,
  streamNotFound,
  type ReadResponse,
} from "./wire.ts";

/** The server reads and sends so many at a time. */
const BATCH = 32;

export type ReadCall = Grpc.ServerWritableStream<streamsTypes.ReadReq, ReadResponse>;
type Options = streamsTypes.ReadReq.Options;

/** Thrown by a fault that ends the call without an error. */
class PoliteEnd extends Error {}

/** The Read method: pages of a stream or of `$all`, and subscriptions to `$all`. */
export async function serveRead(node: FixtureNode, call: ReadCall): Promise<void> {
  try {
    await read(node, call);
    call.end();
  } catch (failure) {
    if (failure instanceof PoliteEnd) call.end();
    else if (!call.cancelled) call.emit("error", failure);
  }
}

async function read(node: FixtureNode, call: ReadCall): Promise<void> {
  const options = call.request.getOptions();
  if (options === undefined) throw callFailure(grpc.status.INVALID_ARGUMENT, "no options");
  const step: Step = options.hasStream()
    ? "read-stream"
    : options.hasSubscription()
      ? "subscribe"
      : "read-all";
  const fault = node.faults.take(step);
  if (fault?.kind === "hang") return untilCancelled(call);
  if (fault?.kind === "reset") {
    node.proxy.reset();
    return untilCancelled(call);
  }
  if (fault?.kind === "fail") throw fault.failure;
  node.checkAccess(call.metadata);
  if (fault?.kind === "delay") await new Promise((resolve) => setTimeout(resolve, fault.ms));
  const sender = new Sender(call, fault);
  if (step === "read-stream") await sendStream(node.database, options, sender);
  else if (step === "read-all") await sendAll(node.database, options, sender);
  else await sendSubscription(node, options, sender);
}

/** Writes with back-pressure, and counts messages for faults. */
class Sender {
  readonly call: ReadCall;
  readonly cancelled: Promise<void>;
  readonly #fault: Fault | undefined;
  #sent = 0;

  constructor(call: ReadCall, fault: Fault | undefined) {
    this.call = call;
    this.cancelled = untilCancelled(call);
    this.#fault = fault;
  }

  get isOver(): boolean {
    return this.call.cancelled;
  }

  async send(response: ReadResponse): Promise<void> {
    if (this.isOver) return;
    const fault = this.#fault;
    if ((fault?.kind === "end" || fault?.kind === "break") && this.#sent >= fault.afterMessages) {
      // What was sent before has to arrive before the end does.
      await nextTick();
      throw fault.kind === "break" ? fault.failure : new PoliteEnd();
    }
    this.#sent += 1;
    if (!this.call.write(response)) await Promise.race([once(this.call, "drain"), this.cancelled]);
  }

  async sendEvents(records: Iterable<StoredRecord>): Promise<void> {
    let index = 0;
    for (const record of records) {
      if (index++ % BATCH === 0) await nextTick();
      if (this.isOver) return;
      await this.send(readEvent(record));
    }
  }
}

function untilCancelled(call: ReadCall): Promise<void> {
  return new Promise((resolve) => {
    if (call.cancelled) resolve();
    else call.once("cancelled", () => resolve());
  });
}

async function sendStream(database: StreamDatabase, options: Options, sender: Sender): Promise<void> {
  const place = options.getStream();
  const stream = nameOf(place?.getStreamIdentifier());
  const state = database.state(stream);
  if (state === "deleted") {
    throw callFailure(grpc.status.FAILED_PRECONDITION, `Event stream '${stream}' is deleted.`, {
      exception: "stream-deleted",
      "stream-name": encodeURIComponent(stream),
    });
  }
  if (state === "not-found") return sender.send(streamNotFound(stream));
  const records = database.read(stream);
  const count = Number(options.getCount());
  const isBackwards = options.getReadDirection() === 1;
  const from = place?.hasRevision() === true ? Number(place.getRevision()) : isBackwards ? Infinity : 0;
  // Revisions follow each other, so that a place in the stream is found without looking.
  const oldest = records[0]?.revision ?? 0;
  const first = Math.min(from - oldest, isBackwards ? records.length - 1 : Infinity);
  const isAny = (): boolean => true;
  await sender.sendEvents(
    isBackwards
      ? matches(records, first, -1, isAny, count)
      : matches(records, Math.max(0, first), 1, isAny, count),
  );
}

async function sendAll(database: StreamDatabase, options: Options, sender: Sender): Promise<void> {
  const place = options.getAll();
  const isBackwards = options.getReadDirection() === 1;
  const position = place?.getPosition()?.getCommitPosition();
  const start =
    position === undefined ? (isBackwards ? database.all.length : 0) : database.indexOf(Number(position));
  if (start === undefined) throw callFailure(grpc.status.UNKNOWN, "Unexpected FilteredReadAllResult: Error");
  // Forwards a position is the beginning of a record, backwards the end of the one before.
  const first = isBackwards ? start - 1 : start;
  await sender.sendEvents(
    matches(database.all, first, isBackwards ? -1 : 1, filterOf(options), Number(options.getCount())),
  );
}

function* matches(
  records: readonly StoredRecord[],
  first: number,
  step: 1 | -1,
  filter: (record: StoredRecord) => boolean,
  count: number,
): Generator<StoredRecord> {
  let left = count;
  for (let index = first; left > 0; index += step) {
    const record = records[index];
    if (record === undefined) return;
    if (!filter(record)) continue;
    left -= 1;
    yield record;
  }
}

async function sendSubscription(node: FixtureNode, options: Options, sender: Sender): Promise<void> {
  const { database } = node;
  const filter = filterOf(options);
  const position = options.getAll()?.getPosition()?.getCommitPosition();
  const start = position === undefined ? -1 : database.indexOf(Number(position));
  node.subscriptionStarts.push(Number(position ?? -1));
  if (start === undefined) throw callFailure(grpc.status.UNKNOWN, "Exception was thrown by handler.");
  let next = start + 1;
  let wakeUp = (): void => undefined;
  const leave = database.onAppended(() => wakeUp());
  const { checkpointintervalmultiplier = 1, max = BATCH } = options.getFilter()?.toObject() ?? {};
  const interval = checkpointintervalmultiplier * max;
  let considered = 0;
  let isLive = false;
  let isStopped = false;
  const stopped = node.stopped.then(() => (isStopped = true));
  try {
    await sender.send(confirmation("00000000-0000-4000-8000-000000000000"));
    while (!sender.isOver) {
      const page = database.all.slice(next, next + BATCH);
      next += page.length;
      await sender.sendEvents(page.filter(filter));
      considered += page.length;
      const last = page.at(-1);
      if (considered >= interval && last !== undefined) {
        considered = 0;
        await sender.send(checkpoint(last.position));
      }
      if (next < database.all.length) continue;
      if (!isLive) await sender.send(caughtUp());
      isLive = true;
      if (next < database.all.length) continue;
      const woken = new Promise<void>((resolve) => (wakeUp = resolve));
      await Promise.race([woken, sender.cancelled, stopped]);
      if (isStopped) throw new PoliteEnd();
    }
  } finally {
    leave();
  }
}

function filterOf(options: Options): (record: StoredRecord) => boolean {
  const expression = options.getFilter()?.getStreamIdentifier();
  if (expression === undefined) return () => true;
  const regex = expression.getRegex();
  if (regex !== "") {
    const pattern = new RegExp(regex);
    return ({ stream }) => pattern.test(stream);
  }
  const prefixes = expression.getPrefixList();
  return ({ stream }) => prefixes.some((prefix) => startsWithAsPeopleSort(stream, prefix));
}

/** .NET compares by culture: a prefix must end where a visible character ends. */
function startsWithAsPeopleSort(text: string, prefix: string): boolean {
  return text.startsWith(prefix) && !/^\p{M}/u.test(text.slice(prefix.length));
}
