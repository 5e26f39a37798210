import type { Turn } from "../store/turn.ts";

/**
 * What recordStream and recordedTools know together of a turn's tool calls. The SDK runs tools beside the stream
 * that it hands out, so either may be the first to see a call.
 */
export class TurnToolCalls {
  static readonly #ofTurns = new WeakMap<Turn, TurnToolCalls>();

  /** The same for every caller that has the turn. */
  static of(turn: Turn): TurnToolCalls {
    const known = this.#ofTurns.get(turn);
    if (known !== undefined) return known;
    const calls = new TurnToolCalls();
    this.#ofTurns.set(turn, calls);
    return calls;
  }

  /** Calls whose input is complete in the turn. */
  readonly complete = new Set<string>();
  /** Names of tools whose start is recorded when it happens. */
  readonly startsAreRecorded = new Set<string>();
  /** The SDK's id → the turn's, where a later step used an id again. */
  readonly #renamed = new Map<string, string>();
  readonly #passed = new Set<string>();
  readonly #waiting = new Map<string, () => void>();
  #isStreaming = false;

  /** The turn's id of a call that the stream named. */
  idOf(toolCallId: string): string {
    return this.#renamed.get(toolCallId) ?? toolCallId;
  }

  /** The stream begins a call: its id in the turn, a new one where the stream has used this one before. */
  begin(toolCallId: string): string {
    let id = toolCallId;
    for (let copy = 2; this.#passed.has(id); copy++) id = `${toolCallId}-${copy}`;
    if (id !== toolCallId) this.#renamed.set(toolCallId, id);
    return id;
  }

  /** The stream has brought the whole call, and it is recorded. */
  pass(id: string): void {
    this.complete.add(id);
    this.#passed.add(id);
    this.#waiting.get(id)?.();
    this.#waiting.delete(id);
  }

  streamBegins(): void {
    this.#isStreaming = true;
  }

  streamEnds(): void {
    this.#isStreaming = false;
    for (const goOn of this.#waiting.values()) goOn();
    this.#waiting.clear();
  }

  /** Resolves when the call stands in the turn at its place among the text, or when no stream will bring it. */
  async whenPassed(id: string): Promise<void> {
    if (!this.#isStreaming || this.#passed.has(id)) return;
    await new Promise<void>((resolve) => this.#waiting.set(id, resolve));
  }
}
