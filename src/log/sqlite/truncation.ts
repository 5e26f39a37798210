import type { CommittedState } from "./committed-state.ts";
import type { Packer } from "./packing.ts";
import { decodePackedRow, encodeHotRow, encodePackedRow } from "./stored-rows.ts";

/**
 * Removes a stream's events below `before`, but never its newest, so that no live row holds their text. Works
 * inside the caller's write transaction.
 */
export function truncateStream(state: CommittedState, packer: Packer, stream: string, before: number): void {
  const keptFrom = Math.min(before, state.head(stream));
  const { tables } = state;
  const oldest = tables.stream(stream)?.firstRevision ?? 0;
  if (keptFrom <= oldest) return;
  const row = packer.pack(stream);
  if (row === undefined) return;
  removePackedBelow(state, row.id, stream, keptFrom);
  tables.updateStream({ ...row, firstRevision: keptFrom });
  removeFromHotRows(state, stream);
  packer.hasDroppedRows = false;
  // Other processes must not show what they remember of these rows, nor this one.
  tables.setState({
    highestPosition: state.highestPosition,
    recordedAt: state.recordedAt,
    hotGeneration: state.hotGeneration + 1,
  });
  state.invalidate();
}

function removePackedBelow(state: CommittedState, streamId: number, stream: string, keptFrom: number): void {
  const { tables } = state;
  for (;;) {
    const row = tables.packedFrom(streamId, 0);
    if (row === undefined || row.firstRevision >= keptFrom) return;
    tables.deletePacked(row.firstPosition);
    if (row.firstRevision + row.count <= keptFrom) continue;
    const run = decodePackedRow(stream, row);
    const kept = Array.from({ length: run.count }, (_, index) => index)
      .filter((index) => row.firstRevision + index >= keptFrom)
      .map((index) => run.storedEvent(index));
    tables.insertPacked(streamId, encodePackedRow(kept));
  }
}

/** All of the stream is packed by now: what hot rows still hold of it are spent copies. */
function removeFromHotRows(state: CommittedState, stream: string): void {
  for (const row of state.hot.rowsHolding(stream)) {
    const kept = row.events.filter((event) => event.stream !== stream);
    if (kept.length === 0) state.tables.deleteHot(row.position);
    else state.tables.replaceHot(encodeHotRow(kept, row.position));
  }
}
