import type { Command } from "commander";
import { InvalidInputError } from "../errors.ts";
import type { CheckupFinding } from "../log/eventstoredb/server-checkup.ts";
import type { CliContext } from "./cli-context.ts";
import { ExitCode } from "./exit-code.ts";
import { type StoreOption, storeOption, storeUrl } from "./store-access.ts";
import { terminalJson, terminalLine } from "./terminal-text.ts";

interface DoctorOptions extends StoreOption {
  json?: true;
}

export function defineDoctor(program: Command, context: CliContext): void {
  const command = program
    .command("doctor")
    .description(
      "Check an EventStoreDB or KurrentDB server: reachable, version, leader, rights, latency, clock.",
    )
    .option("--json", "print one JSON document");
  storeOption(command)
    .addHelpText("after", EXAMPLE)
    .action((options: DoctorOptions) => examine(options, context));
}

const EXAMPLE = `
Writes a few events to the stream turnlog-doctor, and to no log. For a store in a file see turnlog verify.

Exit: 0 all good, 1 found something wrong, 3 no connection.

Example:
  $ turnlog doctor --store "esdb://localhost:2113?tls=false"`;

async function examine(options: DoctorOptions, context: CliContext): Promise<void> {
  const { parseStoreUrl } = await import("../log/open-event-log.ts");
  const location = parseStoreUrl(storeUrl(options, context.env));
  if (location.engine !== "eventstoredb") {
    throw new InvalidInputError(
      "unsupported-store",
      "doctor examines EventStoreDB and KurrentDB servers (esdb://…); for a store in a file there is turnlog verify.",
    );
  }
  const { checkServer } = await import("../log/eventstoredb/server-checkup.ts");
  const findings: CheckupFinding[] = [];
  for await (const finding of checkServer(location.url)) {
    findings.push(finding);
    if (options.json !== true) await context.out.line(findingLine(finding, context));
  }
  if (options.json === true) await context.out.line(terminalJson({ checks: findings }));
  context.exitCode = exitCodeOf(findings);
}

function findingLine({ check, isGood, text }: CheckupFinding, { out }: CliContext): string {
  const verdict = isGood ? "good " : out.style("bold", "WRONG");
  return `${verdict}  ${check.padEnd(12)}  ${terminalLine(text)}`;
}

function exitCodeOf(findings: readonly CheckupFinding[]): number {
  if (findings.every(({ isGood }) => isGood)) return ExitCode.clean;
  return findings[0]?.isGood === true ? ExitCode.problem : ExitCode.unavailable;
}
