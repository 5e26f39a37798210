import { type Command, Option } from "commander";
import type { RecordSummary } from "../recording/record-stream.ts";
import type { ConversationStore } from "../store/conversation-store.ts";
import type { TurnWriter } from "../store/turn-writer.ts";
import type { CliContext } from "./cli-context.ts";
import { ExitCode } from "./exit-code.ts";
import { count, plural } from "./figures.ts";
import { interruptible } from "./interruptible.ts";
import { milliseconds } from "./option-values.ts";
import { type StoreOption, storeOption, storeUrl, withStore } from "./store-access.ts";
import { terminalJson, terminalLine } from "./terminal-text.ts";

interface RecordCommandOptions extends StoreOption {
  user?: string;
  model?: string;
  protocol: "auto" | "openai-chat" | "openai-responses" | "anthropic";
  pace: number;
  json?: true;
}

interface RecordedTurn {
  turn: TurnWriter;
  summary: RecordSummary;
  /** Of the message as stored. */
  parts: number;
}

export function defineRecord(program: Command, context: CliContext): void {
  const command = program
    .command("record")
    .description("Record a model's stream from stdin as one turn, chunk by chunk as it arrives.")
    .argument("<session>", "the session; made where there is none")
    .option("--user <text>", "the user's message that the turn answers")
    .option("--model <name>", "the model, for the record")
    .addOption(
      new Option("--protocol <name>", "what the chunks are")
        .choices(["auto", "openai-chat", "openai-responses", "anthropic"])
        .default("auto"),
    )
    .option("--pace <ms>", "wait so long between chunks", milliseconds, 0)
    .option("--json", "print the summary as one JSON document");
  storeOption(command)
    .addHelpText("after", EXAMPLES)
    .action((session: string, options: RecordCommandOptions) => record(session, options, context));
}

const EXAMPLES = `
The input is one JSON chunk a line; server-sent events (data: …, event: …, [DONE]) are taken as they are. A line
that is no JSON, or an input that ends before the stream does, ends the turn as failed (exit 1); everything before
it is kept. Ctrl-C ends the turn as aborted.

Examples:
  $ curl -N https://… | turnlog record support-42 --user "Why is my order late?"
  $ turnlog record replay --pace 30 < stream.jsonl`;

async function record(sessionId: string, options: RecordCommandOptions, context: CliContext): Promise<void> {
  const { checkSessionId } = await import("../store/message-input.ts");
  checkSessionId(sessionId); // Before the store: a wrong name must not leave an empty one.
  if (context.streams.stdin.isTTY === true) {
    await context.err.note(
      "turnlog: reading chunks from the terminal, one JSON object a line; end with Ctrl-D. A stream is usually piped in: curl -N … | turnlog record SESSION",
    );
  }
  const url = storeUrl(options, context.env);
  const recorded = await withStore(url, { label: "turnlog record" }, (store) =>
    interruptible((signal) => recordTurn(store, sessionId, options, context, signal)),
  );
  await report(recorded.result, options, context);
  if (recorded.exitCode !== undefined) context.exitCode = recorded.exitCode;
}

async function recordTurn(
  store: ConversationStore,
  sessionId: string,
  { user, model, protocol, pace }: RecordCommandOptions,
  { streams }: CliContext,
  signal: AbortSignal,
): Promise<RecordedTurn> {
  const { recordLines } = await import("../recording/record-stream.ts");
  const turn = await store.beginTurn(sessionId, { user, model });
  try {
    const summary = await recordLines(turn, streams.stdin, { protocol, paceMs: pace, signal });
    const messages = await store.listMessages(sessionId, { limit: Infinity });
    const parts = messages.find(({ id }) => id === turn.messageId)?.parts.length ?? 0;
    return { turn, summary, parts };
  } finally {
    streams.stdin.destroy(); // Its writer may stay silent for ever.
  }
}

async function report(
  recorded: RecordedTurn,
  options: RecordCommandOptions,
  context: CliContext,
): Promise<void> {
  const { outcome, error } = recorded.summary;
  if (outcome !== "finished") {
    context.exitCode = ExitCode.problem;
    const code = error?.code === undefined ? "" : ` (${error.code})`;
    const why = error === undefined ? `the turn ended as ${outcome}` : `${error.message}${code}`;
    await context.err.note(`turnlog: ${terminalLine(why)}`);
  }
  await context.out.line(
    options.json === true ? terminalJson(toJson(recorded)) : terminalLine(describe(recorded)),
  );
}

/** The documented shape; keys that do not apply are null. */
function toJson({ turn, summary, parts }: RecordedTurn): object {
  const { outcome, protocol, chunks, deltas, toolCalls, unknownKinds, finishReason, usage, error } = summary;
  return {
    sessionId: turn.sessionId,
    messageId: turn.messageId,
    turnId: turn.turnId,
    outcome,
    protocol: protocol ?? null,
    chunks,
    parts,
    deltas,
    toolCalls,
    unknownKinds,
    finishReason: finishReason ?? null,
    usage: usage ?? null,
    error: error ?? null,
  };
}

function describe({ turn, summary, parts }: RecordedTurn): string {
  const { outcome, deltas, toolCalls, finishReason, usage, unknownKinds } = summary;
  const facts = [
    `${outcome}: message #${turn.messageId} in ${JSON.stringify(turn.sessionId)}`,
    plural(parts, "part"),
    plural(deltas, "delta"),
    plural(toolCalls, "tool call"),
  ];
  if (usage?.inputTokens !== undefined) facts.push(`${count(usage.inputTokens)} tokens in`);
  if (usage?.outputTokens !== undefined) facts.push(`${count(usage.outputTokens)} out`);
  if (finishReason !== undefined) facts.push(finishReason);
  const unknown = Object.entries(unknownKinds).map(([kind, times]) => `${kind} ×${times}`);
  if (unknown.length > 0) facts.push(`unknown chunk kinds: ${unknown.join(", ")}`);
  return facts.join(", ");
}
