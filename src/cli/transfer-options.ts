import type { TransferProgress, TransferReport, TransferSelection } from "../forensics/transfer.ts";
import { InvalidInputError } from "../errors.ts";
import type { CliContext } from "./cli-context.ts";
import { count, plural } from "./figures.ts";
import { interruptible } from "./interruptible.ts";
import { StepProgress } from "./step-progress.ts";
import { terminalJson, terminalLine } from "./terminal-text.ts";

/** What export, import and copy have in common. */
export interface TransferFlags {
  session?: string[];
  since?: string;
  as?: string;
  json?: true;
  quiet?: true;
}

/** For options that may be given several times. */
export function collect(value: string, before: string[] | undefined): string[] {
  return [...(before ?? []), value];
}

/** @throws {InvalidInputError} `invalid-usage`, `invalid-point`, `invalid-session-id` */
export async function selectionOf({ session, since, as }: TransferFlags): Promise<TransferSelection> {
  const [{ checkSessionId }, { parsePoint }] = await Promise.all([
    import("../store/message-input.ts"),
    import("../projections/point.ts"),
  ]);
  for (const each of [...(session ?? []), ...(as === undefined ? [] : [as])]) checkSessionId(each);
  if (as !== undefined && session?.length !== 1)
    throw new InvalidInputError("invalid-usage", "--as names one session anew: select it with --session.");
  const point = since === undefined ? undefined : parsePoint(since, Date.now());
  if (point !== undefined && point.kind !== "time")
    throw new InvalidInputError(
      "invalid-usage",
      "--since takes a time: 2026-11-24T02:13:00Z, or 5m-ago (s, m, h, d).",
    );
  return { sessions: session, since: point?.time };
}

/**
 * Runs a transfer with its progress; undefined where a signal stopped it, which is told. On stdout may be what is
 * transferred: progress goes to stderr.
 */
export async function runTransfer<Result>(
  name: string,
  quiet: boolean,
  context: CliContext,
  work: (options: {
    signal: AbortSignal;
    onProgress: (progress: TransferProgress) => void;
  }) => Promise<Result>,
): Promise<Result | undefined> {
  const progress = new StepProgress(context.err, { transfer: name }, quiet);
  const onProgress = ({ position, head }: TransferProgress): void =>
    progress.show({ phase: "transfer", done: position, total: head });
  const ran = await interruptible(async (signal) => {
    try {
      return await work({ signal, onProgress });
    } catch (error) {
      if (!signal.aborted) throw error;
      await context.err.note(
        "turnlog: interrupted; what was done is complete, and the same command goes on.",
      );
      return undefined;
    } finally {
      progress.end();
    }
  });
  if (ran.exitCode !== undefined) context.exitCode = ran.exitCode;
  return ran.result;
}

export async function printReport(
  report: TransferReport,
  { json, quiet }: TransferFlags,
  { out }: CliContext,
): Promise<void> {
  if (json === true) return out.line(terminalJson(report));
  if (quiet === true) return;
  const { alreadyThere, appended, sessions, renewedSessions } = report;
  const there = alreadyThere === 0 ? "" : `; ${count(alreadyThere)} were there already`;
  await out.line(`${plural(appended, "event")} appended, of ${plural(sessions, "session")}${there}.`);
  if (renewedSessions.length === 0) return;
  const names = renewedSessions.slice(0, 5).map((name) => JSON.stringify(name));
  const more = renewedSessions.length > names.length ? ", …" : "";
  await out.line(
    terminalLine(
      `The target has message ids of its own, so messages got new ones in ${plural(renewedSessions.length, "session")}: ${names.join(", ")}${more}.`,
    ),
  );
}
