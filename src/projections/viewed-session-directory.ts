import { sessionOfStream } from "../events/conversation-event.ts";
import { eventCodec } from "../events/event-codec.ts";
import type { EventLog, RecordedEvent } from "../log/event-log.ts";
import { TurnlogError } from "../errors.ts";
import { type Conversation, applyEvent, emptyConversation, skipEvent } from "./conversation.ts";
import type { ConversationViews } from "./conversation-views.ts";
import { type SessionDirectory, type SessionInfo, type SessionQuery, newestFirst } from "./session-index.ts";
import { DamagedView, StaleView } from "./message-collection.ts";
import type { ViewGeneration } from "./view-generation.ts";

/** Generations that may be replaced under one query. */
const MOST_ATTEMPTS = 100;

/** A session that the log's tail has touched. */
interface Touched {
  info: SessionInfo | undefined;
  hasUnended: boolean;
}

/**
 * The directory over the views: their rows up to the checkpoint, and the sessions that events after it have touched
 * folded on top. The tail is as long as the projector lags, not as long as the log.
 */
export class ViewedSessionDirectory implements SessionDirectory {
  readonly #log: EventLog;
  readonly #views: ConversationViews;

  constructor(log: EventLog, views: ConversationViews) {
    this.#log = log;
    this.#views = views;
  }

  list(query: SessionQuery): Promise<SessionInfo[]> {
    return this.#query((rows, touched) => {
      const { limit, cursor, prefix } = query;
      // Rows of touched sessions are out of date: ask for so many more that enough are left without them.
      const listed = rows
        .list({ ...query, limit: limit + touched.size })
        .filter(({ id }) => !touched.has(id));
      const place = cursor && { messageCount: 0, ...cursor };
      for (const { info } of touched.values()) {
        if (info === undefined || !info.id.startsWith(prefix)) continue;
        if (place === undefined || newestFirst(place, info) < 0) listed.push(info);
      }
      return listed.toSorted(newestFirst).slice(0, limit);
    });
  }

  sessionsWithUnendedTurns(): Promise<string[]> {
    return this.#query((rows, touched) => {
      const names = rows.namesWithUnendedTurns().filter((name) => !touched.has(name));
      for (const [name, { hasUnended }] of touched) if (hasUnended) names.push(name);
      return names;
    });
  }

  async #query<Result>(
    answer: (rows: ViewGeneration, touched: Map<string, Touched>) => Result,
  ): Promise<Result> {
    for (let attempt = 0; attempt < MOST_ATTEMPTS; attempt++) {
      const current = this.#views.read(() => this.#views.serving(this.#log.logId));
      if (current === undefined) break;
      const tail = await this.#readTail(current.checkpoint.position);
      try {
        return this.#views.read(() => {
          // Another generation is in service since, whose checkpoint may be before the tail.
          if (this.#views.serving(this.#log.logId)?.generation !== current.generation) throw new StaleView();
          const rows = this.#views.rows(current.generation);
          const touched = new Map<string, Touched>();
          for (const [name, events] of tail) touched.set(name, touch(rows, name, events));
          return answer(rows, touched);
        });
      } catch (error) {
        if (!(error instanceof StaleView)) throw error;
      }
    }
    throw new DamagedView("no generation of this version stays in service");
  }

  async #readTail(after: number): Promise<Map<string, RecordedEvent[]>> {
    const tail = new Map<string, RecordedEvent[]>();
    for await (const event of this.#log.readAll({ after })) {
      const name = sessionOfStream(event.stream);
      if (name === undefined) continue;
      const events = tail.get(name);
      if (events === undefined) tail.set(name, [event]);
      else events.push(event);
    }
    return tail;
  }
}

function touch(rows: ViewGeneration, name: string, events: readonly RecordedEvent[]): Touched {
  const conversation =
    rows.load(name, { keepsContents: false })?.conversation ?? emptyConversation({ keepsContents: false });
  for (const event of events) {
    if (event.revision <= conversation.revision) continue;
    try {
      const decoded = eventCodec.decode(event);
      if (decoded === undefined) skipEvent(conversation, event);
      else applyEvent(conversation, decoded);
    } catch (error) {
      // A session that cannot be folded is listed as far as it could; reading it says what is wrong.
      if (!TurnlogError.isInstance(error)) throw error;
      break;
    }
  }
  return { info: describe(name, conversation), hasUnended: conversation.unendedTurns.size > 0 };
}

function describe(name: string, conversation: Conversation): SessionInfo | undefined {
  if (!conversation.exists || conversation.missingForkEvents > 0) return undefined;
  return {
    id: name,
    ...(conversation.title === undefined ? {} : { title: conversation.title }),
    messageCount: conversation.messages.count,
    lastActive: new Date(conversation.lastActive),
  };
}
