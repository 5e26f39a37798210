import type { Command } from "commander";
import type { SessionInfo, SessionSize } from "../projections/session-index.ts";
import type { CliContext } from "./cli-context.ts";
import { bytes, count, utcSeconds } from "./figures.ts";
import { wholeNumber } from "./option-values.ts";
import { type StoreOption, storeOption, storeUrl, withReadOnlyStore } from "./store-access.ts";
import { type Column, tableLines } from "./table.ts";
import { terminalJson, terminalLine } from "./terminal-text.ts";

interface SessionsOptions extends StoreOption {
  prefix?: string;
  limit: number;
  all?: true;
  json?: true;
}

export function defineSessions(program: Command, context: CliContext): void {
  const command = program
    .command("sessions")
    .description("List the sessions, newest first, with what each takes in the log.")
    .option("--prefix <text>", "only sessions whose id begins so")
    .option("--limit <n>", "at most so many", wholeNumber, 50)
    .option("--all", "all of them")
    .option("--json", "print one JSON document");
  storeOption(command)
    .addHelpText("after", EXAMPLE)
    .action((options: SessionsOptions) => listSessions(options, context));
}

const EXAMPLE = `
Example:
  $ turnlog sessions --prefix support- --limit 10`;

async function listSessions(options: SessionsOptions, context: CliContext): Promise<void> {
  const limit = options.all === true ? Infinity : options.limit;
  const url = storeUrl(options, context.env);
  const found = await withReadOnlyStore(url, (store) =>
    store.listSessionSizes({ limit: limit + 1, prefix: options.prefix }),
  );
  const sessions = found.slice(0, limit);
  if (options.json === true) {
    return context.out.line(terminalJson({ sessions: sessions.map(toJson) }));
  }
  await printTable(sessions, context);
  if (found.length > limit) {
    await context.err.note(`turnlog: only the newest ${count(limit)} are listed; --all lists the rest.`);
  }
}

/** The documented shape: every key is always there. */
function toJson({ id, title, messageCount, lastActive, events, bytes }: SessionInfo & SessionSize): object {
  return { id, title: title ?? null, messageCount, lastActive, events, bytes };
}

async function printTable(
  sessions: readonly (SessionInfo & SessionSize)[],
  { out }: CliContext,
): Promise<void> {
  const columns: SessionColumn[] = [
    { title: "SESSION", cell: ({ id }) => terminalLine(id) },
    { title: "TITLE", maxWidth: 40, cell: ({ title }) => terminalLine(title ?? "") },
    { title: "MESSAGES", align: "right", cell: ({ messageCount }) => count(messageCount) },
    { title: "LAST ACTIVE", cell: ({ lastActive }) => utcSeconds(lastActive) },
    { title: "EVENTS", align: "right", cell: ({ events }) => count(events) },
    { title: "BYTES", align: "right", cell: (session) => bytes(session.bytes) },
  ];
  // Titles are rare: without one the column would be a gap.
  const shown = columns.filter(({ title }) => title !== "TITLE" || sessions.some((each) => each.title));
  const rows = sessions.map((session) => shown.map(({ cell }) => cell(session)));
  const [header = "", ...lines] = tableLines(shown, rows);
  await out.line(out.style("bold", header));
  for (const line of lines) await out.line(line);
}

interface SessionColumn extends Column {
  cell(session: SessionInfo & SessionSize): string;
}
