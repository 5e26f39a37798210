import { TurnlogError } from "../errors.ts";
import { MESSAGE_IDS_STREAM, isSelfContained, sessionOfStream } from "../events/conversation-event.ts";
import type { RecordedEvent } from "../log/event-log.ts";
import { EventIdSet } from "./event-id-set.ts";
import { damagedExport, parseExportHeader, parseExportLine } from "./export-format.ts";
import { type NumberedLine, numberedLines } from "./export-format-lines.ts";
import { checkSessionId } from "../store/message-input.ts";
import { type TransferSource, sessionNotFound } from "./transfer-source.ts";

/**
 * An export to import from. Its header is read at once, its events as they are asked for, once.
 * @param sessions only these, and the streams of all writers
 * @throws {DamageError} `damaged-export`, `newer-export`; its events, naming the line, `damaged-export`, and
 *   `session-not-found` (NotFoundError) behind the last where a session asked for is not in it
 */
export async function exportSource(
  input: AsyncIterable<Uint8Array | string>,
  sessions?: readonly string[],
): Promise<TransferSource> {
  const lines = numberedLines(input);
  const first = await lines.next();
  if (first.done === true || first.value.number !== 1) throw damagedExport(1, "it is empty");
  const { logId, head } = parseExportHeader(first.value.text);
  return { logId, head, events: () => selected(soundEvents(lines), sessions) };
}

async function* selected(
  events: AsyncIterable<RecordedEvent>,
  sessions: readonly string[] | undefined,
): AsyncGenerator<RecordedEvent> {
  if (sessions === undefined) return yield* events;
  const missing = new Set(sessions);
  const wanted = new Set(sessions);
  for await (const event of events) {
    const sessionId = sessionOfStream(event.stream);
    if (sessionId !== undefined && !wanted.has(sessionId)) continue;
    if (sessionId !== undefined) missing.delete(sessionId);
    yield event;
  }
  const [sessionId] = missing;
  if (sessionId !== undefined) throw sessionNotFound(sessionId, "export");
}

/** Events of an export's lines, each stream's without gaps, up to an end that counts them. */
async function* soundEvents(lines: AsyncGenerator<NumberedLine>): AsyncGenerator<RecordedEvent> {
  const order = new ExportOrder();
  let number = 1;
  for await (const line of lines) {
    number = line.number;
    const parsed = parseExportLine(line.text, number);
    if ("end" in parsed) {
      if (parsed.events !== order.events)
        throw damagedExport(number, `it counts ${parsed.events} events, and ${order.events} came before it`);
      const after = await lines.next();
      if (after.done !== true) throw damagedExport(after.value.number, "it comes behind the end");
      return;
    }
    order.check(parsed, number);
    yield parsed;
  }
  throw damagedExport(number + 1, 'it is missing: the export is cut short, its last line is {"end":true,…}');
}

/** What must hold between the lines. */
class ExportOrder {
  events = 0;
  readonly #revisions = new Map<string, number>();
  readonly #ids = new EventIdSet();
  #isPastIds = false;

  check({ stream, revision, type, id }: RecordedEvent, line: number): void {
    const before = this.#revisions.get(stream);
    if (before === undefined) checkName(stream, line);
    const isNext = before === undefined ? revision === 0 || isSelfContained(type) : revision === before + 1;
    if (!isNext) {
      const expected = before === undefined ? 0 : before + 1;
      throw damagedExport(
        line,
        `stream ${JSON.stringify(stream)} goes on with revision ${revision} instead of ${expected}: lines are missing`,
      );
    }
    if (!this.#ids.add(id)) throw damagedExport(line, `an event before it has the same id, ${id}`);
    // Whether ids can be kept is decided by the whole of it.
    if (stream !== MESSAGE_IDS_STREAM) this.#isPastIds = true;
    else if (this.#isPastIds) throw damagedExport(line, `stream "${stream}" comes before all others`);
    this.#revisions.set(stream, revision);
    this.events += 1;
  }
}

function checkName(stream: string, line: number): void {
  const sessionId = sessionOfStream(stream);
  try {
    if (sessionId !== undefined) checkSessionId(sessionId);
  } catch (cause) {
    if (!TurnlogError.isInstance(cause)) throw cause;
    throw damagedExport(line, cause.message, cause);
  }
}
