import type { RecordedEvent } from "./event-log.ts";

/** What stands at one place of an event's JSON: nothing nested. */
export type Leaf = string | number | boolean | null;

/** The values that some events have at one place: one for all, or one for each. */
export type ColumnValues =
  { readonly same: true; readonly value: Leaf } | { readonly same: false; readonly values: readonly Leaf[] };

/** Those events of a run that have the same type and the same keys. */
export interface ColumnGroup {
  /**
   * JSON of `[type, data, metadata]` of any of them, with 0 in the place of each plain value (a leaf), and 1 where a value
   * is kept as JSON text.
   */
  readonly structure: string;
  /** Of each leaf, in the order in which they stand in `structure`. */
  readonly columns: readonly ColumnValues[];
}

/**
 * Events of one stream, in order and without a gap, as an engine has them that keeps them by column: for readers who can
 * do with columns what they would do with each event.
 */
export interface EventColumns {
  readonly stream: string;
  readonly count: number;
  /** Revision of the first. */
  readonly firstRevision: number;
  /** Rising. */
  readonly positions: readonly number[];
  id(index: number): string;
  group(index: number): ColumnGroup;
  /** An event's place among those of its group. */
  rank(index: number): number;
  /** The event, put together. */
  recordedEvent(index: number): RecordedEvent;
}

/** The value that the event at `rank` of a group has in a column. */
export function valueAt(column: ColumnValues | undefined, rank: number): Leaf | undefined {
  if (column === undefined) return undefined;
  return column.same ? column.value : column.values[rank];
}
