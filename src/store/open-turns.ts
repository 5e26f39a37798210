import { FlushScheduler } from "./flush-scheduler.ts";
import type { ModelMessage } from "./model-message-types.ts";
import type { Session } from "./session.ts";
import { type PromptOptions, TurnWriter } from "./turn-writer.ts";
import type { Writer } from "./writer.ts";

export interface OpenTurnsOptions {
  /** Gives signs of life while a turn is open. */
  readonly writer: Writer;
  /** See `ConversationStoreOptions`. */
  readonly flushIntervalMs: number | undefined;
  readonly maxAppendBytes: number;
  readPrompt(sessionId: string, options: PromptOptions | undefined): Promise<ModelMessage[]>;
}

/** The turns that a store is writing: they share its windows, and its writer lives as long as there are any. */
export class OpenTurns {
  readonly #options: OpenTurnsOptions;
  readonly #scheduler: FlushScheduler;
  readonly #turns = new Set<TurnWriter>();

  constructor(options: OpenTurnsOptions) {
    this.#options = options;
    this.#scheduler = new FlushScheduler(options.flushIntervalMs);
  }

  /** The writer of a turn that has begun. */
  open(session: Session, turnId: string, messageId: number, signal: AbortSignal | undefined): TurnWriter {
    const { writer, maxAppendBytes, readPrompt } = this.#options;
    const turn: TurnWriter = new TurnWriter({
      session,
      turnId,
      messageId,
      scheduler: this.#scheduler,
      maxAppendBytes,
      signal,
      readPrompt: (promptOptions) => readPrompt(session.id, promptOptions),
      onClose: () => this.#close(turn),
    });
    this.#turns.add(turn);
    writer.startHeartbeats();
    return turn;
  }

  #close(turn: TurnWriter): void {
    this.#turns.delete(turn);
    if (this.#turns.size === 0) this.#options.writer.stopHeartbeats();
  }

  /** Writes what is buffered and lets go of all turns without ending them. Nothing more is written afterwards. */
  async detach(): Promise<PromiseSettledResult<void>[]> {
    const flushed = await Promise.allSettled([...this.#turns].map((turn) => turn.detach()));
    this.#scheduler.stop();
    return flushed;
  }
}
