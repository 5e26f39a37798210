import { setImmediate as nextTick } from "node:timers/promises";
import { DamageError, StateError, TurnlogError } from "../errors.ts";
import { conversationStream, sessionOfStream } from "../events/conversation-event.ts";
import { eventCodec } from "../events/event-codec.ts";
import type { RecordedEvent } from "../log/event-log.ts";
import { type Conversation, applyEvent, emptyConversation, skipEvent } from "../projections/conversation.ts";
import { LogFacts } from "./verify-facts.ts";
import type { Findings, VerifyReport } from "./verify-report.ts";
import type { OnVerifyProgress, SurveyedStream, VerifySource } from "./verify-source.ts";
import { StreamVerifier } from "./verify-stream.ts";
import { ViewsVerifier } from "./verify-views.ts";

export interface CheckOptions {
  /** Path of the views, undefined for none. */
  readonly views: string | undefined;
  readonly findings: Findings;
  /** Damage that a reader meets is thrown: the file will be searched instead. */
  readonly canSearchFile: boolean;
  readonly onProgress?: OnVerifyProgress | undefined;
  readonly signal?: AbortSignal | undefined;
}

const EVENTS_A_TICK = 2_000;
/** Times that a session's views may move on while they are compared. */
const MOST_ATTEMPTS = 10;

/** Checks all that a source has to read, stream by stream: one session's contents are in memory at a time. */
export async function checkSource(source: VerifySource, options: CheckOptions): Promise<VerifyReport> {
  const { findings } = options;
  const streams = await survey(source, options);
  const views = await ViewsVerifier.open(options.views, source.logId, source.head, findings);
  try {
    const check = new Check(source, options, views, streams);
    for (const stream of streams) await check.stream(stream);
    return await check.report();
  } finally {
    views.close();
  }
}

async function survey(source: VerifySource, options: CheckOptions): Promise<SurveyedStream[]> {
  const { findings, canSearchFile, onProgress } = options;
  return source.survey(findings, onProgress, (error) => {
    if (canSearchFile || !TurnlogError.isInstance(error) || !(error instanceof DamageError)) throw error;
    findings.add("damaged-file", error.message);
  });
}

class Check {
  readonly #source: VerifySource;
  readonly #options: CheckOptions;
  readonly #findings: Findings;
  readonly #views: ViewsVerifier;
  readonly #facts: LogFacts;
  readonly #streams: readonly SurveyedStream[];
  readonly #total: number;
  /** Sessions that have events, and where they begin. */
  readonly #sessions = new Map<string, number>();
  #events = 0;

  constructor(
    source: VerifySource,
    options: CheckOptions,
    views: ViewsVerifier,
    streams: readonly SurveyedStream[],
  ) {
    this.#source = source;
    this.#options = options;
    this.#findings = options.findings;
    this.#views = views;
    this.#facts = new LogFacts(options.findings);
    this.#streams = streams;
    this.#total = streams.reduce((sum, { count }) => sum + count, 0);
  }

  async stream(stream: SurveyedStream): Promise<void> {
    const { name } = stream;
    const verifier = new StreamVerifier(stream, this.#facts, this.#findings);
    const sessionId = sessionOfStream(name);
    const viewed = sessionId === undefined ? undefined : this.#views.revisionOf(sessionId);
    let isCompared = viewed === undefined;
    let isCutShort = false;
    try {
      for await (const event of this.#source.read(name)) {
        await this.#pass(event);
        if (verifier.count === 0 && sessionId !== undefined) this.#sessions.set(sessionId, event.position);
        verifier.take(event);
        const state = verifier.session?.state;
        if (isCompared || sessionId === undefined || state === undefined || state.revision !== viewed)
          continue;
        this.#views.compare(sessionId, state);
        isCompared = true;
      }
    } catch (error) {
      if (this.#options.canSearchFile || !(error instanceof DamageError)) throw error;
      this.#findings.add("damaged-row", error.message, { stream: name });
      isCutShort = true;
    }
    verifier.finish(isCutShort);
    if (!isCompared && sessionId !== undefined && verifier.session?.state !== undefined)
      this.#views.moved.push(sessionId);
  }

  async #pass(event: RecordedEvent): Promise<void> {
    if (event.position > this.#source.head)
      this.#findings.add(
        "position-above-head",
        `Revision ${event.revision} has position ${event.position}, and the log says that it ends at ${this.#source.head}.`,
        event,
      );
    this.#events += 1;
    if (this.#events % EVENTS_A_TICK !== 0) return;
    this.#options.onProgress?.({ phase: "checking", done: this.#events, total: this.#total });
    await nextTick();
    if (this.#options.signal?.aborted === true)
      throw new StateError("verify-interrupted", "The verification was interrupted; nothing was changed.", {
        cause: this.#options.signal.reason,
      });
  }

  async report(): Promise<VerifyReport> {
    this.#facts.finish();
    await this.#compareMoved();
    this.#views.compareNames(this.#sessions);
    const views = this.#views.finish();
    const { findings, notes, damagedStreams, lostEvents } = this.#findings;
    const damagedSessions = [...damagedStreams].map(sessionOfStream).filter((id) => id !== undefined);
    return {
      logId: this.#source.logId ?? null,
      head: this.#source.head,
      readFrom: this.#source.kind,
      events: this.#events,
      streams: this.#streams.filter(({ count }) => count > 0).length,
      sessions: this.#sessions.size,
      damagedSessions: damagedSessions.toSorted(),
      lostEvents,
      findings,
      counts: this.#findings.counts(),
      notes,
      views,
    };
  }

  /** The views of sessions that are being written: folds them again, up to where their rows have come. */
  async #compareMoved(): Promise<void> {
    for (const sessionId of new Set(this.#views.moved)) {
      let isCompared = false;
      for (let attempt = 0; attempt < MOST_ATTEMPTS && !isCompared; attempt++) {
        const revision = this.#views.revisionOf(sessionId);
        if (revision === undefined) break;
        const state = await this.#foldTo(sessionId, revision);
        isCompared = state === undefined || this.#views.compare(sessionId, state);
        if (state === undefined) this.#views.beyond(sessionId, revision);
      }
    }
  }

  /** Undefined where the log does not go as far. */
  async #foldTo(sessionId: string, revision: number): Promise<Conversation | undefined> {
    const state = emptyConversation();
    for await (const event of this.#source.readOn(conversationStream(sessionId))) {
      const decoded = eventCodec.decode(event);
      if (decoded === undefined) skipEvent(state, event);
      else applyEvent(state, decoded);
      if (event.revision >= revision) return state.revision === revision ? state : undefined;
    }
    return undefined;
  }
}
