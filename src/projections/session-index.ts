import { TurnlogError } from "../errors.ts";
import { conversationStreamPrefix, sessionOfStream } from "../events/conversation-event.ts";
import { eventCodec } from "../events/event-codec.ts";
import type { EventLog, RecordedEvent } from "../log/event-log.ts";
import { type Conversation, applyEvent, emptyConversation, skipEvent } from "./conversation.ts";

/** A session in a list. */
export interface SessionInfo {
  id: string;
  title?: string;
  messageCount: number;
  lastActive: Date;
}

/** What a session takes in the log. */
export interface SessionSize {
  /** Events of its stream, those before a deletion included. */
  events: number;
  /** UTF-8 bytes of the JSON of their data and metadata. */
  bytes: number;
}

interface IndexedSession extends SessionSize {
  conversation: Conversation;
  /** It is listed as far as it could be folded; reading it says what is wrong. */
  isUnfoldable: boolean;
}

export interface SessionQuery {
  limit: number;
  /** The last session of the page before. */
  cursor?: Pick<SessionInfo, "id" | "lastActive"> | undefined;
  /** Only sessions whose id begins so. */
  prefix: string;
}

/** How far a read of the whole log has come. */
export interface ReadProgress {
  /** Everything up to this position has been read. */
  position: number;
  /** Position of the newest event when the read began. */
  head: number;
}

/** For calls that may read the whole log. */
export interface ReadProgressOptions {
  /** Told now and then while the log is read because there are no views to ask; never otherwise. */
  onProgress?: ((progress: ReadProgress) => void) | undefined;
}

/** Events between two reports of progress. */
const PROGRESS_EVERY = 5_000;

/** Answers what concerns all sessions, as of every append acknowledged before the call. */
export interface SessionDirectory {
  /** Newest first. */
  list(query: SessionQuery): Promise<SessionInfo[]>;
  sessionsWithUnendedTurns(options?: ReadProgressOptions): Promise<string[]>;
}

/**
 * The directory without views: the log is folded once, without contents, and followed from there; each query reads
 * what is new first.
 */
export class SessionIndex implements SessionDirectory {
  readonly #log: EventLog;
  readonly #countsBytes: boolean;
  readonly #sessions = new Map<string, IndexedSession>();
  #position = -1;
  #following: Promise<void> = Promise.resolve();

  constructor(log: EventLog, options: { countsBytes?: boolean } = {}) {
    this.#log = log;
    this.#countsBytes = options.countsBytes ?? false;
  }

  async list({ limit, cursor, prefix }: SessionQuery): Promise<(SessionInfo & SessionSize)[]> {
    const sessions = (await this.#all()).filter(({ id }) => id.startsWith(prefix));
    const place = cursor && { messageCount: 0, ...cursor };
    const behind = place ? sessions.filter((session) => newestFirst(place, session) < 0) : sessions;
    return behind.slice(0, limit);
  }

  /** All listed sessions, newest first. */
  async #all(): Promise<(SessionInfo & SessionSize)[]> {
    await this.#follow();
    const sessions: (SessionInfo & SessionSize)[] = [];
    for (const [id, { conversation, events, bytes }] of this.#sessions) {
      if (!conversation.exists || conversation.missingForkEvents > 0) continue;
      sessions.push({
        id,
        ...(conversation.title === undefined ? {} : { title: conversation.title }),
        messageCount: conversation.messages.count,
        lastActive: new Date(conversation.lastActive),
        events,
        bytes,
      });
    }
    return sessions.toSorted(newestFirst);
  }

  async sessionsWithUnendedTurns(options: ReadProgressOptions = {}): Promise<string[]> {
    await this.#follow(options);
    return [...this.#sessions]
      .filter(([, { conversation }]) => conversation.unendedTurns.size > 0)
      .map(([id]) => id);
  }

  /** Each query starts a read of its own behind the one under way, so that it sees what came before the query. */
  #follow(options: ReadProgressOptions = {}): Promise<void> {
    const followed = this.#following.then(() => this.#readOn(options));
    this.#following = followed.catch(() => undefined);
    return followed;
  }

  async #readOn({ onProgress }: ReadProgressOptions): Promise<void> {
    const from = { after: this.#position, streamPrefix: conversationStreamPrefix };
    const head = onProgress === undefined ? 0 : await this.#log.head();
    let taken = 0;
    for await (const recorded of this.#log.readAll(from)) {
      this.#take(recorded);
      this.#position = recorded.position;
      if (++taken % PROGRESS_EVERY === 0) onProgress?.({ position: recorded.position, head });
    }
  }

  #take(recorded: RecordedEvent): void {
    const id = sessionOfStream(recorded.stream);
    if (id === undefined) return;
    let session = this.#sessions.get(id);
    if (session === undefined) {
      session = {
        conversation: emptyConversation({ keepsContents: false }),
        isUnfoldable: false,
        events: 0,
        bytes: 0,
      };
      this.#sessions.set(id, session);
    }
    if (!session.isUnfoldable) session.isUnfoldable = !fold(session.conversation, recorded);
    session.events++;
    if (this.#countsBytes) {
      session.bytes +=
        Buffer.byteLength(JSON.stringify(recorded.data)) +
        Buffer.byteLength(JSON.stringify(recorded.metadata));
    }
  }
}

/** False where the event cannot be folded: no reason to hide the other sessions. */
function fold(conversation: Conversation, recorded: RecordedEvent): boolean {
  try {
    const event = eventCodec.decode(recorded);
    if (event === undefined) skipEvent(conversation, recorded);
    else applyEvent(conversation, event);
    return true;
  } catch (error) {
    if (!TurnlogError.isInstance(error)) throw error;
    return false;
  }
}

/** Newest first; ties by id, so that paging is stable. */
export function newestFirst(a: SessionInfo, b: SessionInfo): number {
  // By bytes, as SQLite compares: the views must page in the same order.
  return (
    b.lastActive.getTime() - a.lastActive.getTime() || Buffer.compare(Buffer.from(a.id), Buffer.from(b.id))
  );
}
