import { createReadStream } from "node:fs";
import { type FileHandle, open } from "node:fs/promises";
import type { Command } from "commander";
import { InvalidInputError, StoreError } from "../errors.ts";
import type { ExportedSoFar, TransferOptions, TransferSelection } from "../forensics/transfer.ts";
import type { EventLog } from "../log/event-log.ts";
import type { CliContext } from "./cli-context.ts";
import { plural } from "./figures.ts";
import { type StoreOption, storeOption, storeUrl } from "./store-access.ts";
import { type TransferFlags, collect, runTransfer, selectionOf } from "./transfer-options.ts";
import { terminalJson } from "./terminal-text.ts";

type ExportFlags = Omit<TransferFlags, "as" | "json"> & StoreOption & { out?: string };

export function defineExport(program: Command, context: CliContext): void {
  const command = program
    .command("export")
    .description("Write the log's events as JSON lines: a header, one event a line, an end.")
    .option("--out <file>", "write to this file, and go on with it where it was cut short (default: stdout)")
    .option("--session <name>", "only this session; may be given several times", collect)
    .option("--since <time>", "only sessions with an event since then: an ISO time, or 5m-ago (s, m, h, d)")
    .option("--quiet", "print no progress");
  storeOption(command)
    .addHelpText("after", EXAMPLES)
    .action((options: ExportFlags) => exportEvents(options, context));
}

const EXAMPLES = `
Examples:
  $ turnlog export --out export.jsonl
  $ turnlog export --session support-42 | gzip > support-42.jsonl.gz`;

async function exportEvents(options: ExportFlags, context: CliContext): Promise<void> {
  const selection = await selectionOf(options);
  const [{ exportLines }, { openEventLog }] = await Promise.all([
    import("../forensics/transfer.ts"),
    import("../log/open-event-log.ts"),
  ]);
  const log = await openEventLog(storeUrl(options, context.env), { readOnly: true });
  const { out, file } = { out: context.out, file: options.out };
  try {
    await runTransfer("exporting", options.quiet === true, context, async (running) => {
      if (file !== undefined) return exportToFile(file, log, selection, { ...running }, options, context);
      // The same JSON, without what could act on a terminal.
      for await (const line of exportLines(log, selection, running))
        await out.line(terminalJson(JSON.parse(line)));
    });
  } finally {
    await log.close();
  }
}

/** Lines that are written at a time, in UTF-16 units. */
const WRITTEN_UNITS = 262_144;

async function exportToFile(
  path: string,
  log: EventLog,
  selection: TransferSelection,
  running: TransferOptions,
  { quiet }: ExportFlags,
  { out }: CliContext,
): Promise<void> {
  const { exportLines } = await import("../forensics/transfer.ts");
  const before = await exportedSoFar(path);
  if (before?.state === "whole") {
    if (quiet !== true)
      await out.line(`The export is whole already: ${plural(before.soFar.events, "event")}.`);
    return;
  }
  const file = await openForWriting(path);
  let events = before?.soFar.events ?? 0;
  try {
    await file.truncate(before?.bytes ?? 0);
    let position = before?.bytes ?? 0;
    let text = "";
    const write = async (): Promise<void> => {
      const bytes = Buffer.from(text);
      text = "";
      for (let written = 0; written < bytes.length;) {
        const { bytesWritten } = await file.write(bytes, written, bytes.length - written, position);
        written += bytesWritten;
        position += bytesWritten;
      }
    };
    try {
      for await (const line of exportLines(log, selection, { ...running, resume: before?.soFar })) {
        text += `${line}\n`;
        events += 1;
        if (text.length >= WRITTEN_UNITS) await write();
      }
    } finally {
      await write();
      await file.sync();
    }
  } finally {
    await file.close();
  }
  if (quiet !== true) await out.line(`${plural(events - (before === undefined ? 2 : 1), "event")} exported.`);
}

/** @throws {InvalidInputError} `not-an-export` for a file that holds something else: it is not overwritten */
async function exportedSoFar(
  path: string,
): Promise<{ state: "whole" | "cut"; soFar: ExportedSoFar; bytes: number } | undefined> {
  const { readExportedSoFar } = await import("../forensics/transfer.ts");
  let size: number;
  let file: FileHandle;
  try {
    file = await open(path, "r");
  } catch (error) {
    if ((error as { code?: unknown }).code === "ENOENT") return undefined;
    throw cannotWrite(path, error);
  }
  try {
    ({ size } = await file.stat());
  } finally {
    await file.close();
  }
  if (size === 0) return undefined;
  const before = await readExportedSoFar(createReadStream(path));
  if (before !== undefined) return before;
  throw new InvalidInputError("not-an-export", `${path} is there and is no export; it was not overwritten.`);
}

async function openForWriting(path: string): Promise<FileHandle> {
  try {
    return await open(path, "a+").then(async (file) => {
      // Not in append mode: what was cut short is overwritten.
      await file.close();
      return open(path, "r+");
    });
  } catch (error) {
    throw cannotWrite(path, error);
  }
}

function cannotWrite(path: string, cause: unknown): StoreError {
  return new StoreError("cannot-open", `The export ${path} cannot be written: ${String(cause)}.`, { cause });
}
