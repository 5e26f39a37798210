import type { MessageIds } from "./message-ids.ts";
import type { SessionCache } from "./session-cache.ts";
import type { Command, RunOptions } from "./session.ts";

/**
 * Gives each command its place in its session's queue in the order in which the calls are made. A call that names a
 * message may have to look up its session first: the calls behind it wait for it to take its place.
 */
export class CallOrder {
  readonly #sessions: SessionCache;
  readonly #messageIds: MessageIds;
  /** The newest look-up that has not been answered; it ends behind those before it. */
  #lookingUp: Promise<void> | undefined;

  constructor(sessions: SessionCache, messageIds: MessageIds) {
    this.#sessions = sessions;
    this.#messageIds = messageIds;
  }

  run<T>(sessionId: string, command: Command<T>, options?: RunOptions): Promise<T> {
    return this.#place(sessionId, () => command, options);
  }

  /** @throws `invalid-message-id`, `message-not-found` */
  runOnMessage<T>(messageId: number, command: (sessionId: string) => Command<T>): Promise<T> {
    return this.#place(this.#messageIds.sessionOf(messageId), command);
  }

  /** Resolves when every command given so far is done, whatever became of it. */
  async idle(): Promise<void> {
    await this.#lookingUp;
    await this.#sessions.drain();
  }

  async #place<T>(
    sessionId: string | Promise<string>,
    command: (sessionId: string) => Command<T>,
    options?: RunOptions,
  ): Promise<T> {
    const run = (id: string): Promise<T> => this.#sessions.get(id).run(command(id), options);
    const before = this.#lookingUp;
    if (before === undefined && typeof sessionId === "string") return run(sessionId);
    // In an object, or the place would count as taken only when the command is done.
    const placed = (async () => {
      const [id] = await Promise.all([sessionId, before]);
      return { done: run(id) };
    })();
    const lookingUp = placed
      .then(
        ({ done }) => void done.catch(() => undefined),
        () => before,
      )
      .then(() => {
        if (this.#lookingUp === lookingUp) this.#lookingUp = undefined;
      });
    this.#lookingUp = lookingUp;
    return (await placed).done;
  }
}
