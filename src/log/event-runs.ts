import type { EventLog, EventRuns, ReadRunsOptions, RecordedEvent } from "./event-log.ts";
import { checkReadRuns } from "./read-checks.ts";

const MOST_PIECE_EVENTS = 1_024;

/**
 * Reads any log for whom the order of each stream is enough: as its engine likes best, else in order of position.
 * @throws {InvalidInputError} `invalid-read-options`
 */
export function readRuns(log: EventLog, options: ReadRunsOptions = {}): AsyncIterable<EventRuns> {
  return log.readRuns?.(options) ?? inOrderOfPosition(log, options);
}

async function* inOrderOfPosition(
  log: EventLog,
  { after = -1, pieceEvents = MOST_PIECE_EVENTS }: ReadRunsOptions,
): AsyncGenerator<EventRuns> {
  checkReadRuns({ after, pieceEvents });
  const most = Math.min(pieceEvents, MOST_PIECE_EVENTS);
  let events: RecordedEvent[] = [];
  for await (const event of log.readAll({ after })) {
    events.push(event);
    if (events.length < most) continue;
    yield { runs: [events], completeTo: event.position };
    events = [];
  }
  const newest = events.at(-1);
  if (newest !== undefined) yield { runs: [events], completeTo: newest.position };
}
