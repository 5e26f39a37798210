import type { Command } from "commander";
import type { RecordedEvent } from "../log/event-log.ts";
import type { ConversationStore } from "../store/conversation-store.ts";
import type { CliContext } from "./cli-context.ts";
import { summarizeEvent } from "./event-summary.ts";
import { utcMilliseconds } from "./figures.ts";
import { wholeNumber } from "./option-values.ts";
import type { Output } from "./output.ts";
import { type StoreOption, storeOption, storeUrl, withReadOnlyStore } from "./store-access.ts";
import { terminalJson, terminalLine } from "./terminal-text.ts";

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
    await out.line(json === true ? terminalJson(toJson(event)) : eventLine(event, out));
  }
}

/** The documented shape. Data and metadata are as stored, `time` is the writer's. */
function toJson({ position, revision, id, type, data, metadata }: RecordedEvent): object {
  return { position, revision, id, type, time: utcMilliseconds(metadata["time"]), data, metadata };
}

function eventLine(event: RecordedEvent, out: Output): string {
  const { position, revision, type, metadata } = event;
  const cause = metadata["cause"];
  const fields = [
    out.style("dim", String(position).padStart(7)),
    String(revision).padStart(6),
    out.style("dim", utcMilliseconds(metadata["time"]).padEnd(24)),
    terminalLine(type).padEnd(21),
    terminalLine(typeof cause === "string" ? cause : "-").padEnd(12),
    summarizeEvent(event),
  ];
  return fields.join(" ").trimEnd();
}
