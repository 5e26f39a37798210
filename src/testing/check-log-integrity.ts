import assert from "node:assert/strict";
import type { EventLog, ReadRunsOptions, RecordedEvent } from "../log/event-log.ts";
import { readRuns } from "../log/event-runs.ts";

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
  await checkRuns(log, all);
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

async function checkRuns(log: EventLog, all: readonly RecordedEvent[]): Promise<void> {
  const after = all[all.length >> 1]?.position ?? -1;
  const pieceEvents = 1 + (all.length >> 5);
  // Where the engine has none of its own, there is but readAll to be looked at.
  const reads = log.readRuns === undefined ? [{ after }] : [{}, { pieceEvents }, { after, pieceEvents }];
  for (const options of reads) {
    const expected = all.filter(({ position }) => position > (options.after ?? -1));
    sameEvents(await gatherRuns(log, options), expected, "readRuns against readAll");
  }
}

/**
 * All that reading by runs gives, in order of position. Demands that each stream's events come in order, each once, and
 * that a position is not called complete before everything up to it has come.
 */
export async function gatherRuns(
  log: EventLog,
  options: ReadRunsOptions = {},
  beforeEach?: () => Promise<unknown>,
): Promise<RecordedEvent[]> {
  const gathered: RecordedEvent[] = [];
  const heads = new Map<string, number>();
  let complete = options.after ?? -1;
  for await (const { runs, completeTo } of readRuns(log, options)) {
    assert(completeTo > complete, `a piece is complete to ${completeTo}, the one before it to ${complete}`);
    for (const event of [...runs].flat()) {
      const { stream, revision, position } = event;
      const which = `revision ${revision} of stream "${stream}"`;
      assert(position > complete, `${which} has position ${position}, which was complete before`);
      const head = heads.get(stream);
      assert(head === undefined || revision === head + 1, `${which} comes after revision ${head}`);
      heads.set(stream, revision);
      gathered.push(event);
    }
    complete = completeTo;
    await beforeEach?.();
  }
  return gathered.toSorted((a, b) => a.position - b.position);
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
