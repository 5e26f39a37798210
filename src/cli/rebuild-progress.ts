import type { RebuildProgress } from "../projections/rebuild.ts";
import type { CliContext } from "./cli-context.ts";
import { count, duration } from "./figures.ts";
import { terminalJson, terminalLine } from "./terminal-text.ts";

export interface ProgressPrinter {
  show(progress: RebuildProgress): void;
  /** Leaves the terminal as it was; resolves when all is printed. */
  end(): Promise<void>;
}

const LINE_EVERY_MS = 3000;
const REDRAW_EVERY_MS = 100;
const CLEAR_LINE = "\r\u001b[2K";

/**
 * Progress goes to stderr: one line that changes on a terminal, a line every few seconds elsewhere; with --json to
 * stdout, as JSON lines.
 */
export function rebuildProgress(
  { json, quiet }: { json?: true; quiet?: true },
  { out, err }: CliContext,
): ProgressPrinter {
  let lastShown = json === true || err.isTerminal ? 0 : performance.now();
  let isDrawn = false;
  let printed: Promise<void> = Promise.resolve();
  const print = (write: () => Promise<void>): void => {
    // Nobody left to read it is no reason to stop a rebuild.
    printed = printed.then(write).catch(() => undefined);
  };
  return {
    show(progress) {
      if (quiet === true) return;
      const now = performance.now();
      if (now - lastShown < (json !== true && err.isTerminal ? REDRAW_EVERY_MS : LINE_EVERY_MS)) return;
      lastShown = now;
      if (json === true) print(() => out.line(terminalJson({ kind: "progress", ...progress })));
      else if (err.isTerminal) {
        isDrawn = true;
        const line = describe(progress).slice(0, err.width - 1);
        print(() => err.write(`${CLEAR_LINE}${line}`));
      } else print(() => err.line(describe(progress)));
    },
    async end() {
      if (isDrawn) print(() => err.write(CLEAR_LINE));
      await printed;
    },
  };
}

function describe({ phase, position, ceiling, events, eventsPerSecond, session }: RebuildProgress): string {
  const where = session === undefined ? "" : `, ${JSON.stringify(session)}`;
  const rate = count(Math.round(eventsPerSecond));
  if (phase === "verifying") return terminalLine(`comparing: ${count(events)} sessions (${rate}/s)${where}`);
  const share = ceiling <= 0 ? 100 : Math.min(100, Math.floor((100 * position) / ceiling));
  const left = Math.max(0, ceiling - position) / Math.max(eventsPerSecond, 1);
  const eta = left > 0 ? `, ${duration(left * 1000)} left` : "";
  return terminalLine(
    `${share} %: position ${count(position)} of ${count(ceiling)}, ${rate} events/s${eta}${where}`,
  );
}
