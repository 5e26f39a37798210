import { setTimeout as delay } from "node:timers/promises";
import type { Command } from "commander";
import { InvalidInputError } from "../errors.ts";
import type { AutopsyOptions, AutopsyReport } from "../forensics/autopsy.ts";
import type { ConversationStore } from "../store/conversation-store.ts";
import type { CliContext } from "./cli-context.ts";
import { eventJson } from "./event-line.ts";
import { ExitCode } from "./exit-code.ts";
import { duration, plural } from "./figures.ts";
import { interruptible } from "./interruptible.ts";
import { wholeNumber } from "./option-values.ts";
import { ProgressLine } from "./progress-line.ts";
import { type StoreOption, storeOption, storeUrl, withReadOnlyStore } from "./store-access.ts";
import { terminalJson } from "./terminal-text.ts";

interface AutopsyCommandOptions extends StoreOption {
  since?: string;
  limit?: number;
  wait?: true;
  json?: true;
}

const DEFAULT_LIMIT = 10;
/** Silent intervals after which a writer elsewhere counts as dead, and a bit for the look itself. */
const INTERVALS_TO_WAIT = 3.1;

export function defineAutopsy(program: Command, context: CliContext): void {
  const command = program
    .command("autopsy")
    .description("Find the turns that began and did not end, and tell what happened to each.")
    .argument("[session]", 'only this session; "last" is the one of the newest event')
    .option("--since <time>", "only turns whose last event is not older: 2h-ago, 2026-11-24T02:13:00Z")
    .option("--limit <n>", `tell at most so many (default: ${DEFAULT_LIMIT}; with --json all)`, wholeNumber)
    .option("--wait", "watch writers on other machines until they are known to be dead or alive")
    .option("--json", "print one JSON document");
  storeOption(command)
    .addHelpText("after", EXAMPLES)
    .action((session: string | undefined, options: AutopsyCommandOptions) =>
      runAutopsy(session, options, context),
    );
}

const EXAMPLES = `
Exit: 0 no crashed turn, 1 a crashed turn or damage was found, 2 wrong usage, 3 could not look. A turn whose writer
lives, or is not known to be dead, is not crashed.

Examples:
  $ turnlog autopsy
  $ turnlog autopsy last --json
  $ turnlog autopsy --since 10m-ago || turnlog repair --all`;

async function runAutopsy(
  argument: string | undefined,
  options: AutopsyCommandOptions,
  context: CliContext,
): Promise<void> {
  const since = options.since === undefined ? undefined : await parseTime(options.since);
  const limit = options.limit ?? (options.json === true ? Infinity : DEFAULT_LIMIT);
  const look = (waiting?: AbortSignal): Promise<AutopsyReport> =>
    withReadOnlyStore(storeUrl(options, context.env), (store) =>
      examine(store, argument, { since, limit }, waiting, context),
    );
  // Only waiting ends early in order: a long look is ended by the signal as any other process.
  const { result, exitCode } =
    options.wait === true ? await interruptible(look) : { result: await look(), exitCode: undefined };
  if (result.counts.crashed > 0 || result.damage.length > 0) context.exitCode = ExitCode.problem;
  if (options.json === true) {
    await context.out.line(terminalJson(toJson(result)));
  } else {
    const { autopsyText } = await import("./autopsy-text.ts");
    await context.out.write(autopsyText(result, context.out, { now: Date.now(), store: options.store }));
  }
  if (exitCode !== undefined) context.exitCode = exitCode;
}

/** The documented shape; events as `turnlog events --json` prints them. */
function toJson({ turns, counts, damage }: AutopsyReport): object {
  const told = turns.map((turn) => ({ ...turn, lastSecond: turn.lastSecond.map(eventJson) }));
  return { turns: told, counts, damage };
}

/** @throws {InvalidInputError} `invalid-point` for anything but a time. */
export async function parseTime(text: string): Promise<number> {
  const { parsePoint } = await import("../projections/point.ts");
  const point = parsePoint(text, Date.now());
  if (point.kind === "time") return point.time;
  throw new InvalidInputError(
    "invalid-point",
    `${JSON.stringify(text)} is no time: write 2026-11-24T02:13:00Z or an age such as 10m-ago (s, m, h, d).`,
  );
}

/** @param waiting where given, writers elsewhere are watched until it aborts */
async function examine(
  store: ConversationStore,
  argument: string | undefined,
  options: AutopsyOptions,
  waiting: AbortSignal | undefined,
  context: CliContext,
): Promise<AutopsyReport> {
  const [{ autopsy }, { findSession }] = await Promise.all([
    import("../forensics/autopsy.ts"),
    import("./find-session.ts"),
  ]);
  const sessionId = argument === undefined ? undefined : (await findSession(store, argument)).sessionId;
  const progress = new ProgressLine(context.err, "no views to ask: reading the log");
  const look = async (): Promise<AutopsyReport> => {
    try {
      return await autopsy(store, { ...options, sessionId, onProgress: (each) => progress.show(each) });
    } finally {
      progress.end();
    }
  };
  const report = await look();
  if (waiting === undefined) return report;
  const watched = report.turns.filter(
    ({ verdict, writer }) => verdict === "unknown" && writer.process === null,
  );
  if (watched.length === 0) return report;
  const longestMs = Math.max(...watched.map(({ writer }) => (writer.heartbeatMs ?? 0) * INTERVALS_TO_WAIT));
  await context.err.note(
    `turnlog: watching for heartbeats of ${plural(watched.length, "turn")} for ${duration(longestMs)}; Ctrl-C tells what is known now.`,
  );
  // Told to stop: what is known by then.
  await delay(longestMs, undefined, { signal: waiting }).catch(() => undefined);
  return look();
}
