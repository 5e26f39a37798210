import { DamageError } from "../../errors.ts";
import type { RecordedEvent } from "../event-log.ts";
import { NO_REVISION } from "../expected-revision.ts";
import type { CommittedState } from "./committed-state.ts";
import { type StoredEvent, decodePackedRow, recordedEventOf } from "./stored-rows.ts";

/** Reading one stream, a page at a time. Everything here works inside the caller's transaction, after `sync`. */

const PAGE_BYTES = 1_048_576;

export interface StreamPageRequest {
  readonly stream: string;
  /** First revision to return. */
  readonly from: number;
  readonly direction: "forwards" | "backwards";
  readonly limit: number;
}

export interface StreamPage {
  readonly events: RecordedEvent[];
  /** Where the next page begins, undefined where there is none. */
  readonly next: number | undefined;
}

/** @throws {DamageError} `damaged-row`, `missing-events` */
export function readStreamPage(state: CommittedState, request: StreamPageRequest): StreamPage {
  return request.direction === "forwards" ? readForwards(state, request) : readBackwards(state, request);
}

function readForwards(state: CommittedState, { stream, from, limit }: StreamPageRequest): StreamPage {
  const row = state.tables.stream(stream);
  const packedHead = row?.headRevision ?? NO_REVISION;
  const events: RecordedEvent[] = [];
  let next = Math.max(from, row?.firstRevision ?? 0);
  let bytes = 0;
  while (next <= packedHead && events.length < limit && bytes < PAGE_BYTES) {
    const packed = state.tables.packedFrom(row?.id ?? 0, next);
    if (packed === undefined || packed.firstRevision > next || packed.firstRevision + packed.count <= next) {
      throw missingEvents(stream, next);
    }
    const run = decodePackedRow(stream, packed);
    for (let index = next - packed.firstRevision; index < run.count && events.length < limit; index++) {
      events.push(run.recordedEvent(index));
      next += 1;
    }
    bytes += packed.payload.length;
  }
  if (next <= packedHead || events.length >= limit) return { events, next };
  for (const event of liveEvents(state, stream, packedHead)) {
    if (event.revision < next) continue;
    if (events.length >= limit || bytes >= PAGE_BYTES) return { events, next };
    events.push(recordedEventOf(event));
    bytes += event.flat.size;
    next += 1;
  }
  return { events, next: undefined };
}

function readBackwards(state: CommittedState, { stream, from, limit }: StreamPageRequest): StreamPage {
  const row = state.tables.stream(stream);
  const packedHead = row?.headRevision ?? NO_REVISION;
  const oldest = row?.firstRevision ?? 0;
  const events: RecordedEvent[] = [];
  const hot = liveEvents(state, stream, packedHead);
  let next = Math.min(from, packedHead + hot.length);
  let bytes = 0;
  const isFull = (): boolean => events.length >= limit || bytes >= PAGE_BYTES;
  for (; next > packedHead && !isFull(); next--) {
    const event = hot[next - packedHead - 1];
    if (event === undefined) throw missingEvents(stream, next);
    events.push(recordedEventOf(event));
    bytes += event.flat.size;
  }
  while (next >= oldest && next <= packedHead && !isFull()) {
    const packed = state.tables.packedBackFrom(row?.id ?? 0, next);
    if (packed === undefined || packed.firstRevision + packed.count <= next)
      throw missingEvents(stream, next);
    const run = decodePackedRow(stream, packed);
    for (let index = next - packed.firstRevision; index >= 0 && events.length < limit; index--) {
      events.push(run.recordedEvent(index));
      next -= 1;
    }
    bytes += packed.payload.length;
  }
  return { events, next: next >= oldest ? next : undefined };
}

/** The hot events that no packed row holds, without gaps. @throws {DamageError} `missing-events` where one is lost. */
export function liveEvents(
  state: CommittedState,
  stream: string,
  packedHead: number,
): readonly StoredEvent[] {
  const hot = state.hot.stream(stream);
  const live =
    hot[0] !== undefined && hot[0].revision > packedHead
      ? hot
      : hot.filter((event) => event.revision > packedHead);
  const last = live.at(-1);
  if (last !== undefined && last.revision !== packedHead + live.length)
    throw missingEvents(stream, packedHead + 1);
  return live;
}

function missingEvents(stream: string, revision: number): DamageError {
  return new DamageError(
    "missing-events",
    `Stream "${stream}" has lost events from revision ${revision} on: no row holds them.`,
    { details: { stream, revision } },
  );
}

/** Where the events at `revision` and after have exactly these ids: the position of the last, else undefined. */
export function positionOfRetry(
  state: CommittedState,
  stream: string,
  revision: number,
  ids: readonly string[],
): number | undefined {
  const { events } = readStreamPage(state, {
    stream,
    from: revision,
    direction: "forwards",
    limit: ids.length,
  });
  if (events.length !== ids.length || events[0]?.revision !== revision) return undefined;
  return events.every((event, index) => event.id === ids[index]) ? events.at(-1)?.position : undefined;
}
