import { errorCode } from "../../errors.ts";
import type { ReadAllOptions, RecordedEvent } from "../event-log.ts";
import type { FetchPage } from "../paged-iterable.ts";
import type { ControlStream } from "./control-stream.ts";
import type { LogStreams } from "./log-streams.ts";
import { allRequest } from "./read-request.ts";
import type { ReadPage } from "./server-connection.ts";
import type { ServerReader } from "./server-reader.ts";
import { decodeEvent, positionOf, revisionOf } from "./wire-event.ts";

const PAGE_EVENTS = 1_024;
/** Enough for the newest event and a few of the log's own above it. */
const HEAD_EVENTS = 8;

/** Reads the whole log in order of position, page by page, each in a call of its own. */
export function pagesOfAll(
  streams: LogStreams,
  control: ControlStream,
  reader: ServerReader,
  { after = -1, limit = Infinity, streamPrefix = "" }: ReadAllOptions,
): FetchPage<RecordedEvent> {
  const prefix = streams.onServer(streamPrefix);
  let cursor = Math.max(after, control.bornAt);
  let start = cursor;
  let isStartKnown = after <= control.bornAt;
  let left = limit;
  let isEnd = false;
  let isFirst = true;
  const readOn = async (count: number): Promise<ReadPage> => {
    try {
      return await reader.all(allRequest(start, prefix, false, count));
    } catch (failure) {
      if (isStartKnown || errorCode(failure) !== "invalid-position") throw failure;
      // No record begins there: this log never gave that position. What is above it also comes after the beginning.
      start = control.bornAt;
      return reader.all(allRequest(start, prefix, false, count));
    }
  };
  return async () => {
    if (isEnd || left <= 0) return undefined;
    if (isFirst) await control.refresh();
    isFirst = false;
    // One more, since the record at the start comes again.
    const count = Math.min(left, PAGE_EVENTS) + 1;
    const page = await readOn(count);
    isStartKnown = true;
    isEnd = page.isEnd && page.records.length < count;
    const events: RecordedEvent[] = [];
    for (const record of page.records) {
      const position = positionOf(record);
      start = position;
      const stream = streams.inLog(record.stream);
      if (position <= cursor || stream === undefined || !stream.startsWith(streamPrefix)) continue;
      if (left <= 0) break;
      cursor = position;
      if (control.isHidden(stream, revisionOf(record))) continue;
      events.push(decodeEvent(record, stream));
      left -= 1;
    }
    return events;
  };
}

/**
 * Position of the log's newest event, -1 where it has none. Read backwards from the end of the server's log, so
 * that it costs what others have written since; never below the log's own birth.
 */
export async function positionOfNewest(
  streams: LogStreams,
  control: ControlStream,
  reader: ServerReader,
): Promise<number> {
  let from: number | "end" = "end";
  for (;;) {
    const page: ReadPage = await reader.all(allRequest(from, streams.prefix, true, HEAD_EVENTS));
    for (const record of page.records) {
      const position = positionOf(record);
      if (position <= control.bornAt) return -1;
      if (streams.inLog(record.stream) !== undefined) return position;
    }
    const last = page.records.at(-1);
    // Only the event that it began with: the beginning of all.
    if (last === undefined || positionOf(last) === from) return -1;
    from = positionOf(last);
  }
}
