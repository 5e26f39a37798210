import { stat } from "node:fs/promises";
import { conversationStream } from "../../events/conversation-event.ts";
import { eventCodec } from "../../events/event-codec.ts";
import { applySplices } from "../../events/text-splice.ts";
import type { EventLog } from "../../log/event-log.ts";
import { firstSplicesOf } from "../../projections/point.ts";

export interface SnapshotCost {
  /** Deltas and other changes of contents: each would have been one write. */
  writes: number;
  /** UTF-8 bytes. */
  bytes: number;
}

/** What a store that saves a message's whole content at each change would have written for this session. */
export async function snapshotCost(log: EventLog, sessionId: string): Promise<SnapshotCost> {
  const contents = new Map<number, string>();
  const cost: SnapshotCost = { writes: 0, bytes: 0 };
  const save = (content: string): void => {
    cost.writes++;
    cost.bytes += Buffer.byteLength(content);
  };
  for await (const recorded of log.readStream(conversationStream(sessionId))) {
    const event = eventCodec.decode(recorded);
    if (event?.type === "MessageSaved" || event?.type === "AssistantStubAppended") {
      contents.set(event.data.messageId, event.data.content);
      save(event.data.content);
    }
    if (event?.type !== "BranchesUpdated" || event.data.content === undefined) continue;
    const { messageId, content: splices, marks = [] } = event.data;
    const before = contents.get(messageId) ?? "";
    for (let count = 1; count < marks.length; count++) {
      save(applySplices(before, firstSplicesOf(splices, marks, count)));
    }
    const after = applySplices(before, splices);
    contents.set(messageId, after);
    save(after);
  }
  return cost;
}

/** Bytes of a closed store's files on disk. */
export async function fileBytes(path: string): Promise<number> {
  const sizes = await Promise.all(
    [path, `${path}-wal`].map((file) =>
      stat(file).then(
        ({ size }) => size,
        () => 0, // A closed store has no -wal as a rule.
      ),
    ),
  );
  return sizes.reduce((sum, size) => sum + size, 0);
}
