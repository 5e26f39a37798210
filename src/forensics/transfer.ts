import { setImmediate as nextTick } from "node:timers/promises";
import { DamageError, StateError } from "../errors.ts";
import { MESSAGE_IDS_STREAM, conversationStream, sessionOfStream } from "../events/conversation-event.ts";
import type { EventLog, RecordedEvent } from "../log/event-log.ts";
import {
  EXPORT_FORMAT,
  EXPORT_VERSION,
  type ExportHeader,
  damagedExport,
  eventLineOf,
  parseExportLine,
} from "./export-format.ts";
import { numberedLines } from "./export-format-lines.ts";
import { type TransferSelection, type TransferSource, eventsOf, sourceOf } from "./transfer-source.ts";
import { TransferTarget } from "./transfer-target.ts";

export type { TransferSelection } from "./transfer-source.ts";
export type { ExportHeader } from "./export-format.ts";

export interface TransferProgress {
  /** Events seen. */
  events: number;
  /** Position in the source, and up to where it goes. */
  position: number;
  head: number;
}

export interface TransferOptions {
  onProgress?: ((progress: TransferProgress) => void) | undefined;
  /** Stops in an orderly way: the same call goes on from there. */
  signal?: AbortSignal | undefined;
}

export interface ReceiveOptions extends TransferOptions {
  /** Another name for the session that comes; only one may. */
  as?: string | undefined;
}

export interface TransferReport {
  sourceLogId: string;
  targetLogId: string;
  /** Events that the source holds, of those selected. */
  events: number;
  /** Of those, how many were appended now; the others were there already. */
  appended: number;
  sessions: number;
  /** Sessions whose messages have new ids, by their names in the target. */
  renewedSessions: string[];
}

const EVENTS_A_REPORT = 1_000;

/** Counts what passes, reports it, and lets others have their turn. */
class Passing {
  events = 0;
  readonly #head: number;
  readonly #options: TransferOptions;

  constructor(head: number, options: TransferOptions) {
    this.#head = head;
    this.#options = options;
  }

  async pass({ position }: RecordedEvent): Promise<void> {
    this.events += 1;
    if (this.events % EVENTS_A_REPORT !== 0) return;
    this.#options.onProgress?.({ events: this.events, position, head: this.#head });
    await nextTick();
  }

  get isAborted(): boolean {
    return this.#options.signal?.aborted === true;
  }

  interrupted(): StateError {
    return new StateError(
      "transfer-interrupted",
      "It was interrupted. What was copied is complete; run it again to go on.",
      { cause: this.#options.signal?.reason },
    );
  }
}

/** Where an export that was cut short ended. */
export interface ExportedSoFar {
  readonly header: ExportHeader;
  readonly events: number;
  /** Id of the last event. */
  readonly lastId: string | undefined;
}

/**
 * Lines of an export, without their line ends. Going on with one that was cut short, they are those that it lacks.
 * @throws {NotFoundError} `session-not-found`
 * @throws {StateError} `transfer-interrupted`, `export-differs` where the log no longer has what was exported
 */
export async function* exportLines(
  log: EventLog,
  selection: TransferSelection,
  options: TransferOptions & { resume?: ExportedSoFar | undefined } = {},
): AsyncGenerator<string> {
  const { resume } = options;
  const header = resume?.header ?? (await headerOf(log, selection));
  if (resume !== undefined) checkSame(header, await headerOf(log, selection));
  else yield JSON.stringify(header);
  const passing = new Passing(header.head, options);
  for await (const event of eventsOf(log, header.head, selection)) {
    await passing.pass(event);
    if (passing.isAborted) throw passing.interrupted();
    if (passing.events > (resume?.events ?? 0)) yield eventLineOf(event);
    else if (passing.events === resume?.events && event.id !== resume.lastId) throw exportDiffers();
  }
  if (passing.events < (resume?.events ?? 0)) throw exportDiffers();
  yield JSON.stringify({ end: true, events: passing.events });
}

async function headerOf(log: EventLog, { sessions, since }: TransferSelection): Promise<ExportHeader> {
  return {
    format: EXPORT_FORMAT,
    version: EXPORT_VERSION,
    logId: log.logId,
    head: await log.head(),
    sessions: sessions ?? null,
    since: since ?? null,
  };
}

function checkSame(exported: ExportHeader, now: ExportHeader): void {
  const { head: _, ...known } = exported;
  const { head, ...wanted } = now;
  if (JSON.stringify(known) !== JSON.stringify(wanted) || head < exported.head) throw exportDiffers();
}

function exportDiffers(): StateError {
  return new StateError(
    "export-differs",
    "What was exported before is of another log or another selection, or the log has lost some of it since (a truncation, a purge). Export to a new file.",
  );
}

/**
 * What an export that may have been cut short holds: "whole", or up to where its lines are sound.
 * @returns undefined for one without a sound header
 */
export async function readExportedSoFar(
  input: AsyncIterable<Uint8Array | string>,
): Promise<{ state: "whole" | "cut"; soFar: ExportedSoFar; bytes: number } | undefined> {
  let header: ExportHeader | undefined;
  let events = 0;
  let lastId: string | undefined;
  let bytes = 0;
  try {
    for await (const { text, number, offset, isTerminated } of numberedLines(input)) {
      if (!isTerminated) break;
      const line = parseExportLine(text, number);
      if ("format" in line) header = line;
      else if (header === undefined) return undefined;
      else if ("end" in line) return { state: "whole", soFar: { header, events, lastId }, bytes };
      else {
        events += 1;
        lastId = line.id;
      }
      bytes = offset + Buffer.byteLength(text) + 1;
    }
  } catch (error) {
    if (!(error instanceof DamageError)) throw error;
    // Cut here: the rest is exported again.
  }
  return header && { state: "cut", soFar: { header, events, lastId }, bytes };
}

/**
 * Appends an export's events to a log. A damaged line stops it: what came before is complete, and once the export is
 * mended the same call goes on.
 * @param sessions only these, and the streams of all writers
 * @throws {DamageError} `damaged-export` naming the line, `newer-export`
 * @throws {StateError} `session-differs`, `stream-differs`, `target-changed`, `transfer-interrupted`
 */
export async function importLines(
  log: EventLog,
  input: AsyncIterable<Uint8Array | string>,
  options: ReceiveOptions & { sessions?: readonly string[] | undefined } = {},
): Promise<TransferReport> {
  const lines = numberedLines(input);
  const first = await lines.next();
  if (first.done === true) throw damagedExport(1, "there is none");
  const header = parseExportLine(first.value.text, first.value.number) as ExportHeader;
  const source = { logId: header.logId, head: header.head, events: () => importedEvents(lines) };
  return receive(log, source, options, options.sessions);
}

/** Events of an export's lines, each stream's without gaps. */
async function* importedEvents(lines: ReturnType<typeof numberedLines>): AsyncGenerator<RecordedEvent> {
  const revisions = new Map<string, number>();
  let events = 0;
  let number = 1;
  for await (const { text, number: line } of lines) {
    number = line;
    const parsed = parseExportLine(text, line);
    if ("format" in parsed) throw damagedExport(line, "it is a second header");
    if ("end" in parsed) {
      if (parsed.events !== events)
        throw damagedExport(line, `it counts ${parsed.events} events, and ${events} came before it`);
      return;
    }
    checkRevision(parsed, revisions.get(parsed.stream), line);
    revisions.set(parsed.stream, parsed.revision);
    events += 1;
    yield parsed;
  }
  throw damagedExport(number + 1, 'the export ends without its last line, {"end":true,…}: it has been cut');
}

/** Events that a truncated stream may begin with. */
const SELF_CONTAINED: ReadonlySet<string> = new Set(["SessionDeleted", "WriterStarted", "WriterHeartbeat"]);

function checkRevision(
  { stream, revision, type }: RecordedEvent,
  before: number | undefined,
  line: number,
): void {
  if (before === undefined ? revision === 0 || SELF_CONTAINED.has(type) : revision === before + 1) return;
  const expected = before === undefined ? 0 : before + 1;
  throw damagedExport(
    line,
    `stream "${stream}" goes on with revision ${revision} instead of ${expected}: lines are missing`,
  );
}

/**
 * Copies a log's events into another one. May be called again: it goes on, and copies what has come since.
 * @throws {NotFoundError} `session-not-found`
 * @throws {StateError} `session-differs`, `stream-differs`, `target-changed`, `transfer-interrupted`
 */
export async function copyLog(
  from: EventLog,
  to: EventLog,
  selection: TransferSelection,
  options: ReceiveOptions = {},
): Promise<TransferReport> {
  return receive(to, await sourceOf(from, selection), options);
}

async function receive(
  log: EventLog,
  source: TransferSource,
  options: ReceiveOptions,
  sessions?: readonly string[],
): Promise<TransferReport> {
  const target = new TransferTarget(log, { sourceLogId: source.logId, as: options.as });
  const passing = new Passing(source.head, options);
  const wanted = sessions && new Set(sessions.map(conversationStream));
  try {
    try {
      for await (const event of source.events()) {
        await passing.pass(event);
        if (passing.isAborted) throw passing.interrupted();
        const isOther = sessionOfStream(event.stream) !== undefined && wanted?.has(event.stream) === false;
        if (!isOther || event.stream === MESSAGE_IDS_STREAM) await target.take(event);
      }
    } catch (error) {
      // What came before a damaged line is complete, also where something else fails then.
      await target.flush();
      throw error;
    }
    await target.finish();
  } finally {
    await target.close();
  }
  return {
    sourceLogId: source.logId,
    targetLogId: log.logId,
    events: passing.events,
    appended: target.appended,
    sessions: target.sessions,
    renewedSessions: [...target.renewedSessions],
  };
}
