import { DamageError, StateError, errorCode } from "../errors.ts";
import type { EventLog } from "../log/event-log.ts";
import {
  EXPORT_FORMAT,
  EXPORT_VERSION,
  type ExportHeader,
  eventLineOf,
  parseExportHeader,
  parseExportLine,
} from "./export-format.ts";
import { numberedLines } from "./export-format-lines.ts";
import { TransferPace, type TransferPaceOptions } from "./transfer-pace.ts";
import { type TransferSelection, logSourceTo } from "./transfer-source.ts";

/** What a file holds of an export. */
export interface ExportedSoFar {
  readonly header: ExportHeader;
  /** Its end is there. */
  readonly isWhole: boolean;
  readonly events: number;
  /** Id of the last event. */
  readonly lastId: string | undefined;
  /** Bytes up to the end of the last sound line. */
  readonly bytes: number;
}

/**
 * Lines of an export, without their line ends. Going on with one that was cut short, they are those that it lacks.
 * @throws {NotFoundError} `session-not-found`
 * @throws {StateError} `transfer-interrupted`, `export-differs` where it cannot be gone on with
 */
export async function* exportLines(
  log: EventLog,
  selection: TransferSelection,
  options: TransferPaceOptions & { resume?: ExportedSoFar | undefined } = {},
): AsyncGenerator<string> {
  const { resume } = options;
  const now = await headerOf(log, selection);
  if (resume !== undefined) checkSame(resume, now);
  const header = resume?.header ?? now;
  const source = await logSourceTo(log, header.head, selection);
  if (resume === undefined) yield JSON.stringify(header);
  const exported = resume?.events ?? 0;
  const pace = new TransferPace(header.head, options);
  for await (const event of source.events()) {
    await pace.pass(event);
    if (pace.events > exported) yield eventLineOf(event);
    else if (pace.events === exported && event.id !== resume?.lastId) throw exportDiffers();
  }
  if (pace.events < exported) throw exportDiffers();
  yield JSON.stringify({ end: true, events: pace.events });
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

function checkSame({ header, isWhole }: ExportedSoFar, now: ExportHeader): void {
  const { head: exported, ...known } = header;
  const { head, ...wanted } = now;
  if (JSON.stringify(known) !== JSON.stringify(wanted) || head < exported) throw exportDiffers();
  if (isWhole && head !== exported) {
    throw new StateError(
      "export-differs",
      `The export is whole up to position ${exported}, and the log has come to ${head} since. Export to a new file.`,
    );
  }
}

function exportDiffers(): StateError {
  return new StateError(
    "export-differs",
    "What was exported before is of another log or another selection, or the log has lost some of it since (a truncation, a purge). Export to a new file.",
  );
}

/**
 * What an export that may have been cut short holds, up to where its lines are sound.
 * @returns undefined for what has no sound header
 */
export async function readExportedSoFar(
  input: AsyncIterable<Uint8Array | string>,
): Promise<ExportedSoFar | undefined> {
  let soFar: ExportedSoFar | undefined;
  try {
    for await (const { text, number, endOffset, isTerminated } of numberedLines(input)) {
      if (!isTerminated) break;
      if (soFar === undefined) {
        const header = number === 1 && parseExportHeader(text);
        if (header === false) break;
        soFar = { header, isWhole: false, events: 0, lastId: undefined, bytes: endOffset };
        continue;
      }
      const line = parseExportLine(text, number);
      if ("end" in line) return { ...soFar, isWhole: true };
      soFar = { ...soFar, events: soFar.events + 1, lastId: line.id, bytes: endOffset };
    }
  } catch (error) {
    // Cut here: the rest is exported again.
    if (!(error instanceof DamageError) || errorCode(error) === "newer-export") throw error;
  }
  return soFar;
}
