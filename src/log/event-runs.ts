import type { EventLog, EventRuns, ReadRunsOptions, RecordedEvent } from "./event-log.ts";
import { checkReadRuns } from "./read-checks.ts";

const PIECE_EVENTS = 1_024;

/**
 * Reads any log for whom the order of each stream is enough: as its engine likes best, else in order of position.
 * @throws {InvalidInputError} `invalid-read-options`
 */
export function readRuns(log: EventLog, options: ReadRunsOptions = {}): AsyncIterable<EventRuns> {
  return log.readRuns?.(options) ?? inOrderOfPosition(log, options);
}

async function* inOrderOfPosition(
  log: EventLog,
  { after = -1, pieceEvents = PIECE_EVENTS }: ReadRunsOptions,
): AsyncGenerator<EventRuns> {
  checkReadRuns({ after, pieceEvents });
  let events: RecordedEvent[] = [];
  for await (const event of log.readAll({ after })) {
    events.push(event);
    if (events.length < pieceEvents) continue;
    yield { runs: [events], completeTo: event.position };
    events = [];
  }
  const newest = events.at(-1);
  if (newest !== undefined) yield { runs: [events], completeTo: newest.position };
}
