import { stat } from "node:fs/promises";
import type { Command } from "commander";
import type { Amount, LogStats } from "../forensics/log-stats.ts";
import type { CliContext } from "./cli-context.ts";
import { bytes, count, plural, utcSeconds } from "./figures.ts";
import { wholeNumber } from "./option-values.ts";
import type { Output } from "./output.ts";
import { ProgressLine } from "./progress-line.ts";
import { type StoreOption, storeOption, storeUrl, withReadOnlyStore } from "./store-access.ts";
import { type Column, tableLines } from "./table.ts";
import { terminalJson, terminalLine } from "./terminal-text.ts";

interface StatsOptions extends StoreOption {
  top: number;
  json?: true;
}

/** What the store takes on the disk; null where it is no file. */
interface FileSizes {
  log: number | null;
  views: number | null;
}

const DAYS_SHOWN = 14;

export function defineStats(program: Command, context: CliContext): void {
  const command = program
    .command("stats")
    .description(
      "Count the log: events, bytes, sessions, deltas per event, biggest sessions, growth per day.",
    )
    .option("--top <n>", "so many of the biggest sessions", wholeNumber, 10)
    .option("--json", "print one JSON document, with every day");
  storeOption(command)
    .addHelpText("after", EXAMPLE)
    .action((options: StatsOptions) => printStats(options, context));
}

const EXAMPLE = `
Bytes are those of the events' JSON; the file takes fewer, because events are packed.

Example:
  $ turnlog stats --top 3`;

async function printStats(options: StatsOptions, context: CliContext): Promise<void> {
  const { logStats } = await import("../forensics/log-stats.ts");
  const url = storeUrl(options, context.env);
  const progress = new ProgressLine(context.err, "reading the log");
  const { stats, files } = await withReadOnlyStore(url, async (store) => {
    try {
      const counted = await logStats(store.log, {
        top: options.top,
        onProgress: (each) => progress.show(each),
      });
      return { stats: counted, files: await fileSizes(url) };
    } finally {
      progress.end();
    }
  });
  if (options.json === true) return context.out.line(terminalJson({ ...stats, files }));
  await context.out.write(statsText(stats, files, context.out));
}

async function fileSizes(url: string): Promise<FileSizes> {
  const { parseStoreUrl } = await import("../log/open-event-log.ts");
  const location = parseStoreUrl(url);
  if (location.engine !== "sqlite") return { log: null, views: null };
  // Names and sizes only: the database itself is SQLite's to open.
  const sizeOf = async (path: string): Promise<number> => {
    const sizes = await Promise.all(
      [path, `${path}-wal`].map((file) =>
        stat(file).then(
          ({ size }) => size,
          () => 0,
        ),
      ),
    );
    return sizes.reduce((sum, size) => sum + size, 0);
  };
  return { log: await sizeOf(location.path), views: await sizeOf(`${location.path}.views`) };
}

function statsText(stats: LogStats, files: FileSizes, out: Output): string {
  const deleted = stats.deletedSessions === 0 ? "" : ` and ${count(stats.deletedSessions)} deleted`;
  const perEvent = stats.deltaEvents === 0 ? "–" : (stats.deltas / stats.deltaEvents).toFixed(1);
  const lines = [
    `${out.style("bold", plural(stats.events, "event"))} of ${bytes(stats.bytes)} in ${plural(stats.sessions, "session")}${deleted}`,
    `${plural(stats.turns, "turn")}, ${plural(stats.deltas, "delta")}, ${perEvent} deltas per event`,
  ];
  if (files.log !== null && files.views !== null)
    lines.push(`${bytes(files.log)} in the log's file, ${bytes(files.views)} in its views`);
  if (stats.oldest !== null && stats.newest !== null)
    lines.push(`from ${utcSeconds(stats.oldest)} to ${utcSeconds(stats.newest)}`);
  const shownDays = stats.days.slice(-DAYS_SHOWN);
  const tables = [
    table(
      "BIGGEST SESSIONS",
      stats.biggestSessions.map(({ sessionId, ...amount }) => [terminalLine(sessionId), amount]),
      out,
    ),
    table(
      stats.days.length > shownDays.length ? `THE LAST ${DAYS_SHOWN} DAYS` : "DAY",
      shownDays.map(({ day, ...amount }) => [day, amount]),
      out,
    ),
  ];
  return `${[...lines, ...tables.flat()].join("\n")}\n`;
}

function table(title: string, rows: readonly (readonly [string, Amount])[], out: Output): string[] {
  if (rows.length === 0) return [];
  const columns: Column[] = [
    { title, maxWidth: 48 },
    { title: "EVENTS", align: "right" },
    { title: "BYTES", align: "right" },
    { title: "DELTAS", align: "right" },
  ];
  const cells = rows.map(([name, amount]) => [
    name,
    count(amount.events),
    bytes(amount.bytes),
    count(amount.deltas),
  ]);
  const [header = "", ...lines] = tableLines(columns, cells);
  return ["", out.style("bold", header), ...lines];
}
