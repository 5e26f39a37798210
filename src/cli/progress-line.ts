import type { ReadProgress } from "../projections/session-index.ts";
import { count } from "./figures.ts";
import type { Output } from "./output.ts";

/** How often a terminal's line changes, ms. */
const TERMINAL_MS = 100;
/** How often a line is printed elsewhere, ms. */
const ELSEWHERE_MS = 3000;

/** Tells how far a long read has come: on a terminal one line that changes, elsewhere a line now and then. */
export class ProgressLine {
  readonly #out: Output;
  readonly #what: string;
  readonly #startedAt = performance.now();
  #shownAt = -Infinity;
  #isShown = false;

  /** @param what is being done, such as "reading the log" */
  constructor(out: Output, what: string) {
    this.#out = out;
    this.#what = what;
  }

  show({ position, head }: ReadProgress): void {
    const now = performance.now();
    const everyMs = this.#out.isTerminal ? TERMINAL_MS : ELSEWHERE_MS;
    if (now - this.#shownAt < everyMs) return;
    this.#shownAt = now;
    const percent = head > 0 ? Math.min(100, Math.floor((position / head) * 100)) : 100;
    const perSecond = count(Math.round(position / Math.max(0.001, (now - this.#startedAt) / 1000)));
    const text = `turnlog: ${this.#what}: ${percent} % (position ${count(position)} of ${count(head)}, ${perSecond}/s)`;
    // Whoever does not read it does not stop the work.
    void this.#out.write(this.#out.isTerminal ? `\r\u001b[2K${text}` : `${text}\n`).catch(() => undefined);
    this.#isShown = true;
  }

  /** Takes the line off a terminal. */
  end(): void {
    if (this.#isShown && this.#out.isTerminal) void this.#out.write("\r\u001b[2K").catch(() => undefined);
    this.#isShown = false;
  }
}
