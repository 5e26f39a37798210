import type { Command } from "commander";
import type { CliContext } from "./cli-context.ts";
import { milliseconds } from "./option-values.ts";
import { type StoreOption, storeOption, storeUrl } from "./store-access.ts";

interface DemoCommandOptions extends StoreOption {
  pace: number;
}

const DEMO_STORE = "./turnlog-demo.db";

export function defineDemo(program: Command, context: CliContext): void {
  const command = program
    .command("demo")
    .description(
      "Record a turn, kill its process in the middle, and show what survived. Takes about ten seconds.",
    )
    .option("--pace <ms>", "the model's pace: so long between chunks, on average", milliseconds, 35);
  storeOption(command, DEMO_STORE)
    .addHelpText("after", EXAMPLE)
    .action((options: DemoCommandOptions) => demo(options, context));
}

const EXAMPLE = `
Exit: 0 where all survived that had to.

Examples:
  $ turnlog demo --store /tmp/demo.db
  $ TURNLOG_STORE="esdb://localhost:2113?tls=false" turnlog demo`;

async function demo(options: DemoCommandOptions, context: CliContext): Promise<void> {
  const { runDemo } = await import("./demo/run-demo.ts");
  const { withoutCredentials } = await import("../log/open-event-log.ts");
  const url = storeUrl(options, context.env, DEMO_STORE);
  const isFromEnvironment = options.store === undefined && Boolean(context.env["TURNLOG_STORE"]);
  await runDemo(
    {
      storeUrl: url,
      storeArguments: isFromEnvironment
        ? ""
        : ` --store ${shellWord(withoutCredentials(url, "USER:PASSWORD@"))}`,
      paceMs: options.pace,
    },
    context,
  );
}

/** The text as a POSIX shell takes it for one word. */
function shellWord(text: string): string {
  return /^[\w@%+=:,./-]+$/.test(text) ? text : `'${text.replaceAll("'", `'\\''`)}'`;
}
