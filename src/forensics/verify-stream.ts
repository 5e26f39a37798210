import { TurnlogError } from "../errors.ts";
import {
  type ConversationEvent,
  MESSAGE_IDS_STREAM,
  isSelfContained,
  sessionOfStream,
} from "../events/conversation-event.ts";
import { eventCodec } from "../events/event-codec.ts";
import type { JsonObject, RecordedEvent } from "../log/event-log.ts";
import { EVENT_LOST, EVENT_SET_ASIDE, type LostEvents, type SetAsideEvent } from "./placeholder-events.ts";
import type { LogFacts } from "./verify-facts.ts";
import type { Findings } from "./verify-report.ts";
import { SessionVerifier } from "./verify-session.ts";
import type { SurveyedStream } from "./verify-source.ts";

const WRITER_PREFIX = "writer-";

/** Takes one stream's events, in order of revision. */
export class StreamVerifier {
  readonly #stream: SurveyedStream;
  readonly #facts: LogFacts;
  readonly #findings: Findings;
  readonly #session: SessionVerifier | undefined;
  readonly #writer: string | undefined;
  #revision = -1;
  #position = -1;
  #count = 0;
  #truncated = 0;
  #isFork = false;
  #isCopyOfTruncated = false;
  #lost = 0;
  #setAside = 0;

  constructor(stream: SurveyedStream, facts: LogFacts, findings: Findings) {
    this.#stream = stream;
    this.#facts = facts;
    this.#findings = findings;
    const { name } = stream;
    const sessionId = sessionOfStream(name);
    this.#session = sessionId === undefined ? undefined : new SessionVerifier(sessionId, facts, findings);
    this.#writer = name.startsWith(WRITER_PREFIX) ? name.slice(WRITER_PREFIX.length) : undefined;
  }

  get session(): SessionVerifier | undefined {
    return this.#session;
  }

  get count(): number {
    return this.#count;
  }

  take(event: RecordedEvent): void {
    this.#checkRevision(event);
    this.#checkPosition(event);
    this.#facts.takePlace(event);
    this.#revision = event.revision;
    this.#position = event.position;
    this.#count += 1;
    if (event.type === "SessionForked") this.#isFork = true;
    this.#takePlaceholder(event);
    this.#takeCounter(event, event.metadata);
    let decoded: ConversationEvent | undefined;
    try {
      decoded = eventCodec.decode(event);
    } catch (error) {
      if (!TurnlogError.isInstance(error)) throw error;
      this.#findings.add(
        error.code === "unknown-event" ? "unknown-event" : "invalid-event",
        error.message,
        event,
      );
      this.#session?.interrupt();
      return;
    }
    if (decoded === undefined) this.#session?.skip(event);
    else this.#takeDecoded(decoded);
  }

  /** @param isCutShort its events could not all be read */
  finish(isCutShort = false): void {
    const { name, count, last, headRevision } = this.#stream;
    if (headRevision !== undefined && headRevision > this.#revision)
      this.#findings.lost(name, Math.max(this.#revision + 1, this.#stream.firstRevision ?? 0), headRevision);
    if (this.#session !== undefined && this.#count > 0)
      this.#facts.takeSession(sessionOfStream(name) ?? "", this.#truncated);
    if (this.#writer !== undefined) this.#facts.takeOwnStream(this.#writer, this.#truncated);
    if (this.#isCopyOfTruncated) this.#facts.takeCopyOfTruncated(this.#writer);
    this.#session?.finish();
    if (this.#lost > 0)
      this.#findings.note(
        "lost-before-salvage",
        `Stream "${name}" lacks ${this.#lost} events that were lost before it was salvaged.`,
      );
    if (this.#setAside > 0)
      this.#findings.note(
        "set-aside-by-salvage",
        `Stream "${name}" holds ${this.#setAside} events that can be applied to nothing since it was salvaged.`,
      );
    if (isCutShort || (this.#count === count && this.#revision === last)) return;
    // The writer may have truncated its own stream meanwhile; nothing else takes events away.
    if (this.#revision >= last && this.#count <= count && this.#truncated > 0) return;
    this.#findings.add(
      "reads-disagree",
      `Stream "${name}" has ${count} events up to revision ${last} in the order of the whole log, and ${this.#count} up to ${this.#revision} by itself.`,
      { stream: name },
    );
  }

  #takeCounter(event: RecordedEvent, { writer, n }: JsonObject): void {
    if (typeof writer === "string" && Number.isSafeInteger(n) && Number(n) >= 0)
      this.#facts.takeCounter(event, writer, Number(n), this.#isFork);
  }

  #takePlaceholder(event: RecordedEvent): void {
    const { type, data } = event;
    if (type === EVENT_SET_ASIDE) {
      this.#setAside += 1;
      const { metadata } = data as unknown as Partial<SetAsideEvent>;
      this.#takeCounter(event, metadata ?? {});
    }
    if (type !== EVENT_LOST) return;
    const { reason, from = 0, to = 0 } = data as unknown as LostEvents;
    if (reason === "truncation") {
      this.#isCopyOfTruncated = true;
      return;
    }
    this.#lost += to - from + 1;
    this.#session?.lackEvents();
    this.#facts.takeLost(to - from + 1);
  }

  #checkRevision(event: RecordedEvent): void {
    const { revision, type, stream } = event;
    const isFirst = this.#count === 0;
    // No writer begins its stream so: it had been truncated before it was copied.
    if (isFirst && revision === 0 && isSelfContained(type) && type !== "WriterStarted")
      this.#isCopyOfTruncated = true;
    if (revision === this.#revision + 1) return;
    if (isFirst && isSelfContained(type) && (this.#stream.firstRevision ?? revision) === revision) {
      this.#truncated = revision;
      return;
    }
    if (revision <= this.#revision) {
      this.#findings.add(
        "misplaced-event",
        `Revision ${revision} comes after revision ${this.#revision}.`,
        event,
      );
      return;
    }
    const from = isFirst ? Math.min(this.#stream.firstRevision ?? 0, revision) : this.#revision + 1;
    if (from < revision) this.#findings.lost(stream, from, revision - 1);
    this.#session?.interrupt();
  }

  #checkPosition(event: RecordedEvent): void {
    if (event.position > this.#position) return;
    this.#findings.add(
      "position-not-rising",
      `Revision ${event.revision} has position ${event.position}, and the one before it ${this.#position}.`,
      event,
    );
  }

  #takeDecoded(event: ConversationEvent): void {
    const { type, stream, revision } = event;
    if (this.#session !== undefined) return this.#session.take(event);
    if (stream === MESSAGE_IDS_STREAM && type === "MessageIdsReserved")
      return this.#facts.takeBlock(revision, event.data.sessionId);
    const isOwn =
      this.#writer !== undefined && type.startsWith("Writer") && event.metadata.writer === this.#writer;
    if (isOwn) return;
    this.#findings.add("misplaced-event", `A ${type} does not belong into stream "${stream}".`, event);
  }
}
