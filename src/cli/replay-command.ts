import { type Command, InvalidArgumentError } from "commander";
import type { ToolPart } from "../events/stored-part.ts";
import type { Replay, ReplayChange, ReplaySelection, ReplayStep } from "../forensics/replay.ts";
import type { CliContext } from "./cli-context.ts";
import { plural, utcMilliseconds } from "./figures.ts";
import { interruptible } from "./interruptible.ts";
import { shellWord } from "./next-command.ts";
import type { Output } from "./output.ts";
import { type StoreOption, storeOption, storeUrl, withReadOnlyStore } from "./store-access.ts";
import { terminalJson, terminalLine } from "./terminal-text.ts";

interface ReplayOptions extends StoreOption {
  turn?: number | "last";
  speed: number;
  from?: string;
  to?: string;
  json?: true;
}

/** Text of a change that is printed on its line. */
const MOST_TEXT = 200;
const INTERRUPTED = 130;

export function defineReplay(program: Command, context: CliContext): void {
  const command = program
    .command("replay")
    .description("Play a turn back with the recorded time of every delta; step through it by hand.")
    .argument("<session>", 'the session; "last" is the one of the newest event')
    .option("--turn <n>", 'which of its turns, counted from 1, or "last" (default)', turnNumber)
    .option("--from <point>", "after this point: 120, 120+7, 2026-11-24T02:13:00Z or 5m-ago (s, m, h, d)")
    .option("--to <point>", "up to this point; without --turn, a range of the whole session")
    .option("--speed <x>", "2 is twice as fast, 0 at once", speedFactor, 1)
    .option("--json", "print JSON lines, one a delta, at once");
  storeOption(command)
    .addHelpText("after", EXAMPLES)
    .action((session: string, options: ReplayOptions) => replay(session, options, context));
}

const EXAMPLES = `
Keys: space pauses and goes on, ← → step delta by delta, ↑ ↓ event by event, + - change the speed, q quits.
Without a terminal the sequence is printed at once, a line a delta.

Examples:
  $ turnlog replay last
  $ turnlog replay support-42 --turn 3 --speed 4
  $ turnlog replay support-42 --from 118 --to 120+7 --json`;

function turnNumber(text: string): number | "last" {
  if (text === "last") return "last";
  const value = Number(text);
  if (/^\d+$/.test(text) && Number.isSafeInteger(value) && value > 0) return value;
  throw new InvalidArgumentError('It must be an integer from 1, or "last".');
}

function speedFactor(text: string): number {
  const value = Number(text);
  if (/^\d+(\.\d+)?$/.test(text) && value <= 1_000_000 && (value === 0 || value >= 0.000_001)) return value;
  throw new InvalidArgumentError("It must be a number from 0.");
}

async function replay(argument: string, options: ReplayOptions, context: CliContext): Promise<void> {
  const { out, env, streams } = context;
  const [{ parsePoint }, { findSession }, { readReplay }] = await Promise.all([
    import("../projections/point.ts"),
    import("./find-session.ts"),
    import("../forensics/replay.ts"),
  ]);
  const now = Date.now();
  const selection: ReplaySelection = {
    turn: options.turn,
    from: options.from === undefined ? undefined : parsePoint(options.from, now),
    to: options.to === undefined ? undefined : parsePoint(options.to, now),
  };
  // The store is closed before anything is played: a person may look at it for hours.
  const found = await withReadOnlyStore(storeUrl(options, env), async (store) =>
    readReplay(store.log, (await findSession(store, argument)).sessionId, selection),
  );
  if (options.json === true) return printJson(found, out);
  if (out.isTerminal && options.speed === 0) return printTranscript(found, out);
  // A getter: to look at stdin is to open it.
  if (!out.isTerminal || streams.stdin.isTTY !== true) return printSequence(found, out);
  await play(found, options, context);
}

async function play(found: Replay, { speed, store }: ReplayOptions, context: CliContext): Promise<void> {
  const { playOnTerminal } = await import("./replay-terminal.ts");
  const { result, exitCode } = await interruptible((signal) =>
    playOnTerminal(found, { speed, signal }, context),
  );
  if (exitCode !== undefined || result.isInterrupted) context.exitCode = exitCode ?? INTERRUPTED;
  const { point } = result;
  if (point === undefined) return;
  const words = [
    "turnlog",
    "show",
    found.sessionId,
    "--at",
    point,
    ...(store === undefined ? [] : ["--store", store]),
  ];
  await context.out.line(
    `Stopped at ${point}. To see it as it was there:\n  ${terminalLine(words.map(shellWord).join(" "))}`,
  );
}

/** The documented shape: each delta, or event that is none, on a line. */
async function printJson({ sessionId, turn, steps }: Replay, out: Output): Promise<void> {
  const startedAt = steps[0]?.time ?? 0;
  for (const { point, revision, type, cause, time, waitMs, changes } of steps) {
    const elapsedMs = time - startedAt;
    await out.line(
      terminalJson({
        sessionId,
        turn,
        point,
        revision,
        type,
        cause,
        time: utcMilliseconds(time),
        elapsedMs,
        waitMs,
        changes,
      }),
    );
  }
}

async function printSequence(found: Replay, out: Output): Promise<void> {
  await out.line(heading(found));
  const startedAt = found.steps[0]?.time ?? 0;
  for (const step of found.steps) {
    const elapsed = `+${((step.time - startedAt) / 1000).toFixed(3)}`.padStart(10);
    for (const line of describe(step)) await out.line(`${elapsed}  ${step.point.padEnd(8)} ${line}`);
  }
}

async function printTranscript(found: Replay, out: Output): Promise<void> {
  const { ReplayTranscript } = await import("./replay-transcript.ts");
  const transcript = new ReplayTranscript(out);
  for (const step of found.steps) transcript.take(step);
  await out.line(heading(found));
  for (const line of transcript.lastLines(Infinity)) await out.line(line);
}

function heading({ sessionId, turn, turns, steps }: Replay): string {
  const what = turn === null ? "a range of the session" : `turn ${turn} of ${turns}`;
  return `${terminalLine(sessionId)}  ${what} · ${plural(steps.length, "step")}`;
}

function describe({ changes, type }: ReplayStep): string[] {
  return changes.length === 0
    ? [`${type}  nothing that shows`]
    : changes.map((change) => terminalLine(changeLine(change)));
}

function changeLine(change: ReplayChange): string {
  const of = "messageId" in change ? `#${change.messageId} ` : "";
  return `${change.kind.padEnd(12)} ${of}${detailsOf(change)}`.trimEnd();
}

function detailsOf(change: ReplayChange): string {
  switch (change.kind) {
    case "text":
    case "reasoning":
      return quote(change.text);
    case "tool-input":
      return `${change.name} ${quote(change.text)}`;
    case "tool": {
      const { name, state, input, output } = change.tool as ToolPart;
      const value = output === undefined ? quote(String(input)) : `→ ${shorten(JSON.stringify(output))}`;
      return `${String(name)} ${String(state)} ${value}`;
    }
    case "message": {
      const text = change.parts
        .map((part) => String((part as { text?: unknown }).text ?? part.kind))
        .join(" ");
      return `${change.role} ${text === "" ? "" : quote(text)}`;
    }
    case "turn-started":
      return [change.turn, change.model ?? ""].join(" ");
    case "turn-ended":
      return [
        change.outcome,
        change.finishReason ?? "",
        change.error?.message ?? "",
        change.isRepair ? "(repair)" : "",
      ]
        .filter((word) => word !== "")
        .join(" ");
    default: {
      const { kind: _kind, messageId: _id, ...rest } = change as ReplayChange & { messageId?: number };
      return Object.keys(rest).length === 0 ? "" : shorten(JSON.stringify(rest));
    }
  }
}

const quote = (text: string): string => shorten(JSON.stringify(text));

function shorten(text: string): string {
  return text.length <= MOST_TEXT
    ? text
    : `${text.slice(0, MOST_TEXT)}… (${plural(text.length, "character")})`;
}
