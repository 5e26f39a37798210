import { open } from "node:fs/promises";
import type { Command } from "commander";
import { StoreError } from "../errors.ts";
import type { CliContext } from "./cli-context.ts";
import { type StoreOption, storeOption, storeUrl } from "./store-access.ts";
import { type TransferFlags, collect, printReport, runTransfer, selectionOf } from "./transfer-options.ts";

type ImportFlags = Omit<TransferFlags, "since"> & StoreOption;

export function defineImport(program: Command, context: CliContext): void {
  const command = program
    .command("import")
    .description("Append the events of an export to a store, which is made where there is none.")
    .argument("[file]", "the export; - or none: stdin", "-")
    .option("--session <name>", "only this session; may be given several times", collect)
    .option("--as <name>", "name in the store of the one session that is selected")
    .option("--json", "print one JSON document")
    .option("--quiet", "print nothing unless something is wrong");
  storeOption(command)
    .addHelpText("after", EXAMPLES)
    .action((file: string, options: ImportFlags) => importExport(file, options, context));
}

const EXAMPLES = `
A damaged line stops it: what came before is complete, and a second run goes on. What is there already is left alone.

Examples:
  $ turnlog import export.jsonl --store restored.db
  $ zcat export.jsonl.gz | turnlog import --session support-42 --as support-42-old`;

async function importExport(file: string, options: ImportFlags, context: CliContext): Promise<void> {
  const selection = await selectionOf(options);
  const [{ exportSource, transfer }, { openEventLog }] = await Promise.all([
    import("../forensics/transfer.ts"),
    import("../log/open-event-log.ts"),
  ]);
  const input = file === "-" ? context.streams.stdin : await openForReading(file);
  // Before a store is made for nothing.
  const source = await exportSource(input, selection.sessions);
  const log = await openEventLog(storeUrl(options, context.env));
  try {
    const report = await runTransfer("importing", options.quiet === true, context, (running) =>
      transfer(source, log, { ...running, as: options.as }),
    );
    if (report !== undefined) await printReport(report, options, context);
  } finally {
    await log.close();
  }
}

async function openForReading(path: string): Promise<AsyncIterable<Uint8Array>> {
  try {
    const file = await open(path, "r");
    return file.createReadStream();
  } catch (cause) {
    throw new StoreError("cannot-open", `The export ${path} cannot be read: ${String(cause)}.`, { cause });
  }
}
