import { count } from "./figures.ts";
import type { Output } from "./output.ts";

/** How often a terminal's line changes, ms. */
const TERMINAL_MS = 100;
/** How often a line is printed elsewhere, ms. */
const ELSEWHERE_MS = 3000;

export interface Step<Phase extends string> {
  readonly phase: Phase;
  readonly done: number;
  /** 0 where it is not known. */
  readonly total: number;
}

/**
 * Tells how far work of several phases has come, on stderr: on a terminal one line that changes, elsewhere a line now
 * and then.
 */
export class StepProgress<Phase extends string> {
  readonly #out: Output;
  readonly #names: Readonly<Record<Phase, string>>;
  readonly #isQuiet: boolean;
  #shownAt: number;
  #isShown = false;

  constructor(out: Output, names: Readonly<Record<Phase, string>>, isQuiet: boolean) {
    this.#out = out;
    this.#names = names;
    this.#isQuiet = isQuiet;
    // Work that is done at once needs no line.
    this.#shownAt = performance.now();
  }

  show({ phase, done, total }: Step<Phase>): void {
    const now = performance.now();
    if (this.#isQuiet || now - this.#shownAt < (this.#out.isTerminal ? TERMINAL_MS : ELSEWHERE_MS)) return;
    this.#shownAt = now;
    const share =
      total > 0
        ? `${Math.min(100, Math.floor((100 * done) / total))} % (${count(done)} of ${count(total)})`
        : count(done);
    const text = `turnlog: ${this.#names[phase]}: ${share}`;
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
