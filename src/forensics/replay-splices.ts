import type { Mark, Splice } from "../events/conversation-event.ts";

/** What one delta did to a content. */
export interface DeltaSplices {
  /** Ms since the delta before; of the first since the event's time. */
  afterMs: number;
  splices: Splice[];
}

/**
 * An update's splices, delta by delta: neighbours that continued each other became one splice, so a splice is cut where
 * its marks end. The first n together are `firstSplicesOf(…, n)`. Without marks all of it is one delta.
 */
export function splitByMarks(splices: readonly Splice[], marks: readonly Mark[]): DeltaSplices[] {
  if (marks.length === 0) return [{ afterMs: 0, splices: [...splices] }];
  const deltas = marks.map(([afterMs]): DeltaSplices => ({ afterMs, splices: [] }));
  const last = marks.length - 1;
  let next = 0;
  for (const [at, del, ins] of splices) {
    let from = 0;
    let isBegun = false;
    do {
      const index = Math.min(next++, last);
      // The last mark takes whatever is left.
      const units = index === last ? Infinity : (marks[index]?.[1] ?? 0);
      const piece = ins.slice(from, from + units);
      const deleted = isBegun ? 0 : del;
      if (deleted > 0 || piece !== "") deltas[index]?.splices.push([at + from, deleted, piece]);
      isBegun = true;
      from += piece.length;
    } while (from < ins.length);
  }
  return deltas;
}
