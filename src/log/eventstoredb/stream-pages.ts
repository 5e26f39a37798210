import type { ReadStreamOptions, RecordedEvent } from "../event-log.ts";
import type { FetchPage } from "../paged-iterable.ts";
import type { LogStreams } from "./log-streams.ts";
import { streamRequest } from "./read-request.ts";
import type { ServerReader } from "./server-reader.ts";
import { decodeEvent, revisionOf } from "./wire-event.ts";

/** The first page is what most reads need; later ones are for long streams. */
const FIRST_PAGE_EVENTS = 128;
const PAGE_EVENTS = 1_024;

/** Reads a stream page by page, each in a call of its own, so that nothing is held between two pages. */
export function pagesOfStream(
  stream: string,
  streams: LogStreams,
  reader: ServerReader,
  { from, direction = "forwards", limit = Infinity }: ReadStreamOptions,
): FetchPage<RecordedEvent> {
  const onServer = streams.onServer(stream);
  const backwards = direction === "backwards";
  let next: number | "start" | "end" = from ?? (backwards ? "end" : "start");
  let left = limit;
  let pageEvents = FIRST_PAGE_EVENTS;
  let isEnd = false;
  let isFirst = true;
  return async () => {
    if (typeof next === "number" && next < 0) {
      if (backwards) return undefined;
      next = 0;
    }
    if (isEnd || left <= 0) return undefined;
    const count = Math.min(left, pageEvents);
    let page = await reader.stream(onServer, streamRequest(onServer, next, backwards, count));
    if (isFirst && backwards && page.records.length === 0 && next !== "end") {
      // Above the stream's end; or below its beginning, which the newest event tells.
      page = await newestBelow(onServer, next, reader, count);
    }
    isFirst = false;
    const newest = page.records.at(-1);
    if (newest !== undefined) next = revisionOf(newest) + (backwards ? -1 : 1);
    left -= page.records.length;
    isEnd = page.records.length === 0 || (page.isEnd && page.records.length < count);
    pageEvents = PAGE_EVENTS;
    return page.records.map((record) => decodeEvent(record, stream));
  };
}

async function newestBelow(
  onServer: string,
  from: number | "start",
  reader: ServerReader,
  count: number,
): ReturnType<ServerReader["stream"]> {
  const page = await reader.stream(onServer, streamRequest(onServer, "end", true, count));
  const [newest] = page.records;
  const isAbove = newest !== undefined && typeof from === "number" && revisionOf(newest) < from;
  return isAbove ? page : { records: [], isEnd: true };
}
