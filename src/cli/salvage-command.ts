import type { Command } from "commander";
import type { SalvageProgress, SalvageReport, StreamLoss } from "../forensics/salvage.ts";
import type { CliContext } from "./cli-context.ts";
import { ExitCode } from "./exit-code.ts";
import { count, plural } from "./figures.ts";
import { interruptible } from "./interruptible.ts";
import { shellWord } from "./next-command.ts";
import type { Output } from "./output.ts";
import { StepProgress } from "./step-progress.ts";
import { terminalJson, terminalLine } from "./terminal-text.ts";

interface SalvageFlags {
  to: string;
  json?: true;
  quiet?: true;
}

export function defineSalvage(program: Command, context: CliContext): void {
  program
    .command("salvage")
    .description("Copy all that can be read in a damaged log's file into a new log; the file is not changed.")
    .argument("<file>", "the damaged file")
    .requiredOption("--to <file>", "the new log; there must be none of that name")
    .option("--json", "print one JSON document")
    .option("--quiet", "print nothing unless something is lost")
    .addHelpText("after", EXAMPLES)
    .action((file: string, options: SalvageFlags) => salvageFile(file, options, context));
}

const EXAMPLES = `
A session of which events are lost can be read up to the first of them, and what began behind it can be read as well.
What is left of a message that began before it, and changes it, is kept in its place and set aside.

Exit: 1 where anything is lost.

Examples:
  $ turnlog salvage turnlog.db --to salvaged.db
  $ turnlog autopsy --store salvaged.db`;

const PHASES: Record<SalvageProgress["phase"], string> = {
  pages: "searching the file's pages",
  writing: "writing the new log",
  verifying: "verifying the new log",
};

async function salvageFile(file: string, options: SalvageFlags, context: CliContext): Promise<void> {
  const { salvage } = await import("../forensics/salvage.ts");
  const progress = new StepProgress(context.err, PHASES, options.quiet === true);
  const salvaged = await interruptible(async (signal) => {
    try {
      return await salvage(file, options.to, { signal, onProgress: (each) => progress.show(each) });
    } catch (error) {
      if (!signal.aborted) throw error;
      await context.err.note("turnlog: interrupted; nothing was kept of the new log.");
      return undefined;
    } finally {
      progress.end();
    }
  });
  if (salvaged.result !== undefined) await print(salvaged.result, options, context);
  if (salvaged.exitCode !== undefined) context.exitCode = salvaged.exitCode;
}

async function print(
  report: SalvageReport,
  { json, quiet }: SalvageFlags,
  context: CliContext,
): Promise<void> {
  const { out } = context;
  if (report.isLossy) context.exitCode = ExitCode.problem;
  if (json === true) return out.line(terminalJson(report));
  if (quiet === true && !report.isLossy) return;
  for (const line of summary(report, out)) await out.line(line);
  for (const loss of report.losses) await out.line(`  ${terminalLine(lossLine(loss))}`);
  for (const { code, message } of [...report.damages, ...report.verified.findings])
    await out.line(`  ${out.style("red", code)} ${terminalLine(message)}`);
  await out.line();
  await out.line("Next, see how the turns in it stand:");
  await out.line(`  ${terminalLine(["turnlog", "autopsy", "--store", report.to].map(shellWord).join(" "))}`);
}

/** The verdict first. */
function summary(report: SalvageReport, out: Output): string[] {
  const { isLossy, events, sessions, lostEvents, setAside, damages, damagedBytes, lostPositions } = report;
  const verdict = isLossy
    ? out.style("red", lostEvents === 0 ? "something is lost" : `${plural(lostEvents, "event")} lost`)
    : out.style("green", "nothing is lost");
  const damaged = damages.length === 0 ? "" : `; damage in ${count(damagedBytes)} bytes of the file's pages`;
  const lines = [
    `${out.style("bold", verdict)}: ${plural(events, "event")} of ${plural(sessions, "session")} are in ${terminalLine(report.to)}${damaged}`,
  ];
  const damagedSessions = report.losses.filter(({ sessionId }) => sessionId !== null);
  if (damagedSessions.length > 0)
    lines.push(
      `${plural(damagedSessions.length, "session")} damaged, ${plural(setAside, "event")} set aside`,
    );
  if (lostPositions !== null)
    lines.push(
      `the newest are lost: the log had come to position ${count(lostPositions.to)}, and nothing is left from ${count(lostPositions.from)} on`,
    );
  return lines;
}

function lossLine({ stream, sessionId, lost, setAside, wholeTo }: StreamLoss): string {
  const name = sessionId === null ? `stream ${stream}` : `session ${JSON.stringify(sessionId)}`;
  const ranges = lost.map(({ from, to }) => (from === to ? String(from) : `${from} to ${to}`));
  const whole = wholeTo === null ? "nothing before that is left" : `whole up to revision ${wholeTo}`;
  const aside = setAside === 0 ? "" : `; ${plural(setAside, "event")} behind it set aside`;
  return `${name}: lost revisions ${ranges.slice(0, 5).join(", ")}${ranges.length > 5 ? ", …" : ""}; ${whole}${aside}`;
}
