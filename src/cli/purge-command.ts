import type { Command } from "commander";
import { createInterface } from "node:readline";
import { InvalidInputError } from "../errors.ts";
import type { ConversationStore } from "../store/conversation-store.ts";
import type { CliContext } from "./cli-context.ts";
import { ExitCode } from "./exit-code.ts";
import { plural } from "./figures.ts";
import { type StoreOption, storeOption, storeUrl, withReadOnlyStore, withStore } from "./store-access.ts";
import { terminalJson, terminalLine } from "./terminal-text.ts";

interface PurgeOptions extends StoreOption {
  yes?: true;
  json?: true;
}

interface PurgeTarget {
  sessionId: string;
  messages: number;
  events: number;
}

export function definePurge(program: Command, context: CliContext): void {
  const command = program
    .command("purge")
    .description("Delete a session and remove its text from every file of the store, for good.")
    .argument("<session>", 'the session; "last" is the one of the newest event')
    .option("--yes", "do not ask; needed where nobody can be asked")
    .option("--json", "print one JSON document");
  storeOption(command)
    .addHelpText("after", EXAMPLES)
    .action((session: string, options: PurgeOptions) => purge(session, options, context));
}

const EXAMPLES = `
The session's name stays, and so do its forks. The files are written anew: that takes as long as copying them, and
other writers wait. Backups are not touched.

Exit: 1 where the answer was no, 3 where another process kept the text in a file: purge again.

Examples:
  $ turnlog purge support-42
  $ turnlog purge support-42 --yes --json`;

async function purge(argument: string, options: PurgeOptions, context: CliContext): Promise<void> {
  const { out, env, streams } = context;
  // A getter: to look at stdin is to open it.
  if (options.yes !== true && streams.stdin.isTTY !== true) {
    throw new InvalidInputError("invalid-usage", "There is nobody to ask whether to purge: say --yes.");
  }
  const url = storeUrl(options, env);
  const target = await withReadOnlyStore(url, (store) => findTarget(store, argument));
  if (options.yes !== true && !(await isConfirmed(target, context))) {
    context.exitCode = ExitCode.problem;
    return out.line("Nothing was purged.");
  }
  const { sessionId } = target;
  const { events, isErased } = await withStore(url, { label: "turnlog purge" }, (store) =>
    store.purgeSession(sessionId),
  );
  if (options.json === true) return out.line(terminalJson({ sessionId, events, erased: isErased }));
  const where = isErased
    ? "Its text is in none of the store's files."
    : "The server frees the space, and with it the text, at its next scavenge.";
  await out.line(`Purged ${terminalLine(sessionId)}: ${plural(events, "event")} removed. ${where}`);
}

async function findTarget(store: ConversationStore, argument: string): Promise<PurgeTarget> {
  const [{ findSession }, { conversationStream }] = await Promise.all([
    import("./find-session.ts"),
    import("../events/conversation-event.ts"),
  ]);
  const { sessionId } = await findSession(store, argument);
  const stream = conversationStream(sessionId);
  const end = async (direction: "forwards" | "backwards"): Promise<number> => {
    for await (const { revision } of store.log.readStream(stream, { direction, limit: 1 })) return revision;
    return 0;
  };
  const events = (await end("backwards")) - (await end("forwards")) + 1;
  return { sessionId, messages: await store.countMessages(sessionId), events };
}

async function isConfirmed(
  { sessionId, messages, events }: PurgeTarget,
  { err, streams }: CliContext,
): Promise<boolean> {
  const what = `${plural(messages, "message")} and ${plural(events, "event")}`;
  await err.write(`Purge ${terminalLine(JSON.stringify(sessionId))}, ${what}, for good? [y/N] `);
  const lines = createInterface({ input: streams.stdin });
  try {
    for await (const line of lines) return /^\s*y(es)?\s*$/i.test(line);
    await err.line(); // The input ended instead: the cursor still stands behind the question.
    return false;
  } finally {
    lines.close();
  }
}
