import type { Command } from "commander";
import type { CliContext } from "./cli-context.ts";
import { count, plural } from "./figures.ts";
import { shellWord } from "./next-command.ts";
import { ProgressLine } from "./progress-line.ts";
import { type StoreOption, storeOption, storeUrl, withReadOnlyStore, withStore } from "./store-access.ts";
import { terminalJson, terminalLine } from "./terminal-text.ts";

interface ForkOptions extends StoreOption {
  at: string;
  as?: string;
  json?: true;
}

/** Smaller forks are there before a line could be read. */
const WORTH_PROGRESS = 5000;

export function defineFork(program: Command, context: CliContext): void {
  const command = program
    .command("fork")
    .description(
      "Make a new session of another's history up to a point, to the delta; the other stays as it is.",
    )
    .argument("<session>", 'the session; "last" is the one of the newest event')
    .requiredOption(
      "--at <point>",
      "where to leave it: 120, 120+7, 2026-11-24T02:13:00Z or 5m-ago (s, m, h, d)",
    )
    .option("--as <name>", "name of the new session (default: SESSION-fork-POINT)")
    .option("--json", "print one JSON document");
  storeOption(command)
    .addHelpText("after", EXAMPLES)
    .action((session: string, options: ForkOptions) => fork(session, options, context));
}

const EXAMPLES = `
Messages get ids of their own; a turn that is open at the point ends as interrupted. A fork that was interrupted is
not listed; the same command goes on with it.

Examples:
  $ turnlog fork support-42 --at 120+7
  $ turnlog fork last --at 5m-ago --as what-if`;

async function fork(argument: string, options: ForkOptions, { out, err, env }: CliContext): Promise<void> {
  const [{ parsePoint }, { findSession }] = await Promise.all([
    import("../projections/point.ts"),
    import("./find-session.ts"),
  ]);
  const at = parsePoint(options.at, Date.now());
  const url = storeUrl(options, env);
  // First as a reader: no store is made where there is none.
  const { sessionId } = await withReadOnlyStore(url, (store) => findSession(store, argument));
  const { pointText } = await import("../store/fork.ts");
  const progress = new ProgressLine(err, "copying");
  const made = await withStore(url, { label: "turnlog fork" }, async (store) => {
    try {
      return await store.fork(sessionId, {
        at,
        as: options.as,
        onProgress: ({ copied, total }) => {
          if (total >= WORTH_PROGRESS) progress.show({ position: copied, head: total });
        },
      });
    } finally {
      progress.end();
    }
  });
  const point = pointText(made.origin);
  if (options.json === true) {
    const { origin, ...report } = made;
    return out.line(terminalJson({ ...report, point, origin: { marks: null, ...origin } }));
  }
  const did = { made: "Forked", resumed: "Finished the fork of", found: "There was this fork already: of" };
  const name = out.style("bold", terminalLine(made.sessionId));
  await out.line(
    `${did[made.outcome]} ${terminalLine(sessionId)} at ${point}: ${name}  ${plural(made.messages, "message")} · ${count(made.events)} events`,
  );
  if (made.outcome === "found") await out.line("Nothing was written; --as NAME makes another.");
  const words = [
    "turnlog",
    "show",
    made.sessionId,
    ...(options.store === undefined ? [] : ["--store", options.store]),
  ];
  await out.line(`\nNext, look at it:\n  ${terminalLine(words.map(shellWord).join(" "))}`);
}
