import { type Command, Option } from "commander";
import { InvalidInputError } from "../errors.ts";
import type { RecordProtocol } from "../recording/detect-protocol.ts";
import type { RecordSummary } from "../recording/record-stream.ts";
import type { RefusedVerb } from "../recording/verb-calls.ts";
import type { ConversationStore } from "../store/conversation-store.ts";
import type { TurnWriter } from "../store/turn-writer.ts";
import type { CliContext } from "./cli-context.ts";
import { ExitCode } from "./exit-code.ts";
import { count, plural } from "./figures.ts";
import { interruptible } from "./interruptible.ts";
import { milliseconds } from "./option-values.ts";
import { OutputClosed } from "./output.ts";
import { type StoreOption, storeOption, storeUrl, withStore } from "./store-access.ts";
import { terminalJson, terminalLine } from "./terminal-text.ts";

interface RecordCommandOptions extends StoreOption {
  user?: string;
  model?: string;
  protocol: "auto" | RecordProtocol;
  pace: number;
  ack?: true;
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
        .choices(["auto", "openai-chat", "openai-responses", "anthropic", "turnlog"])
        .default("auto"),
    )
    .option("--ack", "with --protocol turnlog: print a JSON line for whatever has become durable")
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

The protocol turnlog is for agent runtimes in other languages: a line is a call of the turn writer, such as
{"verb":"text","text":"Hi"}. docs/record-protocol.md lists the verbs and what --ack prints.

Examples:
  $ curl -N https://… | turnlog record support-42 --user "Why is my order late?"
  $ turnlog record replay --pace 30 < stream.jsonl`;

async function record(sessionId: string, options: RecordCommandOptions, context: CliContext): Promise<void> {
  if (options.ack === true && options.protocol !== "turnlog") {
    throw new InvalidInputError(
      "ack-without-turnlog",
      "--ack acknowledges the verbs of a runtime: it needs --protocol turnlog.",
    );
  }
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
  { user, model, protocol, pace, ack }: RecordCommandOptions,
  context: CliContext,
  signal: AbortSignal,
): Promise<RecordedTurn> {
  const { recordLines } = await import("../recording/record-stream.ts");
  const { stdin } = context.streams;
  const turn = await store.beginTurn(sessionId, { user, model });
  const { messageId, turnId } = turn;
  const acknowledge = async (fact: object): Promise<void> => {
    if (ack === true) await printFact(context, fact);
  };
  try {
    await acknowledge({ type: "begin", line: 0, sessionId, messageId, turnId });
    const summary = await recordLines(turn, stdin, {
      protocol,
      paceMs: pace,
      signal,
      onDurable: (line) => acknowledge({ type: "durable", line }),
      onRefused: async (refused) => {
        await noteRefusal(context, refused);
        await acknowledge({ type: "refused", ...refused });
      },
    });
    const messages = await store.listMessages(sessionId, { limit: Infinity });
    const parts = messages.find(({ id }) => id === turn.messageId)?.parts.length ?? 0;
    return { turn, summary, parts };
  } finally {
    stdin.destroy(); // Its writer may stay silent for ever.
  }
}

/** For the program at the other end of the pipe. One that has stopped listening is no reason to stop recording. */
async function printFact({ out }: CliContext, fact: object): Promise<void> {
  try {
    await out.line(terminalJson(fact));
  } catch (error) {
    if (!(error instanceof OutputClosed)) throw error;
  }
}

async function noteRefusal({ err }: CliContext, { line, message, code }: RefusedVerb): Promise<void> {
  await err.note(`turnlog: ${terminalLine(`line ${line} was refused: ${message} (${code})`)}`);
}

async function report(
  recorded: RecordedTurn,
  options: RecordCommandOptions,
  context: CliContext,
): Promise<void> {
  const { outcome, error, line, refused } = recorded.summary;
  if (outcome !== "finished" || refused > 0) context.exitCode = ExitCode.problem;
  if (outcome !== "finished") {
    const code = error?.code === undefined ? "" : ` (${error.code})`;
    const why = error === undefined ? `the turn ended as ${outcome}` : `${error.message}${code}`;
    await context.err.note(`turnlog: ${terminalLine(why)}`);
  }
  if (options.ack === true) return printFact(context, { type: "end", line, ...toJson(recorded), refused });
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
  const { outcome, deltas, toolCalls, refused, finishReason, usage, unknownKinds } = summary;
  const facts = [
    `${outcome}: message #${turn.messageId} in ${JSON.stringify(turn.sessionId)}`,
    plural(parts, "part"),
    plural(deltas, "delta"),
    plural(toolCalls, "tool call"),
  ];
  if (refused > 0) facts.push(`${refused} refused`);
  if (usage?.inputTokens !== undefined) facts.push(`${count(usage.inputTokens)} tokens in`);
  if (usage?.outputTokens !== undefined) facts.push(`${count(usage.outputTokens)} out`);
  if (finishReason !== undefined) facts.push(finishReason);
  const unknown = Object.entries(unknownKinds).map(([kind, times]) => `${kind} ×${times}`);
  if (unknown.length > 0) facts.push(`unknown chunk kinds: ${unknown.join(", ")}`);
  return facts.join(", ");
}
