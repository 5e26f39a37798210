import type { Command } from "commander";
import type { CliContext } from "./cli-context.ts";
import { type StoreOption, storeOption, storeUrl, withReadOnlyStore, withStore } from "./store-access.ts";
import { terminalJson, terminalLine } from "./terminal-text.ts";

interface DeleteOptions extends StoreOption {
  json?: true;
}

export function defineDelete(program: Command, context: CliContext): void {
  const command = program
    .command("delete")
    .description("Delete a session: it is listed no more; its history stays in the log.")
    .argument("<session>", 'the session; "last" is the one of the newest event')
    .option("--json", "print one JSON document");
  storeOption(command)
    .addHelpText("after", EXAMPLES)
    .action((session: string, options: DeleteOptions) => deleteSession(session, options, context));
}

const EXAMPLES = `
Used again, it starts empty. "turnlog purge" removes the history as well.

Examples:
  $ turnlog delete support-42`;

async function deleteSession(
  argument: string,
  options: DeleteOptions,
  { out, env }: CliContext,
): Promise<void> {
  const { findSession } = await import("./find-session.ts");
  const url = storeUrl(options, env);
  const found = await withReadOnlyStore(url, async (store) => {
    const session = await findSession(store, argument);
    return { ...session, revision: (await store.readSession(session.sessionId)).revision };
  });
  const { sessionId, isDeleted, revision } = found;
  if (!isDeleted)
    await withStore(url, { label: "turnlog delete" }, (store) => store.deleteSession(sessionId));
  if (options.json === true) return out.line(terminalJson({ sessionId, deleted: !isDeleted }));
  const name = terminalLine(sessionId);
  if (isDeleted) return out.line(`${name} was deleted already.`);
  await out.line(
    `Deleted ${name}. Its history stays in the log (show --at ${revision}) until "turnlog purge" removes it.`,
  );
}
