import type { Command } from "commander";
import type { Finding, VerifyProgress, VerifyReport } from "../forensics/verify.ts";
import type { CliContext } from "./cli-context.ts";
import { ExitCode } from "./exit-code.ts";
import { count, plural } from "./figures.ts";
import { interruptible } from "./interruptible.ts";
import { shellWord } from "./next-command.ts";
import type { Output } from "./output.ts";
import { StepProgress } from "./step-progress.ts";
import { type StoreOption, storeOption, storeUrl } from "./store-access.ts";
import { terminalJson, terminalLine } from "./terminal-text.ts";

interface VerifyCommandOptions extends StoreOption {
  views: string | boolean;
  json?: true;
  quiet?: true;
}

export function defineVerify(program: Command, context: CliContext): void {
  const command = program
    .command("verify")
    .description(
      "Check the whole log: the file, every row, every event, what events say of each other, the views.",
    )
    .option("--views <path>", "the views file, where it is not beside the store", true)
    .option("--no-views", "do not compare the views with the log")
    .option("--json", "print one JSON document")
    .option("--quiet", "print nothing unless something is wrong");
  storeOption(command)
    .addHelpText("after", EXAMPLES)
    .action((options: VerifyCommandOptions) => verify(options, context));
}

const EXAMPLES = `
Reads on past damage and changes nothing; the store may be in use.

Exit: 1 where anything is wrong.

Examples:
  $ turnlog verify
  $ turnlog verify --store backup.db --json`;

async function verify(options: VerifyCommandOptions, context: CliContext): Promise<void> {
  const { verifyStore } = await import("../forensics/verify.ts");
  const url = storeUrl(options, context.env);
  const progress = new StepProgress<VerifyProgress["phase"]>(context.err, PHASES, options.quiet === true);
  const views = typeof options.views === "string" ? options.views : options.views ? undefined : false;
  const verified = await interruptible(async (signal) => {
    try {
      return await verifyStore(url, { views, signal, onProgress: (each) => progress.show(each) });
    } catch (error) {
      if (!signal.aborted) throw error;
      await context.err.note("turnlog: interrupted; nothing was changed.");
      return undefined;
    } finally {
      progress.end();
    }
  });
  if (verified.result !== undefined) await print(verified.result, url, options, context);
  if (verified.exitCode !== undefined) context.exitCode = verified.exitCode;
}

const PHASES: Record<VerifyProgress["phase"], string> = {
  structure: "checking the file's structure",
  pages: "searching the file's pages",
  reading: "reading the log",
  checking: "checking the events",
};

async function print(
  report: VerifyReport,
  url: string,
  { json, quiet }: VerifyCommandOptions,
  context: CliContext,
): Promise<void> {
  const { out } = context;
  if (report.findings.length > 0) context.exitCode = ExitCode.problem;
  if (json === true) return out.line(terminalJson(report));
  if (quiet === true && report.findings.length === 0) return;
  for (const line of summary(report, out)) await out.line(line);
  for (const finding of report.findings) await out.line(findingLine(finding, out));
  for (const { message } of report.notes)
    await out.line(`  ${out.style("dim", `note: ${terminalLine(message)}`)}`);
  if (report.readFrom !== "file") return;
  await out.line();
  await out.line("Next, copy what is left of it into a new store:");
  await out.line(
    `  ${terminalLine(["turnlog", "salvage", url, "--to", "salvaged.db"].map(shellWord).join(" "))}`,
  );
}

function summary(report: VerifyReport, out: Output): string[] {
  const { findings, events, streams, sessions, head, damagedSessions, lostEvents, views } = report;
  const verdict =
    findings.length === 0
      ? out.style("green", "nothing is wrong")
      : out.style("red", `${plural(findings.length, "finding")}`);
  const lines = [
    `${out.style("bold", verdict)}: ${plural(events, "event")} in ${plural(streams, "stream")}, ${plural(sessions, "session")}, up to position ${count(head)}`,
  ];
  if (findings.length > 0) {
    const lost = lostEvents === 0 ? "" : `; ${plural(lostEvents, "event")} certainly lost`;
    lines.push(
      `readable: ${plural(events, "event")}; ${count(sessions - damagedSessions.length)} of ${plural(sessions, "session")} undamaged${lost}`,
    );
  }
  if (views.state === "equal")
    lines.push(
      `views: the same as the log, ${plural(views.sessions, "session")}, ${plural(views.messages, "message")}`,
    );
  if (views.state === "none") lines.push("views: none");
  return lines;
}

function findingLine({ code, message, position, lastPosition }: Finding, out: Output): string {
  const where =
    position === null
      ? ""
      : lastPosition === null || lastPosition === position
        ? ` position ${position}:`
        : ` positions ${position} to ${lastPosition}:`;
  return `  ${out.style("red", code)}${where} ${terminalLine(message)}`;
}
