import { DamageError } from "../../errors.ts";
import type { RecordedEvent } from "../event-log.ts";
import { NO_REVISION } from "../expected-revision.ts";
import type { CommittedState } from "./committed-state.ts";
import { type StoredEvent, decodePackedRow, recordedEventOf } from "./stored-rows.ts";

/** Reading one stream, a page at a time. Everything here works inside the caller's transaction, after `sync`. */

/** UTF-16 units of text, about: what is read must fit into memory, however small it was deflated. */
const PAGE_SIZE = 1_048_576;

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
  let size = 0;
  while (next <= packedHead && events.length < limit && size < PAGE_SIZE) {
    const packed = state.tables.packedFrom(row?.id ?? 0, next);
    if (packed === undefined || packed.firstRevision > next || packed.firstRevision + packed.count <= next) {
      throw missingEvents(stream, next);
    }
    const run = decodePackedRow(stream, packed);
    for (let index = next - packed.firstRevision; index < run.count && events.length < limit; index++) {
      events.push(run.recordedEvent(index));
      next += 1;
    }
    size += run.textUnits;
  }
  if (next <= packedHead || events.length >= limit) return { events, next };
  for (const event of liveEvents(state, stream, packedHead)) {
    if (event.revision < next) continue;
    if (events.length >= limit || size >= PAGE_SIZE) return { events, next };
    events.push(recordedEventOf(event));
    size += event.flat.size;
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
  let size = 0;
  const isFull = (): boolean => events.length >= limit || size >= PAGE_SIZE;
  for (; next > packedHead && !isFull(); next--) {
    const event = hot[next - packedHead - 1];
    if (event === undefined) throw missingEvents(stream, next);
    events.push(recordedEventOf(event));
    size += event.flat.size;
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
    size += run.textUnits;
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
  let found = 0;
  let position: number | undefined;
  // Page by page: a batch may be larger than a page.
  for (let from: number | undefined = revision; from !== undefined && found < ids.length;) {
    const limit = ids.length - found;
    const page = readStreamPage(state, { stream, from, direction: "forwards", limit });
    for (const event of page.events) {
      if (event.revision !== revision + found || event.id !== ids[found]) return undefined;
      found += 1;
      position = event.position;
    }
    from = page.next;
  }
  return found === ids.length ? position : undefined;
}
