import { BLOCK_SIZE } from "../store/message-ids.ts";
import type { RecordedEvent } from "../log/event-log.ts";
import { EventIdSet } from "./event-id-set.ts";
import { NumberSet } from "./verify-number-set.ts";
import type { Findings } from "./verify-report.ts";

interface WriterFacts {
  readonly counters: NumberSet;
  /** Its own stream is there. */
  hasStream: boolean;
  /** Events of its own stream that were truncated. */
  truncated: number;
  /** Some of its events came here as copies under new ids. */
  isCopied: boolean;
}

/** What must hold across streams: gathered event by event, judged at the end. */
export class LogFacts {
  readonly #findings: Findings;
  readonly #positions = new NumberSet();
  readonly #ids = new EventIdSet();
  readonly #writers = new Map<string, WriterFacts>();
  /** Session of each block of message ids. */
  readonly #blocks = new Map<number, string>();
  readonly #sessions = new Set<string>();
  /** Truncated events of sessions: of any writers. */
  #purged = 0;
  #lost = 0;
  /** Sessions came here that had been truncated before: nobody knows how many events they had. */
  #isPartialCopy = false;

  constructor(findings: Findings) {
    this.#findings = findings;
  }

  /** What every event must have to itself. */
  takePlace(event: RecordedEvent): void {
    const { id, position } = event;
    if (!this.#positions.add(position)) {
      this.#findings.add("repeated-position", `Two events have position ${position}.`, event);
    }
    if (this.#ids.add(id)) return;
    this.#findings.add("repeated-event-id", `Two events have the id ${id}, or it is no id.`, event);
  }

  /** @param isFork the event is a fork's: its copies are counted by their own writer */
  takeCounter(event: RecordedEvent, writer: string, n: number, isFork: boolean): void {
    const facts = this.#writer(writer);
    const isCopy = event.metadata["origin"] !== undefined && !isFork;
    if (isCopy) facts.isCopied = true;
    if (facts.counters.add(n) || isCopy) return;
    this.#findings.add("repeated-counter", `Writer ${writer} has counted two events as ${n}.`, event);
  }

  takeOwnStream(writer: string, truncated: number): void {
    const facts = this.#writer(writer);
    facts.hasStream = true;
    facts.truncated = truncated;
  }

  /** @param writer undefined for a session: its events were any writers' */
  takeCopyOfTruncated(writer: string | undefined): void {
    if (writer === undefined) this.#isPartialCopy = true;
    else this.#writer(writer).isCopied = true;
  }

  takeSession(sessionId: string, truncated: number): void {
    this.#sessions.add(sessionId);
    this.#purged += truncated;
  }

  /** Events that were lost before the log was salvaged: of any writers. */
  takeLost(count: number): void {
    this.#lost += count;
  }

  takeBlock(block: number, sessionId: string): void {
    this.#blocks.set(block, sessionId);
  }

  /** Undefined where the block is the session's, else what is wrong. */
  whyNotInBlock(messageId: number, sessionId: string): string | undefined {
    const block = Math.floor(messageId / BLOCK_SIZE);
    const owner = this.#blocks.get(block);
    if (owner === sessionId) return undefined;
    if (owner === undefined) return `block ${block} is not reserved`;
    return `block ${block} is reserved for session ${JSON.stringify(owner)}`;
  }

  #writer(writer: string): WriterFacts {
    let facts = this.#writers.get(writer);
    if (facts === undefined) {
      facts = { counters: new NumberSet(), hasStream: false, truncated: 0, isCopied: false };
      this.#writers.set(writer, facts);
    }
    return facts;
  }

  /** Judges the counters: a hole proves a loss, unless something tells where the events have gone. */
  finish(): void {
    const elsewhere = [...this.#blocks.values()].filter((sessionId) => !this.#sessions.has(sessionId)).length;
    let unexplained = 0;
    const holes: { writer: string; missing: number; ranges: string }[] = [];
    for (const [writer, { counters, hasStream, truncated, isCopied }] of this.#writers) {
      const missing = counters.largest + 1 - counters.size - truncated;
      if (missing <= 0) continue;
      if (!hasStream || isCopied || this.#isPartialCopy || elsewhere > 0) unexplained += missing;
      else holes.push({ writer, missing, ranges: rangesOf(counters) });
    }
    if (unexplained > 0) {
      this.#findings.note(
        "partial-copy",
        `Writers counted ${unexplained} more events: the log holds copies of sessions without the others, or of such as had been truncated, or sessions named in message-ids never had a message (${elsewhere}).`,
      );
    }
    const total = holes.reduce((sum, { missing }) => sum + missing, 0);
    if (total > 0 && total <= this.#purged + this.#lost) {
      const why = this.#lost === 0 ? "purged since" : "lost before it was salvaged, or purged";
      this.#findings.note("purged-events", `Writers counted ${total} events that have been ${why}.`);
      return;
    }
    for (const { writer, missing, ranges } of holes) {
      const events = missing === 1 ? "1 event" : `${missing} events`;
      this.#findings.add(
        "missing-counters",
        `Writer ${writer} counted ${events} that are lost: n ${ranges}.`,
      );
    }
  }
}

const MOST_RANGES = 5;

function rangesOf(counters: NumberSet): string {
  const ranges: string[] = [];
  for (const { from, to } of counters.holes()) {
    if (ranges.length >= MOST_RANGES) return `${ranges.join(", ")}, …`;
    ranges.push(from === to ? String(from) : `${from} to ${to}`);
  }
  return ranges.join(", ");
}
