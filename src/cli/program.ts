import { Command, CommanderError } from "commander";
import { type CliContext, type CliStreams, createContext, packageVersion } from "./cli-context.ts";
import { defineAutopsy } from "./autopsy-command.ts";
import { defineCopy } from "./copy-command.ts";
import { defineDelete } from "./delete-command.ts";
import { defineDemo } from "./demo-command.ts";
import { defineDiff } from "./diff-command.ts";
import { defineDoctor } from "./doctor-command.ts";
import { defineEvents } from "./events-command.ts";
import { defineExport } from "./export-command.ts";
import { ExitCode, describeError, exitCodeOf } from "./exit-code.ts";
import { defineFork } from "./fork-command.ts";
import { defineImport } from "./import-command.ts";
import { OutputClosed } from "./output.ts";
import { definePurge } from "./purge-command.ts";
import { defineRebuild } from "./rebuild-command.ts";
import { defineRecord } from "./record-command.ts";
import { defineRepair } from "./repair-command.ts";
import { defineReplay } from "./replay-command.ts";
import { defineSalvage } from "./salvage-command.ts";
import { defineSessions } from "./sessions-command.ts";
import { defineShow } from "./show-command.ts";
import { defineStats } from "./stats-command.ts";
import { defineTail } from "./tail-command.ts";
import { terminalLine, terminalText } from "./terminal-text.ts";
import { defineVerify } from "./verify-command.ts";

/**
 * Runs one command and resolves to the exit code. Nothing is thrown and the process is not ended: what a command
 * leaves open keeps it alive and is a defect.
 * @param args without the program's name
 */
export async function runCli(args: readonly string[], streams: CliStreams): Promise<number> {
  const context = createContext(streams);
  try {
    await createProgram(context).parseAsync(args, { from: "user" });
    return context.exitCode;
  } catch (error) {
    return reportFailure(error, context);
  }
}

function createProgram(context: CliContext): Command {
  const { out, err } = context;
  const program = new Command("turnlog")
    .description("An event-sourced conversation log for agent runtimes.")
    .version(packageVersion(), "-V, --version", "print the version")
    .helpOption("-h, --help", "show help")
    .helpCommand("help [command]", "show help for a command")
    .exitOverride()
    .configureOutput({
      writeOut: (text) => void out.note(text.trimEnd()),
      writeErr: (text) => void err.note(text.trimEnd()),
      // What is wrong is reported below, in one line, whatever it is.
      outputError: () => undefined,
      getOutHelpWidth: () => out.width,
      getErrHelpWidth: () => err.width,
    })
    .addHelpText("after", PROGRAM_HELP);
  defineRecord(program, context);
  defineSessions(program, context);
  defineShow(program, context);
  defineEvents(program, context);
  defineAutopsy(program, context);
  defineRepair(program, context);
  defineReplay(program, context);
  defineDiff(program, context);
  defineFork(program, context);
  defineDelete(program, context);
  definePurge(program, context);
  defineTail(program, context);
  defineStats(program, context);
  defineVerify(program, context);
  defineSalvage(program, context);
  defineExport(program, context);
  defineImport(program, context);
  defineCopy(program, context);
  defineRebuild(program, context);
  defineDoctor(program, context);
  defineDemo(program, context);
  return program;
}

async function reportFailure(error: unknown, { err, env, exitCode }: CliContext): Promise<number> {
  if (error instanceof OutputClosed) return exitCode;
  if (error instanceof CommanderError) {
    const isAsked = error.code === "commander.helpDisplayed" || error.code === "commander.version";
    if (isAsked || error.code === "commander.help") return error.exitCode === 0 ? 0 : ExitCode.usage;
    // Commander puts its suggestion on a line of its own.
    const message = error.message.replace(/^error: /, "").replaceAll("\n", " ");
    const hint = message.includes("Did you mean") ? "" : " (turnlog --help shows what there is)";
    await err.note(`turnlog: ${terminalLine(message)}${hint}`);
    return ExitCode.usage;
  }
  const message = describeError(error, env);
  const safe = env["TURNLOG_DEBUG"] ? terminalText(message) : terminalLine(message);
  await err.note(`turnlog: ${safe}`);
  return exitCodeOf(error);
}

const PROGRAM_HELP = `
The store is --store, else $TURNLOG_STORE, else ./turnlog.db: a path, or a URL such as file:./turnlog.db.
"last" as SESSION is the session of the newest event.

Exit: 0 clean, 1 found something wrong, 2 wrong usage, 3 could not look.

Examples:
  $ curl -N https://… | turnlog record support-42 --user "Why is my order late?"
  $ turnlog sessions
  $ turnlog show last
  $ turnlog show support-42 --at 5m-ago`;
