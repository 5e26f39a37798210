import { InvalidInputError, NotFoundError } from "../errors.ts";
import { MESSAGE_IDS_STREAM } from "../events/conversation-event.ts";
import { eventCodec } from "../events/event-codec.ts";
import type { EventLog } from "../log/event-log.ts";
import type { Writer } from "./writer.ts";

/**
 * Message ids are numbers, unique in a log and never reused. They come in blocks: the event at revision b of
 * the stream `message-ids` gives its session the ids b × 256 … b × 256 + 255, so the session of an id is one read.
 */

export const BLOCK_SIZE = 256;

/** How many id → session look-ups are remembered. */
const REMEMBERED_BLOCKS = 10_000;

/** The id that follows `last` in its block, undefined where the block is used up or there is none (`last` 0). */
export function nextInBlock(last: number): number | undefined {
  const next = last + 1;
  return last > 0 && next % BLOCK_SIZE !== 0 ? next : undefined;
}

export class MessageIds {
  readonly #log: EventLog;
  readonly #writer: Writer;
  readonly #sessions = new Map<number, string>();

  constructor(log: EventLog, writer: Writer) {
    this.#log = log;
    this.#writer = writer;
  }

  /**
   * Reserves a block for the session and returns its first id. After an unknown outcome the caller calls again:
   * a hole is legal.
   */
  async reserveBlock(sessionId: string): Promise<number> {
    await this.#writer.start();
    const events = this.#writer.encode([{ type: "MessageIdsReserved", data: { sessionId } }]);
    const append = this.#log.append(MESSAGE_IDS_STREAM, events, "any");
    const result = await this.#writer.appending(events, append);
    if (!result.ok) throw new Error("an append with expected revision any cannot conflict");
    const block = result.revision;
    this.#remember(block, sessionId);
    return block === 0 ? 1 : block * BLOCK_SIZE; // 0 is no id: too many programs take it for none.
  }

  /**
   * The session that a message id was given to; at once where it is known.
   * @throws {InvalidInputError} `invalid-message-id` for anything but a safe integer.
   * @throws {NotFoundError} `message-not-found` for an id of no reserved block.
   */
  sessionOf(messageId: number): string | Promise<string> {
    checkMessageId(messageId);
    const block = Math.floor(messageId / BLOCK_SIZE);
    return this.#sessions.get(block) ?? this.#lookUp(messageId, block);
  }

  async #lookUp(messageId: number, block: number): Promise<string> {
    if (messageId > 0) {
      for await (const recorded of this.#log.readStream(MESSAGE_IDS_STREAM, { from: block, limit: 1 })) {
        const event = eventCodec.decode(recorded);
        if (event?.type !== "MessageIdsReserved" || event.revision !== block) break;
        this.#remember(block, event.data.sessionId);
        return event.data.sessionId;
      }
    }
    throw messageNotFound(messageId);
  }

  #remember(block: number, sessionId: string): void {
    if (this.#sessions.size >= REMEMBERED_BLOCKS) this.#sessions.clear();
    this.#sessions.set(block, sessionId);
  }
}

export function checkMessageId(messageId: number): void {
  if (Number.isSafeInteger(messageId)) return;
  throw new InvalidInputError(
    "invalid-message-id",
    `A message id is a safe integer as saveMessage or appendAssistantStub returned it, not ${typeof messageId} ${String(messageId)}.`,
  );
}

export function messageNotFound(messageId: number, sessionId?: string): NotFoundError {
  const where = sessionId === undefined ? "this store" : `session "${sessionId}"`;
  return new NotFoundError("message-not-found", `There is no message ${messageId} in ${where}.`, {
    details: { messageId, sessionId },
  });
}
