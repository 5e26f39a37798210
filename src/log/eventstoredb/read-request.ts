import type * as streamsPb from "@eventstore/db-client/generated/streams_pb.js";
import sharedMessages from "@eventstore/db-client/generated/shared_pb.js";
import streamsMessages from "@eventstore/db-client/generated/streams_pb.js";
import { streamIdentifier } from "./append-pipe.ts";

/** Events that the server looks at for one of its own pages; with the default of 32 a sparse log is slow to read. */
const SEARCH_WINDOW = 4_096;
/** A checkpoint comes after so many windows without a match. */
const CHECKPOINT_WINDOWS = 1;

export type ReadRequest = streamsPb.ReadReq;

/** @param from a revision, inclusive, or an end of the stream */
export function streamRequest(
  stream: string,
  from: number | "start" | "end",
  backwards: boolean,
  count: number,
): ReadRequest {
  const place = new streamsMessages.ReadReq.Options.StreamOptions();
  place.setStreamIdentifier(streamIdentifier(stream));
  if (from === "start") place.setStart(new sharedMessages.Empty());
  else if (from === "end") place.setEnd(new sharedMessages.Empty());
  else place.setRevision(String(from));
  const options = commonOptions(backwards);
  options.setStream(place);
  options.setNoFilter(new sharedMessages.Empty());
  options.setCount(String(count));
  return request(options);
}

/**
 * A read of `$all`. The client's own `readAll` leaves the filter out; the server honours it.
 *
 * @param from a position, inclusive, or an end of `$all`
 * @param prefix of the names of the streams
 */
export function allRequest(
  from: number | "start" | "end",
  prefix: string,
  backwards: boolean,
  count: number,
): ReadRequest {
  const options = commonOptions(backwards);
  options.setAll(allPlace(from));
  options.setFilter(prefixFilter(prefix));
  options.setCount(String(count));
  return request(options);
}

/** @param after a position, exclusive */
export function subscriptionRequest(after: number | "start", prefix: string): ReadRequest {
  const options = commonOptions(false);
  options.setAll(allPlace(after));
  options.setFilter(prefixFilter(prefix));
  options.setSubscription(new streamsMessages.ReadReq.Options.SubscriptionOptions());
  return request(options);
}

function allPlace(from: number | "start" | "end"): streamsPb.ReadReq.Options.AllOptions {
  const place = new streamsMessages.ReadReq.Options.AllOptions();
  if (from === "start") place.setStart(new sharedMessages.Empty());
  else if (from === "end") place.setEnd(new sharedMessages.Empty());
  else {
    const position = new streamsMessages.ReadReq.Options.Position();
    position.setCommitPosition(String(from));
    position.setPreparePosition(String(from));
    place.setPosition(position);
  }
  return place;
}

/**
 * An expression, not the server's own prefix filter: that one compares as people sort words, so that "e" does not
 * begin "e\u0301", and other characters count for nothing.
 */
function prefixFilter(prefix: string): streamsPb.ReadReq.Options.FilterOptions {
  const expression = new streamsMessages.ReadReq.Options.FilterOptions.Expression();
  expression.setRegex(`^${prefix.replace(/[\x20-\x7e]/g, escapeInExpression)}`);
  const filter = new streamsMessages.ReadReq.Options.FilterOptions();
  filter.setStreamIdentifier(expression);
  filter.setMax(SEARCH_WINDOW);
  filter.setCheckpointintervalmultiplier(CHECKPOINT_WINDOWS);
  return filter;
}

function escapeInExpression(character: string): string {
  return /\w/.test(character) ? character : `\\${character}`;
}

function commonOptions(backwards: boolean): streamsPb.ReadReq.Options {
  const options = new streamsMessages.ReadReq.Options();
  const ids = new streamsMessages.ReadReq.Options.UUIDOption();
  ids.setString(new sharedMessages.Empty());
  options.setUuidOption(ids);
  options.setResolveLinks(false);
  options.setReadDirection(backwards ? 1 : 0);
  return options;
}

function request(options: streamsPb.ReadReq.Options): ReadRequest {
  const message = new streamsMessages.ReadReq();
  message.setOptions(options);
  return message;
}
