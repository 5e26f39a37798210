import type { Command } from "commander";
import type { Difference, Verification } from "../projections/rebuild-verify.ts";
import type { RebuildOptions, RebuildReport } from "../projections/rebuild.ts";
import type { CliContext } from "./cli-context.ts";
import { ExitCode } from "./exit-code.ts";
import { count, duration, plural } from "./figures.ts";
import { interruptible } from "./interruptible.ts";
import { rebuildProgress } from "./rebuild-progress.ts";
import { type StoreOption, storeOption, storeUrl } from "./store-access.ts";
import { terminalJson, terminalLine } from "./terminal-text.ts";

interface RebuildCommandOptions extends StoreOption {
  fromScratch?: true;
  verify: boolean;
  dryRun?: true;
  skipPoison?: true;
  views?: string;
  projection?: string;
  json?: true;
  quiet?: true;
}

export function defineRebuild(program: Command, context: CliContext): void {
  const command = program
    .command("rebuild")
    .description(
      "Make the views anew from the log, compare them with the old ones, and put them in their place.",
    )
    .argument("[session]", "only this session, in place (with --projection: the projection's name)")
    .option("--from-scratch", "do not go on with what an interrupted rebuild has left")
    .option("--no-verify", "do not compare the new views with the old ones")
    .option("--dry-run", "compare and report, and leave the old views in service")
    .option("--skip-poison", "set sessions aside that cannot be folded, and go on")
    .option("--views <path>", "the views file, where it is not beside the store")
    .option("--projection <module>", "rebuild a projection of your own that this module exports")
    .option("--json", "print JSON lines: progress, then the report")
    .option("--quiet", "print nothing unless something is wrong");
  storeOption(command)
    .addHelpText("after", EXAMPLES)
    .action((session: string | undefined, options: RebuildCommandOptions) =>
      rebuild(session, options, context),
    );
}

const EXAMPLES = `
The old views stay in service until the new ones are there; stores that are open go over to them by themselves.
Ctrl-C, or a kill, leaves what is done: the next rebuild goes on from there.

Exit: 1 where a dry run finds a difference, a session is set aside, or an event cannot be folded.

Examples:
  $ turnlog rebuild
  $ turnlog rebuild --dry-run          what would a new version of the fold change?
  $ turnlog rebuild support-42         one session
  $ turnlog rebuild tool-usage --projection ./tool-usage.js`;

async function rebuild(
  name: string | undefined,
  options: RebuildCommandOptions,
  context: CliContext,
): Promise<void> {
  if (options.projection !== undefined) {
    const { rebuildOwnProjection } = await import("./rebuild-projection.ts");
    return rebuildOwnProjection(name, options.projection, options, context);
  }
  if (name !== undefined) {
    const { checkSessionId } = await import("../store/message-input.ts");
    checkSessionId(name);
  }
  const { rebuildViews } = await import("../projections/rebuild.ts");
  const progress = rebuildProgress(options, context);
  const rebuilt = await interruptible(async (signal) => {
    const given: RebuildOptions = {
      views: options.views,
      session: name,
      fromScratch: options.fromScratch,
      verify: options.verify,
      dryRun: options.dryRun,
      skipPoison: options.skipPoison,
      signal,
      onProgress: progress.show,
      onWarning: (message) => void context.err.note(`turnlog: ${terminalLine(message)}`),
    };
    try {
      return await rebuildViews(storeUrl(options, context.env), given);
    } catch (error) {
      if (!signal.aborted) throw error;
      await context.err.note(
        "turnlog: interrupted; the old views stay in service, and the next rebuild goes on.",
      );
      return undefined;
    } finally {
      await progress.end();
    }
  });
  if (rebuilt.result !== undefined) await report(rebuilt.result, options, context);
  if (rebuilt.exitCode !== undefined) context.exitCode = rebuilt.exitCode;
}

async function report(
  result: RebuildReport,
  options: RebuildCommandOptions,
  context: CliContext,
): Promise<void> {
  const { verification, setAside } = result;
  const isDifferent = verification !== undefined && verification.differingSessions > 0;
  if (setAside.length > 0 || (options.dryRun === true && isDifferent)) context.exitCode = ExitCode.problem;
  if (options.json === true) return context.out.line(terminalJson(toJson(result)));
  for (const letter of setAside) {
    await context.err.note(
      `turnlog: set aside: ${terminalLine(JSON.stringify(letter.sessionId))}: ${terminalLine(letter.message)}`,
    );
  }
  if (options.quiet === true && !isDifferent) return;
  if (options.quiet !== true) for (const line of summary(result)) await context.out.line(line);
  if (verification !== undefined && isDifferent) {
    for (const line of differenceReport(verification)) await context.out.line(terminalLine(line));
  }
}

function summary(result: RebuildReport): string[] {
  const { resumedFrom, startedAnew, events, buildMs, position, verification, isInService } = result;
  const lines: string[] = [];
  if (resumedFrom !== undefined) lines.push(`Went on from position ${count(resumedFrom)}.`);
  if (startedAnew !== undefined) lines.push(terminalLine(`Started anew: ${startedAnew}.`));
  const rate = count(Math.round(events / Math.max(buildMs / 1000, 0.001)));
  lines.push(
    `${plural(events, "event")} up to position ${count(position)} in ${duration(buildMs)} (${rate} events/s).`,
  );
  if (verification === undefined) lines.push("Nothing to compare with.");
  else if (verification.differingSessions === 0) {
    const { sessions, messages } = verification;
    lines.push(`The same as before: ${plural(sessions, "session")}, ${plural(messages, "message")}.`);
  }
  if (verification !== undefined && verification.notComparable > 0) {
    lines.push(`Not compared: ${plural(verification.notComparable, "session")}.`);
  }
  lines.push(isInService ? "The new views are in service." : "Dry run: the old views stay in service.");
  return lines;
}

function differenceReport(verification: Verification): string[] {
  const { differences, differingSessions, differingMessages, sessions, messages } = verification;
  const lines = [
    `Different: ${count(differingSessions)} of ${plural(sessions, "session")}, ${count(differingMessages)} of ${plural(messages, "message")}.`,
  ];
  for (const difference of differences) lines.push(...describe(difference));
  return lines;
}

function describe({ session, messageId, field, old, new: fresh }: Difference): string[] {
  const where = messageId === undefined ? "" : ` #${messageId}`;
  return [
    `  ${JSON.stringify(session)}${where} ${field}`,
    `    old ${old ?? "(none)"}`,
    `    new ${fresh ?? "(none)"}`,
  ];
}

/** The documented shape: every key is always there. */
function toJson(result: RebuildReport): object {
  const { session, resumedFrom, startedAnew, verification, ...rest } = result;
  return {
    kind: "report",
    session: session ?? null,
    resumedFrom: resumedFrom ?? null,
    startedAnew: startedAnew ?? null,
    ...rest,
    verification: verification ?? null,
  };
}
