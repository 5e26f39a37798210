import { randomUUID } from "node:crypto";
import type { JsonValue } from "../event-log.ts";
import type { Lifetime } from "./lifetime.ts";
import { streamRequest } from "./read-request.ts";
import type { ServerReader } from "./server-reader.ts";
import type { StreamAppender } from "./stream-appender.ts";
import { jsonMessage, jsonOf, revisionOf } from "./wire-event.ts";

/** The server's key for the oldest revision of a stream that is left. */
const TRUNCATE_BEFORE = "$tb";

/**
 * Tells the server that the stream begins at revision `before`; at its next scavenge it removes what is below. The
 * rest of the stream's metadata, as an operator may have set it, stays.
 */
export async function truncateOnServer(
  stream: string,
  before: number,
  reader: ServerReader,
  appender: StreamAppender,
  lifetime: Lifetime,
): Promise<void> {
  const metastream = `$$${stream}`;
  for (;;) {
    const { records } = await reader.stream(metastream, streamRequest(metastream, "end", true, 1));
    const [newest] = records;
    const known = newest === undefined ? {} : metadataOf(jsonOf(newest));
    const current = known[TRUNCATE_BEFORE];
    if (typeof current === "number" && current >= before) return;
    const message = jsonMessage(randomUUID(), "$metadata", { ...known, [TRUNCATE_BEFORE]: before });
    const expected = newest === undefined ? "no-stream" : revisionOf(newest);
    const answer = await appender.append(
      { stream: metastream, messages: [message], expected },
      reader.patience,
      lifetime,
    );
    // On a conflict somebody else has set metadata meanwhile, which must stay too.
    if (answer.ok) return;
  }
}

function metadataOf(data: JsonValue | undefined): { [key: string]: JsonValue } {
  return typeof data === "object" && data !== null && !Array.isArray(data) ? data : {};
}
