import type { Command } from "commander";
import type { EventLog, RecordedEvent } from "../log/event-log.ts";
import type { ConversationStore } from "../store/conversation-store.ts";
import type { CliContext } from "./cli-context.ts";
import { eventJson, eventLine } from "./event-line.ts";
import { interruptible } from "./interruptible.ts";
import { wholeNumber } from "./option-values.ts";
import { type StoreOption, storeOption, storeUrl, withReadOnlyStore } from "./store-access.ts";
import { terminalJson, terminalLine, truncateText } from "./terminal-text.ts";

interface TailOptions extends StoreOption {
  after?: number;
  lines: number;
  json?: true;
}

const NAME_WIDTH = 20;
const LONGEST_TIMER_MS = 2 ** 31 - 1;

export function defineTail(program: Command, context: CliContext): void {
  const command = program
    .command("tail")
    .description("Print the newest events and each that follows, by any process, until Ctrl-C.")
    .argument("[session]", 'only this session; "last" is the one of the newest event now')
    .option(
      "--after <position>",
      "begin behind this position (events print it) and miss nothing",
      wholeNumber,
    )
    .option("--lines <n>", "without --after: begin with the newest n", wholeNumber, 10)
    .option("--json", "print JSON lines, each event whole");
  storeOption(command)
    .addHelpText("after", EXAMPLES)
    .action((session: string | undefined, options: TailOptions) => tail(session, options, context));
}

const EXAMPLES = `
Examples:
  $ turnlog tail
  $ turnlog tail support-42 --lines 0
  $ turnlog tail --after 120 --json`;

async function tail(argument: string | undefined, options: TailOptions, context: CliContext): Promise<void> {
  // A subscription alone does not hold a process open.
  const waiting = setInterval(() => undefined, LONGEST_TIMER_MS);
  const { exitCode } = await interruptible((signal) =>
    withReadOnlyStore(storeUrl(options, context.env), (store) =>
      follow(store, argument, options, context, signal),
    ),
  ).finally(() => clearInterval(waiting));
  if (exitCode !== undefined) context.exitCode = exitCode;
}

async function follow(
  store: ConversationStore,
  argument: string | undefined,
  { after, lines, json }: TailOptions,
  { out }: CliContext,
  signal: AbortSignal,
): Promise<void> {
  const [events, { findSession }, { followLog }] = await Promise.all([
    import("../events/conversation-event.ts"),
    import("./find-session.ts"),
    import("../forensics/follow-log.ts"),
  ]);
  const sessionId = argument === undefined ? undefined : (await findSession(store, argument)).sessionId;
  const stream = sessionId === undefined ? undefined : events.conversationStream(sessionId);
  const from = after ?? (await beforeNewest(store.log, lines, stream, events.conversationStreamPrefix));
  const followed = followLog(store.log, {
    after: from,
    stream,
    streamPrefix: events.conversationStreamPrefix,
    signal,
  });
  for await (const event of followed) {
    const session = events.sessionOfStream(event.stream) ?? event.stream;
    if (json === true) await out.line(terminalJson({ sessionId: session, ...eventJson(event) }));
    else if (stream !== undefined) await out.line(eventLine(event, out));
    else {
      const name = truncateText(terminalLine(session), NAME_WIDTH).padEnd(NAME_WIDTH);
      await out.line(`${out.style("bold", name)} ${eventLine(event, out)}`);
    }
  }
}

/** The position before the newest events, so many of the stream or of all sessions. */
async function beforeNewest(
  log: EventLog,
  lines: number,
  stream: string | undefined,
  streamPrefix: string,
): Promise<number> {
  const head = await log.head();
  if (lines === 0) return head;
  if (stream !== undefined) {
    let oldest = head + 1;
    for await (const { position } of log.readStream(stream, { direction: "backwards", limit: lines }))
      oldest = position;
    return oldest - 1;
  }
  // The global order is read forwards only: further back until there are enough.
  for (let window = 4 * lines + 64; ; window *= 8) {
    const after = Math.max(-1, head - window);
    const newest: RecordedEvent[] = [];
    for await (const event of log.readAll({ after, streamPrefix })) {
      newest.push(event);
      if (newest.length > lines) newest.shift();
    }
    if (newest.length === lines || after === -1) return (newest[0]?.position ?? head + 1) - 1;
  }
}
