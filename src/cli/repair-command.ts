import type { Command } from "commander";
import { InvalidInputError } from "../errors.ts";
import type { RefusedTurn, RepairPlan, RepairedTurn } from "../forensics/repair.ts";
import type { Damage } from "../forensics/unended-turns.ts";
import type { ConversationStore } from "../store/conversation-store.ts";
import type { CliContext } from "./cli-context.ts";
import { ExitCode } from "./exit-code.ts";
import { plural } from "./figures.ts";
import { shellWord } from "./next-command.ts";
import { ProgressLine } from "./progress-line.ts";
import { type StoreOption, storeOption, storeUrl, withReadOnlyStore, withStore } from "./store-access.ts";
import { terminalJson, terminalLine } from "./terminal-text.ts";

interface RepairOptions extends StoreOption {
  all?: true;
  dryRun?: true;
  force?: true;
  json?: true;
}

interface RepairReport {
  dryRun: boolean;
  /** With a dry run: what would be. */
  repaired: (Omit<RepairedTurn, "text" | "tools"> & Partial<RepairedTurn>)[];
  refused: RefusedTurn[];
  damage: Damage[];
}

export function defineRepair(program: Command, context: CliContext): void {
  const command = program
    .command("repair")
    .description("End the turns whose writer is dead as interrupted; what they wrote stays.")
    .argument("[session]", 'the session; "last" is the one of the newest event')
    .option("--all", "every session")
    .option("--dry-run", "say what would be written, and write nothing")
    .option("--force", "also where the writer is not known to be dead; never where it lives")
    .option("--json", "print one JSON document");
  storeOption(command)
    .addHelpText("after", EXAMPLES)
    .action((session: string | undefined, options: RepairOptions) => repair(session, options, context));
}

const EXAMPLES = `
Exit: 0 nothing is left to do, 1 a turn was refused (with --all, one whose writer lives is none of them) or a session
is damaged, or a dry run found something to write.

Examples:
  $ turnlog repair support-42 --dry-run
  $ turnlog repair --all`;

async function repair(
  argument: string | undefined,
  options: RepairOptions,
  context: CliContext,
): Promise<void> {
  if ((argument === undefined) !== (options.all === true)) {
    throw new InvalidInputError("invalid-usage", "Name one session to repair, or --all.");
  }
  const url = storeUrl(options, context.env);
  // First as a reader: where there is nothing to do the store is not touched, and none is made.
  const { plan, damage } = await withReadOnlyStore(url, (store) => look(store, argument, options, context));
  const report: RepairReport = {
    dryRun: options.dryRun === true,
    repaired: [],
    refused: plan.refused,
    damage,
  };
  if (report.dryRun) {
    report.repaired = plan.ready.map(({ sessionId, messageId, turnId }) => ({
      sessionId,
      messageId,
      turnId,
      revision: null,
    }));
  } else if (plan.ready.length > 0) {
    const { repairSessions } = await import("../forensics/repair.ts");
    const sessionIds = new Set(plan.ready.map(({ sessionId }) => sessionId));
    const done = await withStore(url, { label: "turnlog repair" }, (store) =>
      repairSessions(store, sessionIds, options.force === true),
    );
    report.repaired = done.repaired;
    for (const each of done.damage)
      if (!damage.some(({ sessionId }) => sessionId === each.sessionId)) damage.push(each);
  }
  context.exitCode = exitCodeOf(report, options.all === true);
  if (options.json === true) await context.out.line(terminalJson(report));
  else await context.out.write(reportText(report, options, context));
}

async function look(
  store: ConversationStore,
  argument: string | undefined,
  { force }: RepairOptions,
  { err }: CliContext,
): Promise<{ plan: RepairPlan; damage: Damage[] }> {
  const [{ findUnendedTurns }, { planRepair }, { findSession }] = await Promise.all([
    import("../forensics/unended-turns.ts"),
    import("../forensics/repair.ts"),
    import("./find-session.ts"),
  ]);
  const sessionId = argument === undefined ? undefined : (await findSession(store, argument)).sessionId;
  const progress = new ProgressLine(err, "no views to ask: reading the log");
  try {
    const found = await findUnendedTurns(store, sessionId, (each) => progress.show(each));
    return { plan: planRepair(found, force === true), damage: found.damage };
  } finally {
    progress.end();
  }
}

function exitCodeOf({ dryRun, repaired, refused, damage }: RepairReport, isAll: boolean): number {
  const left = refused.filter(({ writer }) => !isAll || writer.verdict !== "alive");
  const isClean = left.length === 0 && damage.length === 0 && !(dryRun && repaired.length > 0);
  return isClean ? ExitCode.clean : ExitCode.problem;
}

function reportText(report: RepairReport, { store }: RepairOptions, { out }: CliContext): string {
  const { dryRun, repaired, refused, damage } = report;
  const what = dryRun ? "would be ended as interrupted; nothing was written" : "ended as interrupted";
  const lines = [out.style("bold", `${plural(repaired.length, "turn")} ${what}`)];
  for (const turn of repaired) lines.push(...repairedLines(turn));
  for (const turn of refused) lines.push(`  ${out.style("yellow", "refused")}  ${refusedText(turn)}`);
  for (const { sessionId, message } of damage) {
    const where = sessionId === null ? "the log" : terminalLine(JSON.stringify(sessionId));
    lines.push(`  ${out.style("red", "damaged")}  ${where}: ${terminalLine(message)}`);
  }
  const [first] = repaired;
  if (first !== undefined) {
    const words = dryRun
      ? [
          "turnlog",
          "repair",
          ...(new Set(repaired.map((each) => each.sessionId)).size === 1 ? [first.sessionId] : ["--all"]),
        ]
      : ["turnlog", "show", first.sessionId];
    if (store !== undefined) words.push("--store", store);
    lines.push("", dryRun ? "Next, write it:" : "Next, look at what is left of it:");
    lines.push(`  ${terminalLine(words.map(shellWord).join(" "))}`);
  }
  return `${lines.join("\n")}\n`;
}

function repairedLines({
  sessionId,
  messageId,
  revision,
  text,
  tools = [],
}: RepairReport["repaired"][number]): string[] {
  const facts = [`${terminalLine(sessionId)}  message #${messageId}`];
  if (revision !== null) facts.push(`TurnEnded at revision ${revision}`);
  if (text !== undefined) facts.push(`${plural(text.length, "character")} of text kept`);
  const calls = tools.map(({ name, tool_id, verdict }) => {
    const advice =
      verdict === "not-started"
        ? "not started: safe to call again"
        : "outcome unknown: look what it has done before calling it again";
    return `    ${terminalLine(name)} ${terminalLine(tool_id)}: ${advice}`;
  });
  return [`  ${facts.join(" · ")}`, ...calls];
}

function refusedText({ sessionId, messageId, writer }: RefusedTurn): string {
  const where = `${terminalLine(sessionId)}  message #${messageId}`;
  const who = terminalLine(
    [writer.host ?? writer.id, ...(writer.pid === null ? [] : [`pid ${writer.pid}`])].join(", "),
  );
  if (writer.verdict === "alive") return `${where}: its writer lives (${who})`;
  const doubt =
    writer.process === "running" || writer.process === "stopped"
      ? `its process is there and silent (${writer.process})`
      : "it cannot be seen from this machine";
  return `${where}: its writer (${who}) is not known to be dead: ${doubt}; --force ends it all the same`;
}
