import type { Command } from "commander";
import type { ConversationStore } from "../store/conversation-store.ts";
import type { CliContext } from "./cli-context.ts";
import { eventJson, eventLine } from "./event-line.ts";
import { wholeNumber } from "./option-values.ts";
import { type StoreOption, storeOption, storeUrl, withReadOnlyStore } from "./store-access.ts";
import { terminalJson } from "./terminal-text.ts";

interface EventsOptions extends StoreOption {
  from?: number;
  limit?: number;
  json?: true;
}

export function defineEvents(program: Command, context: CliContext): void {
  const command = program
    .command("events")
    .description(
      "Print the events of a session, one a line: position, revision, time, type, cause, what it says.",
    )
    .argument("<session>", 'the session; "last" is the one of the newest event')
    .option("--from <revision>", "begin with this revision", wholeNumber)
    .option("--limit <n>", "at most so many", wholeNumber)
    .option("--json", "print JSON lines, each event whole");
  storeOption(command)
    .addHelpText("after", EXAMPLES)
    .action((session: string, options: EventsOptions) =>
      withReadOnlyStore(storeUrl(options, context.env), (store) =>
        printEvents(store, session, options, context),
      ),
    );
}

const EXAMPLES = `
Examples:
  $ turnlog events last --limit 20
  $ turnlog events support-42 --from 120 --json`;

async function printEvents(
  store: ConversationStore,
  argument: string,
  { from, limit, json }: EventsOptions,
  { out }: CliContext,
): Promise<void> {
  const [{ conversationStream }, { findSession }] = await Promise.all([
    import("../events/conversation-event.ts"),
    import("./find-session.ts"),
  ]);
  const { sessionId } = await findSession(store, argument);
  const stream = conversationStream(sessionId);
  const range = { ...(from === undefined ? {} : { from }), ...(limit === undefined ? {} : { limit }) };
  for await (const event of store.log.readStream(stream, range)) {
    await out.line(json === true ? terminalJson(eventJson(event)) : eventLine(event, out));
  }
}
