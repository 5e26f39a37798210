import type { Command } from "commander";
import type { Point } from "../projections/point.ts";
import type { SessionState } from "../projections/session-state.ts";
import type { ConversationStore } from "../store/conversation-store.ts";
import type { CliContext } from "./cli-context.ts";
import { plural } from "./figures.ts";
import { wholeNumber } from "./option-values.ts";
import { type StoreOption, storeOption, storeUrl, withReadOnlyStore } from "./store-access.ts";
import { terminalJson, terminalLine } from "./terminal-text.ts";

interface ShowOptions extends StoreOption {
  at?: string;
  limit?: number;
  all?: true;
  reasoning?: true;
  json?: true;
}

interface ShownSession extends SessionState {
  sessionId: string;
}

const DEFAULT_LIMIT = 50;

export function defineShow(program: Command, context: CliContext): void {
  const command = program
    .command("show")
    .description("Print a conversation as it is, or as it was at a point in its history.")
    .argument("<session>", 'the session; "last" is the one of the newest event')
    .option("--at <point>", "as it was: 120, 120+7, 2026-11-24T02:13:00Z or 5m-ago (s, m, h, d)")
    .option(
      "--limit <n>",
      `only the newest n messages (default: ${DEFAULT_LIMIT}; with --json all)`,
      wholeNumber,
    )
    .option("--all", "all messages")
    .option("--reasoning", "print reasoning in full instead of folding it")
    .option("--json", "print one JSON document");
  storeOption(command)
    .addHelpText("after", EXAMPLES)
    .action((session: string, options: ShowOptions) => showSession(session, options, context));
}

const EXAMPLES = `
A point is a revision ("turnlog events" numbers them), a revision and so many of its marks, a time or an age.

Examples:
  $ turnlog show last --reasoning
  $ turnlog show support-42 --at 120 --json`;

async function showSession(argument: string, options: ShowOptions, context: CliContext): Promise<void> {
  const { parsePoint } = await import("../projections/point.ts");
  const point = options.at === undefined ? undefined : parsePoint(options.at, Date.now());
  const shown = await withReadOnlyStore(storeUrl(options, context.env), (store) =>
    readSession(store, argument, point),
  );
  const limit =
    options.all === true ? Infinity : (options.limit ?? (options.json ? Infinity : DEFAULT_LIMIT));
  const messages = limit >= shown.messages.length ? shown.messages : shown.messages.slice(-limit || Infinity);
  if (options.json === true) {
    const { sessionId, revision } = shown;
    return context.out.line(terminalJson({ sessionId, revision, messages }));
  }
  await print({ ...shown, messages }, shown.messages.length - messages.length, options, context);
}

async function readSession(
  store: ConversationStore,
  argument: string,
  point: Point | undefined,
): Promise<ShownSession> {
  const { findSession, sessionNotFound } = await import("./find-session.ts");
  const { sessionId, isDeleted } = await findSession(store, argument);
  if (point !== undefined) return { sessionId, ...(await store.history(sessionId, { at: point })) };
  if (isDeleted) throw sessionNotFound(sessionId);
  return { sessionId, ...(await store.readSession(sessionId)) };
}

async function print(
  { sessionId, revision, title, messages }: ShownSession,
  omitted: number,
  options: ShowOptions,
  { out }: CliContext,
): Promise<void> {
  const { messageText } = await import("./conversation-text.ts");
  const name = title === undefined ? sessionId : `${sessionId}: ${title}`;
  const at = revision === -1 ? "before its first event" : `revision ${revision}`;
  const total = plural(messages.length + omitted, "message");
  await out.line(`${out.style("bold", terminalLine(name))}  ${out.style("dim", `${total} · ${at}`)}`);
  if (omitted > 0) {
    await out.line(out.style("dim", `… ${plural(omitted, "earlier message")}; --all shows them`));
  }
  for (const message of messages) {
    await out.write(`\n${messageText(message, out, { reasoning: options.reasoning === true })}`);
  }
}
