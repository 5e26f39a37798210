import { InvalidInputError, NotFoundError, TurnlogError, errorCode } from "../errors.ts";
import type { Turn } from "../store/turn.ts";
import { type TurnVerb, applyVerb } from "./turn-verb.ts";

/** A call that the turn refused; the turn goes on as if the line were not there. */
export interface RefusedVerb {
  /** The line of the input that made the call. */
  line: number;
  verb: TurnVerb["verb"];
  code: string;
  message: string;
}

export interface VerbReports {
  /** Everything up to this line is durable, but what was refused. Called in the order of the lines. */
  onDurable?: ((line: number) => void | Promise<void>) | undefined;
  /** Without it a refusal is a failure. */
  onRefused?: ((refused: RefusedVerb) => void | Promise<void>) | undefined;
}

export interface FailedCall {
  error: unknown;
  line: number;
}

/** Structural calls that may be on their way at once before the caller has to wait for them. */
const MOST_OUTSTANDING = 64;

/** Pieces of a growing part, awaited one by one: that is how the log slows down its input. */
const DELTAS: ReadonlySet<TurnVerb["verb"]> = new Set(["text", "reasoning", "tool-input-delta"]);

/** Verbs whose calls resolve before they are durable. */
const BUFFERED: ReadonlySet<TurnVerb["verb"]> = new Set([...DELTAS, "source", "file"]);

const REFUSED_STATES: ReadonlySet<string | undefined> = new Set(["tool-call-exists", "tool-input-complete"]);

/** Makes the calls that verbs stand for, several at once, and reports in order what became of them. */
export class VerbCalls {
  readonly #turn: Turn;
  readonly #reports: VerbReports;
  /** Structural calls since nothing was on its way. */
  #sinceSettled = 0;
  /** One report after the other. */
  #reported: Promise<void> = Promise.resolve();
  #failure: FailedCall | undefined;

  constructor(turn: Turn, reports: VerbReports) {
    this.#turn = turn;
    this.#reports = reports;
  }

  /** Resolves when more can be taken. Never rejects: see takeFailure. */
  async make(verb: TurnVerb, line: number): Promise<void> {
    const refused = applyVerb(this.#turn, verb).then(
      () => undefined,
      (error: unknown) => this.#onFailed(verb, line, error),
    );
    if (DELTAS.has(verb.verb)) {
      if ((await refused) !== undefined) this.#report(verb, line, refused);
      return;
    }
    this.#sinceSettled++;
    this.#report(verb, line, refused);
    if (this.#sinceSettled >= MOST_OUTSTANDING) await this.settle();
  }

  /** Resolves when nothing is on its way. */
  async settle(): Promise<void> {
    await this.#reported;
    this.#sinceSettled = 0;
  }

  /** The first failure, once: of the turn, or of who was reported to. */
  takeFailure(): FailedCall | undefined {
    const failure = this.#failure;
    this.#failure = undefined;
    return failure;
  }

  #report(verb: TurnVerb, line: number, outcome: Promise<RefusedVerb | "failed" | undefined>): void {
    const { onDurable, onRefused } = this.#reports;
    this.#reported = this.#reported
      .then(async () => {
        const refused = await outcome;
        if (refused === "failed") return;
        if (refused !== undefined) await onRefused?.(refused);
        else if (!BUFFERED.has(verb.verb)) await onDurable?.(line);
      })
      .catch((error: unknown) => {
        this.#failure ??= { error, line };
      });
  }

  /** A failure is known at once; a refusal is told in its turn. */
  #onFailed({ verb }: TurnVerb, line: number, error: unknown): RefusedVerb | "failed" {
    if (this.#reports.onRefused !== undefined && concernsCallAlone(error)) {
      return { line, verb, code: error.code, message: error.message };
    }
    this.#failure ??= { error, line };
    return "failed";
  }
}

/** True where the turn goes on: not where the log failed or the turn was lost. */
function concernsCallAlone(error: unknown): error is TurnlogError {
  if (error instanceof InvalidInputError || error instanceof NotFoundError) return true;
  return error instanceof TurnlogError && REFUSED_STATES.has(errorCode(error));
}
