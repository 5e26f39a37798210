import type { Command } from "commander";
import type { CliContext } from "./cli-context.ts";
import { type StoreOption, storeOption, storeUrl, withReadOnlyStore } from "./store-access.ts";
import { terminalJson, terminalLine } from "./terminal-text.ts";

interface DiffOptions extends StoreOption {
  json?: true;
}

export function defineDiff(program: Command, context: CliContext): void {
  const command = program
    .command("diff")
    .description("Print what changed in a session between two points of its history.")
    .argument("<session>", 'the session; "last" is the one of the newest event')
    .argument("<from>", "a point: 120, 120+7, 2026-11-24T02:13:00Z or 5m-ago (s, m, h, d)")
    .argument("<to>", "another; it may be the earlier one")
    .option("--json", "print one JSON document");
  storeOption(command)
    .addHelpText("after", EXAMPLES)
    .action((session: string, from: string, to: string, options: DiffOptions) =>
      diff(session, [from, to], options, context),
    );
}

const EXAMPLES = `
Exit: 0 also where there is a difference; it is nothing wrong.

Examples:
  $ turnlog diff support-42 118 120+7
  $ turnlog diff last 1h-ago 0s-ago --json`;

async function diff(
  argument: string,
  given: [from: string, to: string],
  options: DiffOptions,
  { out, env }: CliContext,
): Promise<void> {
  const [{ parsePoint }, { findSession }, { diffStates }] = await Promise.all([
    import("../projections/point.ts"),
    import("./find-session.ts"),
    import("../forensics/diff.ts"),
  ]);
  const now = Date.now();
  const [from, to] = [parsePoint(given[0], now), parsePoint(given[1], now)];
  const { sessionId, before, after } = await withReadOnlyStore(storeUrl(options, env), async (store) => {
    const { sessionId } = await findSession(store, argument);
    const before = await store.history(sessionId, { at: from });
    return { sessionId, before, after: await store.history(sessionId, { at: to }) };
  });
  const changes = diffStates(before, after);
  if (options.json === true) {
    const end = (point: string, revision: number): object => ({ point, revision });
    return out.line(
      terminalJson({
        sessionId,
        from: end(given[0], before.revision),
        to: end(given[1], after.revision),
        changes,
      }),
    );
  }
  const { diffText } = await import("./diff-text.ts");
  const points = terminalLine(`${given[0]} → ${given[1]}`);
  await out.line(`${out.style("bold", terminalLine(sessionId))}  ${out.style("dim", points)}`);
  await out.write(changes.length === 0 ? "\nNo difference.\n" : diffText(changes, out));
}
