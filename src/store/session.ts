import { StateError } from "../errors.ts";
import { type ConversationEvent, conversationStream, isStructural } from "../events/conversation-event.ts";
import { type EncodedEvent, eventCodec } from "../events/event-codec.ts";
import type { AppendOptions, AppendResult, Durability, EventLog, RecordedEvent } from "../log/event-log.ts";
import { eventLoopRounds } from "../log/event-loop-rounds.ts";
import type { ExpectedRevision } from "../log/expected-revision.ts";
import { type Conversation, applyEvent, emptyConversation, skipEvent } from "../projections/conversation.ts";
import { isRefusal } from "./append-refusals.ts";
import type { MessageIds } from "./message-ids.ts";
import type { SessionViews } from "./session-views.ts";
import { NEEDS_IDS, SpareIds } from "./spare-ids.ts";
import type { TimedDraft, Writer } from "./writer.ts";

/** What a command makes of the state: the events to append, and what the caller gets once they are. */
export interface Decision<T> {
  drafts: readonly TimedDraft[];
  result: T;
  /** The turn is over: no more small events follow soon. */
  seal?: boolean;
  /** Called as soon as the events are known to be in the log, before anything else runs. */
  onAppended?: () => void;
  /** The whole content that the drafts' splices give a message, where the caller handed it over. */
  content?: { messageId: number; text: string };
}

/**
 * Validates against the state and decides; called again with the newer state after a conflict. `nextId` gives
 * new message ids in order.
 */
export type Command<T> = (state: Conversation, nextId: () => number) => Decision<T>;

/** Told of each event of the session that it did not write itself. */
export interface SessionObserver {
  observe(event: ConversationEvent): void;
}

export interface RunOptions {
  /** The observer that need not be told of these events: it wrote them. */
  source?: SessionObserver;
  /** Read what is new before the first attempt, for a command that depends on how far the state has come. */
  readFirst?: boolean;
  /** The command may change a fork that lacks events: else only what finishes it may. */
  onUnfinishedFork?: boolean;
}

export interface SessionServices {
  readonly views: SessionViews;
  readonly log: EventLog;
  readonly writer: Writer;
  readonly messageIds: MessageIds;
  /** What structural events wait for. */
  readonly durability: Durability;
}

/** Conflicts in a row before a command gives up: each means that another writer got in first. */
const MOST_ATTEMPTS = 1000;

interface Attempt {
  events: readonly EncodedEvent[];
  expected: ExpectedRevision;
  source: SessionObserver | undefined;
}

/**
 * One session: its folded state and the one place where its events are appended. Commands run one after the
 * other, each computed from a revision that its append states; after a conflict the session reads what is new
 * and computes again. Commands first trust the cached state: what is appended is checked by the log, and what is
 * refused or found unchanged is looked at again after reading what is new.
 */
export class Session {
  readonly id: string;
  readonly #stream: string;
  readonly #services: SessionServices;
  #state: Conversation;
  /** False before anything has been read: what is cached is nothing yet. */
  #isLoaded = false;
  /** The newest command. */
  #newest: Promise<unknown> = Promise.resolve();
  #waiting = 0;
  #inFlight: Attempt | undefined;
  readonly #spareIds = new SpareIds();
  readonly #observers = new Set<SessionObserver>();

  constructor(id: string, services: SessionServices) {
    this.id = id;
    this.#stream = conversationStream(id);
    this.#services = services;
    this.#state = emptyConversation();
  }

  /** True where nothing is lost by forgetting the cached state. */
  get isIdle(): boolean {
    return this.#waiting === 0 && this.#observers.size === 0;
  }

  /** Resolves when every command given so far is done, whatever became of it. */
  async idle(): Promise<void> {
    await this.#newest.catch(() => undefined); // Its caller sees it.
  }

  observe(observer: SessionObserver): void {
    this.#observers.add(observer);
  }

  unobserve(observer: SessionObserver): void {
    this.#observers.delete(observer);
  }

  /** Asks the state as of every append acknowledged before the call. `query` may be called more than once. */
  async query<Result>(query: (state: Conversation) => Result): Promise<Result> {
    for (let loads = 1; ; loads++) {
      await this.#catchUp();
      try {
        return query(this.#state);
      } catch (error) {
        if (!this.#services.views.mustReload(error, loads)) throw error;
        this.#load();
      }
    }
  }

  #load(): void {
    this.#state = this.#services.views.load(this.id);
    this.#isLoaded = true;
  }

  /** Appends what the command decides, after the commands before it. */
  run<T>(command: Command<T>, options: RunOptions = {}): Promise<T> {
    const before = this.#waiting++ === 0 ? undefined : this.#newest;
    const done = this.#runAfter(before, command, options);
    this.#newest = done;
    return done;
  }

  async #runAfter<T>(
    before: Promise<unknown> | undefined,
    command: Command<T>,
    options: RunOptions,
  ): Promise<T> {
    try {
      // What became of it is its caller's business: this command does not depend on it.
      if (before !== undefined) await before.catch(() => undefined);
      const turn = eventLoopRounds.turn();
      if (turn !== undefined) await turn;
      return await this.#execute(command, options);
    } finally {
      this.#waiting--;
    }
  }

  /** True while an append of this observer is on its way. */
  isAppending(source: SessionObserver): boolean {
    return this.#inFlight?.source === source;
  }

  /**
   * Appends before it returns, behind what is in flight, where the engine can: for a process that exits. An
   * append in flight is repeated identically, which tells its result and writes nothing twice.
   */
  appendAtExit(drafts: readonly TimedDraft[]): void {
    const { log, writer } = this.#services;
    if (log.appendSync === undefined || !writer.hasBegun) return;
    let expected = this.#expected();
    if (this.#inFlight !== undefined) {
      const { events, expected: from } = this.#inFlight;
      const landed = log.appendSync(this.#stream, events, from);
      if (!landed.ok) return; // Another writer was faster, and there is no time left to compute again.
      expected = landed.revision;
    }
    if (drafts.length > 0) log.appendSync(this.#stream, writer.encode(drafts), expected);
  }

  async #execute<T>(command: Command<T>, options: RunOptions): Promise<T> {
    const { source, readFirst = false } = options;
    let isFresh = readFirst || !this.#isLoaded;
    if (isFresh) await this.#catchUp();
    for (let attempt = 0; attempt < MOST_ATTEMPTS; attempt++) {
      const revision = this.#state.revision;
      const begunBlocks: number[] = [];
      let decision: Decision<T>;
      try {
        if (this.#state.missingForkEvents > 0 && options.onUnfinishedFork !== true)
          throw unfinishedFork(this.id, this.#state.missingForkEvents);
        decision = command(this.#state, this.#spareIds.after(this.#state.lastMessageId, begunBlocks));
      } catch (error) {
        if (error === NEEDS_IDS) {
          this.#spareIds.add(await this.#services.messageIds.reserveBlock(this.id));
          continue;
        }
        if (this.#services.views.mustReload(error, attempt)) this.#load();
        else if (isFresh) throw error;
        await this.#catchUp();
        isFresh = true;
        continue;
      }
      if (decision.drafts.length === 0) {
        if (isFresh) return decision.result;
        await this.#catchUp();
        if (this.#state.revision === revision) return decision.result;
        isFresh = true;
        continue;
      }
      // Each window of deltas passes here, and begins no block: no promise more than it needs.
      const isAppended =
        begunBlocks.length === 0
          ? await this.#append(decision, source)
          : await this.#spareIds.appending(begunBlocks, () => this.#append(decision, source));
      if (isAppended) return decision.result;
      isFresh = true;
    }
    throw new StateError(
      "conflict",
      `Other writers kept changing session "${this.id}": gave up after ${MOST_ATTEMPTS} attempts. Nothing was written.`,
    );
  }

  /** True where the events are in the log now; false after a conflict, with the state caught up. */
  async #append(decision: Decision<unknown>, source: SessionObserver | undefined): Promise<boolean> {
    const { log, writer, durability } = this.#services;
    if (!writer.hasStarted) await writer.start();
    const events = writer.encode(decision.drafts);
    const options: AppendOptions = {
      durability: decision.drafts.some(({ type, cause }) => isStructural(type, cause))
        ? durability
        : "process",
      seal: decision.seal ?? false,
    };
    const attempt = { events, expected: this.#expected(), source };
    this.#inFlight = attempt;
    let result: AppendResult;
    try {
      result = await log.append(this.#stream, events, attempt.expected, options);
    } catch (error) {
      // Where it fails with an unknown outcome, the next command finds out by its conflict.
      if (isRefusal(error)) writer.takeBack(events);
      throw error;
    } finally {
      this.#inFlight = undefined;
    }
    if (result.ok) {
      decision.onAppended?.();
      this.#applyOwn(events, result.revision, result.position, source);
      if (this.#state.revision === result.revision) this.#keepContent(decision.content);
      return true;
    }
    // An earlier attempt may have landed although its answer was lost: its events are ours then.
    if (await this.#catchUp(new Set(events.map((event) => event.id)), source)) {
      decision.onAppended?.();
      return true;
    }
    writer.takeBack(events);
    return false;
  }

  #expected(): ExpectedRevision {
    return this.#state.revision === -1 ? "no-stream" : this.#state.revision;
  }

  #applyOwn(
    events: readonly EncodedEvent[],
    newest: number,
    position: number,
    source: SessionObserver | undefined,
  ): void {
    let revision = newest - events.length;
    if (this.#state.revision < revision) return; // The next read finds them in the log.
    const stream = this.#stream;
    for (const { id, type, data, metadata } of events) {
      revision++;
      if (revision <= this.#state.revision) continue; // A query has read it meanwhile.
      // Made by our own encoder just now: nothing to check. The fold does not look at positions. Written out, as
      // a spread would cost a sixth of the whole append.
      const own = { id, type, data, metadata, stream, revision, position } as unknown as ConversationEvent;
      this.#apply(own, source);
    }
  }

  /** What the fold pieced together equals the caller's string, which is in one piece: kept, it saves a copy per update. */
  #keepContent(content: Decision<unknown>["content"]): void {
    if (content === undefined) return;
    const folded = this.#state.messages.get(content.messageId)?.content;
    if (folded?.length === content.text.length) folded.set(content.text);
  }

  /** Folds what the log has beyond the state. True where all events of `ownIds` were among it. */
  async #catchUp(ownIds?: ReadonlySet<string>, source?: SessionObserver): Promise<boolean> {
    if (!this.#isLoaded) this.#load();
    let found = 0;
    const from = this.#state.revision + 1;
    for await (const recorded of this.#services.log.readStream(this.#stream, { from })) {
      const isOwn = ownIds?.has(recorded.id) === true;
      if (isOwn) found++;
      this.#take(recorded, isOwn ? source : undefined);
    }
    return ownIds !== undefined && found === ownIds.size;
  }

  #take(recorded: RecordedEvent, source: SessionObserver | undefined): void {
    if (recorded.revision <= this.#state.revision) return;
    const event = eventCodec.decode(recorded);
    if (event === undefined) skipEvent(this.#state, recorded);
    else this.#apply(event, source ?? this.#writerOf(recorded));
  }

  /** A query may read the events of the append in flight before its result is here. */
  #writerOf(recorded: RecordedEvent): SessionObserver | undefined {
    if (this.#inFlight?.events.some((event) => event.id === recorded.id) !== true) return undefined;
    return this.#inFlight.source;
  }

  #apply(event: ConversationEvent, source: SessionObserver | undefined): void {
    try {
      applyEvent(this.#state, event);
    } catch (error) {
      // A half-applied event must not be built upon: the next call loads anew, and fails as clearly if it must.
      this.#isLoaded = false;
      this.#state = emptyConversation();
      if (!this.#services.views.mustReload(error, 0)) throw error;
      this.#load();
    }
    for (const observer of this.#observers) if (observer !== source) observer.observe(event);
  }
}

function unfinishedFork(sessionId: string, missing: number): StateError {
  return new StateError(
    "unfinished-fork",
    `Session "${sessionId}" is an unfinished fork that still lacks ${missing} events: fork again to finish it, or delete it. Nothing was written.`,
    { details: { sessionId, missing } },
  );
}
