import type { Command } from "commander";
import type { CliContext } from "./cli-context.ts";
import { type TransferFlags, collect, printReport, runTransfer, selectionOf } from "./transfer-options.ts";

export function defineCopy(program: Command, context: CliContext): void {
  program
    .command("copy")
    .description("Copy a store's events into another store, of the same kind or another.")
    .argument("<from>", "path or URL of the store to read")
    .argument("<to>", "path or URL of the store to write; made where there is none")
    .option("--session <name>", "only this session; may be given several times", collect)
    .option("--since <time>", "only sessions with an event since then: an ISO time, or 5m-ago (s, m, h, d)")
    .option("--as <name>", "name in the target of the one session that is selected")
    .option("--json", "print one JSON document")
    .option("--quiet", "print nothing unless something is wrong")
    .addHelpText("after", EXAMPLES)
    .action((from: string, to: string, options: TransferFlags) => copy(from, to, options, context));
}

const EXAMPLES = `
Times and ids are kept; where the target has given out message ids of its own, messages get new ones. A second run goes
on, and copies what has come since. A session of that name with another history is refused.

Examples:
  $ turnlog copy turnlog.db backup.db
  $ turnlog copy turnlog.db 'esdb://localhost:2113?tls=false'
  $ turnlog copy backup.db turnlog.db --session support-42 --as support-42-old`;

async function copy(from: string, to: string, options: TransferFlags, context: CliContext): Promise<void> {
  const selection = await selectionOf(options);
  const [{ logSource, transfer }, { openEventLog }] = await Promise.all([
    import("../forensics/transfer.ts"),
    import("../log/open-event-log.ts"),
  ]);
  // The reader first: without what it is asked for no target is made.
  const log = await openEventLog(from, { readOnly: true });
  try {
    const source = await logSource(log, selection);
    const target = await openEventLog(to);
    try {
      const report = await runTransfer("copying", options.quiet === true, context, (running) =>
        transfer(source, target, { ...running, as: options.as }),
      );
      if (report !== undefined) await printReport(report, options, context);
    } finally {
      await target.close();
    }
  } finally {
    await log.close();
  }
}
