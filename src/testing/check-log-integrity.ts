import assert from "node:assert/strict";
import type { EventLog, RecordedEvent } from "../log/event-log.ts";

/**
 * Reads the whole log in every way the port offers and demands that the ways agree: positions rise, revisions
 * are gapless in each stream, ids are unique, the head is the newest event, and each stream read by itself is
 * what the global order says of it. Nobody may write meanwhile. Holds all events in memory.
 *
 * @throws {AssertionError} which says what does not agree
 */
export async function checkLogIntegrity(log: EventLog): Promise<void> {
  const all = await gather(log.readAll());
  checkOrder(all);
  assert.equal(await log.head(), all.at(-1)?.position ?? -1, "head() is not the newest event's position");
  for (const [stream, expected] of byStream(all)) {
    checkRevisions(stream, expected);
    sameEvents(await gather(log.readStream(stream)), expected, `readStream("${stream}") against readAll`);
    const newest = await gather(log.readStream(stream, { direction: "backwards", limit: 1 }));
    sameEvents(newest, expected.slice(-1), `the newest event of stream "${stream}" against readAll`);
  }
}

/** All that an iteration yields. */
export async function gather(events: AsyncIterable<RecordedEvent>): Promise<RecordedEvent[]> {
  const gathered: RecordedEvent[] = [];
  for await (const event of events) gathered.push(event);
  return gathered;
}

export function byStream(events: readonly RecordedEvent[]): Map<string, RecordedEvent[]> {
  const streams = new Map<string, RecordedEvent[]>();
  for (const event of events) {
    const known = streams.get(event.stream);
    if (known === undefined) streams.set(event.stream, [event]);
    else known.push(event);
  }
  return streams;
}

/** Demands that positions are safe integers that rise and that no id occurs twice. */
export function checkOrder(events: readonly RecordedEvent[]): void {
  const ids = new Set<string>();
  let last = -1;
  for (const { id, position, stream, revision } of events) {
    const which = `revision ${revision} of stream "${stream}"`;
    assert(Number.isSafeInteger(position), `the position ${position} of ${which} is not a safe integer`);
    assert(position > last, `${which} has position ${position}, but comes after position ${last}`);
    assert(!ids.has(id), `the event ${id} occurs a second time as ${which}`);
    ids.add(id);
    last = position;
  }
}

/** Demands that a stream's revisions follow each other without a gap. */
export function checkRevisions(stream: string, events: readonly RecordedEvent[]): void {
  const first = events[0]?.revision ?? 0;
  for (const [index, event] of events.entries()) {
    assert.equal(
      event.revision,
      first + index,
      `stream "${stream}" has a gap or a repetition in its revisions`,
    );
  }
}

/** What any reader from the start must see at any time: order, and each stream from its first event without gaps. */
export function checkWhole(events: readonly RecordedEvent[]): void {
  checkOrder(events);
  for (const [stream, ofStream] of byStream(events)) {
    assert.equal(ofStream[0]?.revision, 0, `readAll lacks the beginning of stream "${stream}"`);
    checkRevisions(stream, ofStream);
  }
}

/** Demands equal events; compares JSON text, since key order and `__proto__` keys count too. */
export function sameEvents(
  actual: readonly RecordedEvent[],
  expected: readonly RecordedEvent[],
  what: string,
): void {
  assert.equal(actual.length, expected.length, `${what}: the number of events`);
  for (const [index, event] of actual.entries()) {
    const other = expected[index];
    if (event === other) continue;
    assert.equal(describeEvent(event), other && describeEvent(other), `${what}: event ${index}`);
  }
}

function describeEvent({
  stream,
  revision,
  position,
  recordedAt,
  id,
  type,
  data,
  metadata,
}: RecordedEvent): string {
  return JSON.stringify([stream, revision, position, recordedAt, id, type, data, metadata]);
}
