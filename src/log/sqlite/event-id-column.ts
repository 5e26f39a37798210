import type { JsonValue } from "../event-log.ts";
import { decodeColumn, decodeIntegers, encodeColumn } from "./column.ts";

/**
 * Event ids as columns. Ids made of a prefix and a counter (`xxxxxxxx-xxxx-xxxx-xxxx-` and 12 hexadecimal digits)
 * become `[prefixes, prefix of each, counter of each]`, mostly a run; others stay as they are.
 */

const PREFIX_LENGTH = 24;
const COUNTER_LENGTH = 12;
const UUID_LENGTH = PREFIX_LENGTH + COUNTER_LENGTH;

/** Encodes the ids of at least one event. */
export function encodeEventIds(events: readonly { readonly id: string }[]): JsonValue {
  const prefixes: string[] = [];
  const prefixIndexes: number[] = [];
  const counters: number[] = [];
  let prefix: string | undefined;
  let prefixIndex = -1;
  // Random ids have as many prefixes as ids: not worth a column.
  const mostPrefixes = 4 + (events.length >> 3);
  for (const { id } of events) {
    if (prefix === undefined || !id.startsWith(prefix)) {
      prefix = id.slice(0, PREFIX_LENGTH);
      prefixIndex = prefixes.indexOf(prefix);
      if (prefixIndex === -1) prefixIndex = prefixes.push(prefix) - 1;
      if (prefixIndex >= mostPrefixes) return events.map((event) => event.id);
    }
    if (id.length !== UUID_LENGTH) return events.map((event) => event.id);
    prefixIndexes.push(prefixIndex);
    counters.push(Number.parseInt(id.slice(PREFIX_LENGTH), 16));
  }
  return [prefixes, encodeColumn(prefixIndexes), encodeColumn(counters)];
}

/** @throws {Error} where the JSON is no column of `count` ids. */
export function decodeEventIds(encoded: JsonValue, count: number): string[] {
  if (!Array.isArray(encoded)) throw new Error("the ids are no array");
  if (!Array.isArray(encoded[0])) {
    if (encoded.length !== count || !encoded.every((id) => typeof id === "string"))
      throw new Error("an id is missing");
    return encoded;
  }
  const prefixes = encoded[0];
  const prefixIndexes = decodeColumn(encoded[1], count);
  const counters = decodeIntegers(encoded[2], count);
  return counters.map((counter, index) => {
    const prefix = prefixes[Number(prefixIndexes.same ? prefixIndexes.value : prefixIndexes.values[index])];
    if (typeof prefix !== "string") throw new Error("an id has no prefix");
    return prefix + counter.toString(16).padStart(COUNTER_LENGTH, "0");
  });
}
