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

/** Decoded ids. A string is made when it is asked for: most ids of a row that is read are not needed for long. */
export interface EventIds {
  at(index: number): string;
}

/** @throws {Error} where the JSON is no column of `count` ids. */
export function decodeEventIds(encoded: JsonValue, count: number): EventIds {
  if (!Array.isArray(encoded)) throw new Error("the ids are no array");
  const [prefixes] = encoded;
  if (Array.isArray(prefixes)) return prefixedIds(prefixes, encoded[1], encoded[2], count);
  const ids = encoded;
  if (ids.length !== count || !ids.every((id) => typeof id === "string")) throw new Error("an id is missing");
  return { at: (index) => ids[index] ?? "" };
}

function prefixedIds(
  prefixes: readonly JsonValue[],
  encodedIndexes: JsonValue | undefined,
  encodedCounters: JsonValue | undefined,
  count: number,
): EventIds {
  const indexes = decodeColumn(encodedIndexes, count);
  const counters = decodeIntegers(encodedCounters, count);
  const isKnown = (index: unknown): boolean => typeof prefixes[Number(index)] === "string";
  if (indexes.same ? !isKnown(indexes.value) : !indexes.values.every(isKnown))
    throw new Error("an id has no prefix");
  return {
    at: (index) => {
      const prefix = prefixes[Number(indexes.same ? indexes.value : indexes.values[index])];
      return String(prefix) + (counters[index] ?? 0).toString(16).padStart(COUNTER_LENGTH, "0");
    },
  };
}
