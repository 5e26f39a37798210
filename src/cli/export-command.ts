import type { Command } from "commander";
import type { CliContext } from "./cli-context.ts";
import { exportToFile } from "./export-file.ts";
import { count, plural } from "./figures.ts";
import { type StoreOption, storeOption, storeUrl } from "./store-access.ts";
import { type TransferFlags, collect, runTransfer, selectionOf } from "./transfer-options.ts";
import { terminalJson, terminalJsonText } from "./terminal-text.ts";

type ExportFlags = Omit<TransferFlags, "as"> & StoreOption & { out?: string };

export function defineExport(program: Command, context: CliContext): void {
  const command = program
    .command("export")
    .description("Write the log's events as JSON lines: a header, one event a line, an end.")
    .option("--out <file>", "write to this file, and go on with it where it was cut short (default: stdout)")
    .option("--session <name>", "only this session; may be given several times", collect)
    .option("--since <time>", "only sessions with an event since then: an ISO time, or 5m-ago (s, m, h, d)")
    .option("--json", "with --out: print one JSON document about it")
    .option("--quiet", "print nothing unless something is wrong");
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
  const { out } = context;
  const { out: path } = options;
  try {
    const exported = await runTransfer("exporting", options.quiet === true, context, async (pace) => {
      if (path !== undefined)
        return exportToFile(path, (resume) => exportLines(log, selection, { ...pace, resume }));
      for await (const line of exportLines(log, selection, pace)) await out.line(terminalJsonText(line));
      return undefined;
    });
    if (exported === undefined) return;
    if (options.json === true) return await out.line(terminalJson(exported));
    if (options.quiet === true) return;
    const there = exported.alreadyThere === 0 ? "" : `; ${count(exported.alreadyThere)} were there already`;
    await out.line(`${plural(exported.exported, "event")} exported${there}.`);
  } finally {
    await log.close();
  }
}
