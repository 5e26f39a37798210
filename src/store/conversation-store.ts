import { randomUUID } from "node:crypto";
import type { Observable } from "rxjs";
import { NotFoundError, StoreError } from "../errors.ts";
import { type Outcome, type Role, conversationStream } from "../events/conversation-event.ts";
import type { Usage } from "../events/stored-part.ts";
import type { EventLog } from "../log/event-log.ts";
import type { Conversation } from "../projections/conversation.ts";
import { type Point, foldTo, toPoint } from "../projections/point.ts";
import {
  type ReadProgressOptions,
  type SessionDirectory,
  SessionIndex,
  type SessionInfo,
  type SessionSize,
} from "../projections/session-index.ts";
import { type SessionState, toSessionState } from "../projections/session-state.ts";
import { type StoredMessage, toStoredMessage } from "../projections/stored-message.ts";
import { CallOrder } from "./call-order.ts";
import { type Fork, type ForkOptions, forkSession } from "./fork.ts";
import { MessageIds } from "./message-ids.ts";
import {
  type MessageContent,
  type SaveMessageOptions,
  checkSessionId,
  toJsonObject,
  toMessageInput,
} from "./message-input.ts";
import { type ListMessagesOptions, pageOfMessages } from "./message-page.ts";
import type { ModelMessage, ModelMessageInput } from "./model-message-types.ts";
import { type ModelMessagesOptions, toModelMessages } from "./model-messages.ts";
import { type Purge, truncateDeleted } from "./purge.ts";
import { OpenTurns } from "./open-turns.ts";
import { expandPrompt } from "./prompt-to-messages.ts";
import * as commands from "./session-commands.ts";
import { SessionCache } from "./session-cache.ts";
import type { Command, RunOptions, Session, SessionServices } from "./session.ts";
import { type RecoverOptions, TurnRecovery, type UnendedTurnReport } from "./recovery.ts";
import { SessionViews } from "./session-views.ts";
import {
  type BeginTurnOptions,
  type ConversationStoreOptions,
  type ListSessionsOptions,
  type ReplacementMessage,
  checkStoreOptions,
  toQuery,
  toReplacement,
  toUserMessage,
} from "./store-options.ts";
import type { StoreViews } from "./store-views.ts";
import { type SessionChange, watchSession, watchSessionIterably } from "./session-watch.ts";
import { WriterLiveness } from "./writer-liveness.ts";
import type { TurnWriter } from "./turn-writer.ts";
import type { UIMessage } from "./ui-message-types.ts";
import { type UIMessagesOptions, toUIMessages } from "./ui-messages.ts";
import { Writer } from "./writer.ts";

export type * from "./store-options.ts";

const HEARTBEAT_MS = 10_000;

/**
 * The conversations of one log. All queries are strong: they see every append that was acknowledged before them,
 * by this process or another. Methods may be called without awaiting the one before: those of one session take
 * effect in the order of the calls.
 *
 * Every method throws `store-closed` after close(), and the engine's errors (`log-busy`, `disk-full`, …).
 */
export class ConversationStore {
  readonly #log: EventLog;
  readonly #writer: Writer;
  readonly #messageIds: MessageIds;
  readonly #sessions: SessionCache;
  readonly #calls: CallOrder;
  readonly #turns: OpenTurns;
  readonly #recovery: TurnRecovery;
  readonly #directory: SessionDirectory;
  readonly #views: StoreViews | undefined;
  readonly #services: SessionServices;
  #isClosed = false;

  /** @param views of the log; without them sessions are folded from their start. */
  constructor(log: EventLog, options: ConversationStoreOptions = {}, views?: StoreViews) {
    checkStoreOptions(options);
    this.#log = log;
    this.#views = views;
    this.#directory = views?.directory ?? new SessionIndex(log);
    this.#writer = new Writer(log, {
      label: options.label,
      heartbeatMs: options.heartbeatMs ?? HEARTBEAT_MS,
    });
    this.#messageIds = new MessageIds(log, this.#writer);
    const durability = options.durability ?? "power";
    this.#services = {
      log,
      writer: this.#writer,
      messageIds: this.#messageIds,
      durability,
      views: new SessionViews(log.logId, views?.views, (error) => views?.onDamage(error)),
    };
    this.#sessions = new SessionCache(this.#services, options.cachedSessions ?? 1000);
    this.#calls = new CallOrder(this.#sessions, this.#messageIds);
    this.#turns = new OpenTurns({
      writer: this.#writer,
      flushIntervalMs: options.flushIntervalMs,
      maxAppendBytes: log.limits.maxAppendBytes,
      readPrompt: (sessionId, promptOptions) => this.getMessages(sessionId, promptOptions),
    });
    this.#recovery = new TurnRecovery(
      this.#sessions,
      this.#directory,
      new WriterLiveness(log, this.#writer.id),
    );
  }

  /** The log underneath, for tools that read events. */
  get log(): EventLog {
    return this.#log;
  }

  /**
   * Appends a message and returns its id. With an `externalId` that the session has already (since its last
   * deletion, replaced messages included) it returns that message's id and writes nothing.
   */
  async saveMessage(
    sessionId: string,
    role: Role,
    content: MessageContent,
    options: SaveMessageOptions = {},
  ): Promise<number> {
    const message = toMessageInput(role, content, options);
    return this.#run(sessionId, commands.saveMessage(message));
  }

  /** Appends an empty assistant message (content `"[]"`) before the model starts, and returns its id. */
  async appendAssistantStub(sessionId: string): Promise<number> {
    return this.#run(sessionId, commands.appendStub());
  }

  /**
   * Sets a message's content, branches and active branch; the log keeps only what changed. Resolves when it
   * survives the death of this process. An unchanged message writes nothing.
   * @throws `message-not-found`, `invalid-message-id`, `invalid-branches`, `branch-not-found`, `event-too-large`
   */
  async updateBranches(id: number, content: string, branchesJson = "", activeBranch = 0): Promise<void> {
    return this.#runOnMessage(id, (sessionId) =>
      commands.updateBranches(sessionId, id, content, branchesJson, activeBranch),
    );
  }

  /** Ends the turn of a stub that was filled by updateBranches, or of a turn whose writer is gone. @throws `turn-ended` */
  async endTurn(id: number, outcome: Outcome, options: { usage?: Usage | undefined } = {}): Promise<void> {
    const usage = options.usage === undefined ? undefined : (toJsonObject({ ...options.usage }) as Usage);
    return this.#runOnMessage(id, (sessionId) => commands.endTurn(sessionId, id, outcome, usage));
  }

  /** Begins an assistant turn: the user's message, the stub and the turn's beginning in one append. */
  async beginTurn(sessionId: string, options: BeginTurnOptions = {}): Promise<TurnWriter> {
    const turnId = randomUUID();
    const command = commands.beginTurn(turnId, toUserMessage(options.user), options.model);
    const messageId = await this.#run(sessionId, command);
    return this.#turns.open(this.#sessions.get(sessionId), turnId, messageId, options.signal);
  }

  /**
   * Writes the newest answer anew: a turn on the last assistant message, whose content becomes a branch in the
   * same append. Where there is none, or a user message after it, a new turn begins.
   */
  async regenerate(sessionId: string, options: Omit<BeginTurnOptions, "user"> = {}): Promise<TurnWriter> {
    const turnId = randomUUID();
    const messageId = await this.#run(sessionId, commands.regenerate(turnId, options.model));
    return this.#turns.open(this.#sessions.get(sessionId), turnId, messageId, options.signal);
  }

  /** Shows another variant of a message: an index into `[...branches, content]`. @throws `turn-open`, `branch-not-found` */
  async selectBranch(id: number, index: number): Promise<void> {
    return this.#runOnMessage(id, (sessionId) => commands.selectBranch(sessionId, id, index));
  }

  /**
   * Ids of the sessions that have such turns as unendedTurns() tells, in no order: by the views where there are any,
   * else by reading the log.
   */
  async sessionsWithUnendedTurns(options: ReadProgressOptions = {}): Promise<string[]> {
    this.#checkOpen();
    return this.#directory.sessionsWithUnendedTurns(options);
  }

  /** Turns that began and did not end, with what they had written and whether their writer lives. */
  async unendedTurns(options: { sessionId?: string | undefined } = {}): Promise<UnendedTurnReport[]> {
    this.#checkOpen();
    return this.#recovery.unendedTurns(options.sessionId);
  }

  /**
   * Ends the turns whose writer is dead as interrupted, and returns them with what they left: text, tool calls not
   * started and of unknown outcome. May be called again, and by several processes at once: each turn ends once.
   */
  async recoverInterruptedTurns(options: RecoverOptions = {}): Promise<UnendedTurnReport[]> {
    this.#checkOpen();
    return this.#recovery.recover(options);
  }

  /**
   * The session as it was at a point: after a revision (`120`), after its first marks (`"120+7"`), or at a time (a
   * Date, an ISO string, `"5m-ago"`). Folds the stream from its start.
   * @throws `invalid-point`, `point-not-found`
   */
  async history(sessionId: string, { at }: { at: number | string | Date | Point }): Promise<SessionState> {
    this.#checkOpen();
    checkSessionId(sessionId);
    return toSessionState(await foldTo(this.#log.readStream(conversationStream(sessionId)), toPoint(at)));
  }

  /** The session now, and each change from here on, by any process: rxjs form of watch(). */
  watchMessages(sessionId: string): Observable<SessionChange> {
    this.#checkOpen();
    checkSessionId(sessionId);
    return watchSession(this.#log, sessionId);
  }

  /** The session now, and each change from here on, by any process, until the signal aborts or the loop breaks. */
  watch(sessionId: string, options: { signal?: AbortSignal | undefined } = {}): AsyncIterable<SessionChange> {
    return watchSessionIterably(this.watchMessages(sessionId), options.signal);
  }

  /** The newest assistant message. @throws `no-assistant-message` */
  async lastAssistantMessage(sessionId: string): Promise<StoredMessage> {
    const message = await this.findLastAssistantMessage(sessionId);
    if (message !== undefined) return message;
    throw new NotFoundError("no-assistant-message", `Session "${sessionId}" has no assistant message.`);
  }

  /** The newest assistant message, undefined where there is none. */
  async findLastAssistantMessage(sessionId: string): Promise<StoredMessage | undefined> {
    return this.#query(sessionId, (state) => {
      const message = state.messages.newestOf("assistant");
      return message && toStoredMessage(message);
    });
  }

  /** Messages in ascending order: the newest 50, or the page that the options name. @throws `message-not-found` */
  async listMessages(sessionId: string, options: ListMessagesOptions = {}): Promise<StoredMessage[]> {
    return this.#query(sessionId, (state) => pageOfMessages(state, sessionId, options).map(toStoredMessage));
  }

  /**
   * The prompt for the next model call, in the AI SDK's shape: the newest 50 messages, or as many as `limit` says.
   * See `toModelMessages` for what becomes of each.
   */
  async getMessages(
    sessionId: string,
    options: ModelMessagesOptions & { limit?: number | undefined } = {},
  ): Promise<ModelMessage[]> {
    const messages = await this.listMessages(sessionId, { limit: options.limit });
    return toModelMessages(messages, options);
  }

  /** The messages that listMessages gives, for display, in the AI SDK's shape. See `toUIMessages`. @throws `message-not-found` */
  async toUIMessages(
    sessionId: string,
    options: UIMessagesOptions & ListMessagesOptions = {},
  ): Promise<UIMessage[]> {
    return toUIMessages(await this.listMessages(sessionId, options), options);
  }

  /**
   * Replaces the conversation by this list, in one event; what is replaced stays in the log. New messages of empty
   * text are skipped. Also takes a prompt: what getMessages gives, or the SDK's own messages (`fromModelMessages`).
   */
  async replaceMessages(
    sessionId: string,
    messages: readonly (ReplacementMessage | ModelMessageInput)[],
  ): Promise<void> {
    const replacements = expandPrompt(messages).flatMap(toReplacement);
    const command = commands.replaceMessages(sessionId, replacements);
    return this.#run(sessionId, command, { readFirst: true });
  }

  /** The whole session with the revision that it is as of. */
  async readSession(sessionId: string): Promise<SessionState> {
    return this.#query(sessionId, toSessionState);
  }

  /** For the Compactor: replaces all that was read but `keep`; undefined where the conversation has been replaced since. */
  async compactMessages(
    sessionId: string,
    compaction: commands.Compaction,
  ): Promise<{ summaryId: number | undefined } | undefined> {
    return this.#run(sessionId, commands.compactMessages(compaction), { readFirst: true });
  }

  /** How many messages the conversation has, replaced ones aside. */
  async countMessages(sessionId: string): Promise<number> {
    return this.#query(sessionId, (state) => state.messages.count);
  }

  /** Sessions by their newest event, newest first. */
  async listSessions(options: ListSessionsOptions = {}): Promise<SessionInfo[]> {
    this.#checkOpen();
    const sessions = await this.#directory.list(toQuery(options));
    return sessions.map(({ id, title, messageCount, lastActive }) => ({
      id,
      ...(title === undefined ? {} : { title }),
      messageCount,
      lastActive,
    }));
  }

  /** As listSessions, with what each session takes in the log; reads the whole log. */
  async listSessionSizes(options: ListSessionsOptions = {}): Promise<(SessionInfo & SessionSize)[]> {
    this.#checkOpen();
    return new SessionIndex(this.#log, { countsBytes: true }).list(toQuery(options));
  }

  /** Sets the title, the metadata, or both; null clears. */
  async updateSession(
    sessionId: string,
    changes: { title?: string | null | undefined; metadata?: Record<string, unknown> | null | undefined },
  ): Promise<void> {
    const { title, metadata } = changes;
    const command = commands.updateSession({
      ...(title === undefined ? {} : { title }),
      ...(metadata === undefined ? {} : { metadata: metadata && toJsonObject(metadata) }),
    });
    return this.#run(sessionId, command);
  }

  /** Deletes the session: it is listed no more and starts empty when used again. Unknown: nothing happens. */
  async deleteSession(sessionId: string): Promise<void> {
    return this.#run(sessionId, commands.deleteSession(), { onUnfinishedFork: true });
  }

  /**
   * Deletes the session and removes all that it was from the log, the views, and the files under them. Its name stays,
   * and so do forks of it. Takes as long as copying the store's files.
   * @throws `still-readable` where another process kept it from finishing: call it again
   */
  async purgeSession(sessionId: string): Promise<Purge> {
    await this.deleteSession(sessionId);
    const truncated = await truncateDeleted(this.#log, sessionId);
    if (truncated === undefined) return { events: 0, isErased: true };
    await this.#log.compact?.();
    await this.#views?.purge(truncated.deletion);
    return { events: truncated.events, isErased: this.#log.compact !== undefined };
  }

  /**
   * Makes a new session of this one's history up to a point, with ids of its own; this one stays as it is. A turn that
   * is open at the point ends as interrupted. Called again with the same point and name, it goes on with a fork that
   * was interrupted, and finds one that is whole.
   * @throws `invalid-point`, `point-not-found`, `nothing-to-fork`, `session-exists`, `fork-damaged`
   */
  async fork(sessionId: string, { at, as, onProgress }: ForkOptions): Promise<Fork> {
    this.#checkOpen();
    checkSessionId(sessionId);
    if (as !== undefined) checkSessionId(as);
    const sessionOf = (name: string): Session => this.#session(name);
    return forkSession(this.#services, sessionOf, sessionId, { point: toPoint(at), as, onProgress });
  }

  /** Writes what is buffered and releases everything. Turns stay open: their writer is gone, not they. */
  async close(): Promise<void> {
    if (this.#isClosed) return;
    this.#isClosed = true;
    const flushed = await this.#turns.detach();
    await this.#calls.idle();
    const closed = await Promise.allSettled([this.#writer.stop()]);
    this.#views?.close();
    await this.#log.close();
    const failed = [...flushed, ...closed].find((result) => result.status === "rejected");
    if (failed !== undefined) throw failed.reason;
  }

  async #query<Result>(sessionId: string, query: (state: Conversation) => Result): Promise<Result> {
    return this.#session(sessionId).query(query);
  }

  #session(sessionId: string): Session {
    this.#checkOpen();
    checkSessionId(sessionId);
    return this.#sessions.get(sessionId);
  }

  async #run<T>(sessionId: string, command: Command<T>, options?: RunOptions): Promise<T> {
    this.#checkOpen();
    checkSessionId(sessionId);
    return this.#calls.run(sessionId, command, options);
  }

  async #runOnMessage<T>(id: number, command: (sessionId: string) => Command<T>): Promise<T> {
    this.#checkOpen();
    return this.#calls.runOnMessage(id, command);
  }

  #checkOpen(): void {
    if (this.#isClosed) throw new StoreError("store-closed", "The store has been closed: open it again.");
  }
}
