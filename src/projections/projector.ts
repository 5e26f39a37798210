import { setImmediate as nextTick } from "node:timers/promises";
import { type Subscription, filter } from "rxjs";
import type { EventLog, LogSignal } from "../log/event-log.ts";
import { type ConversationViews } from "./conversation-views.ts";
import { isDamagedViews, isViewsBusy } from "./view-errors.ts";
import { HolderLock } from "./holder-lock.ts";
import { StaleView } from "./message-collection.ts";
import { type DeadLetter, ViewWriter } from "./view-writer.ts";

export interface ProjectorOptions {
  /** How long structural events may wait to be written together, ms. */
  batchMs?: number | undefined;
  /** How often the row of a message that is being streamed is written at most, ms. */
  intervalMs?: number | undefined;
  /** Told of events that cannot be folded, and of views that cannot be written. Default: `process.emitWarning`. */
  onWarning?: ((message: string) => void) | undefined;
}

const BATCH_MS = 250;
const INTERVAL_MS = 1000;
/** How often a process that is not the projector looks whether it should become it. */
const TAKEOVER_MS = 1000;
/** Writing the rows of messages that are being streamed takes so much of the time at most. */
const MOST_SHARE = 1 / 50;
/** The event loop stops for each write: what is more waits until it has had its turn. */
const SESSIONS_IN_WRITE = 32;
/** Events folded between two writes at most, while it catches up. */
const LARGEST_BATCH = 20_000;
const MOST_SESSIONS = 1000;
const MOST_UNITS = 8 * 1024 * 1024;

/**
 * Keeps the views up to date from the log's subscription. One at a time over all processes: the others wait for its
 * lock, which the operating system releases when it dies. Back-pressure is the call stack: an event is folded
 * before the log delivers the next, and a batch is written before more is folded.
 */
export class Projector {
  readonly #log: EventLog;
  readonly #views: ConversationViews;
  readonly #options: ProjectorOptions;
  readonly #lock: HolderLock;
  #writer: ViewWriter | undefined;
  #subscription: Subscription | undefined;
  #takeover: NodeJS.Timeout | undefined;
  #batch: NodeJS.Timeout | undefined;
  #interval: NodeJS.Timeout | undefined;
  /** Of the sessions that were unsaved when the interval ended: how many are left to write, and what it took so far. */
  #round: { sessionsLeft: number; tookMs: number } | undefined;
  #pauseMs: number;
  #nextWrite: NodeJS.Immediate | undefined;
  #isCaughtUp = false;
  /** Events taken since the last write, while catching up. */
  #takenBehind = 0;
  #lastWarning: string | undefined;
  #isStopped = false;

  constructor(log: EventLog, views: ConversationViews, options: ProjectorOptions = {}) {
    this.#log = log;
    this.#views = views;
    this.#options = options;
    this.#pauseMs = options.intervalMs ?? INTERVAL_MS;
    this.#lock = new HolderLock(views.path === ":memory:" ? undefined : `${views.path}-projector`);
  }

  /** True in the process whose projector it is. */
  get isActive(): boolean {
    return this.#lock.isHeld || this.#writer !== undefined;
  }

  start(): void {
    if (this.#isStopped || this.isActive) return;
    try {
      if (this.#lock.tryAcquire()) return this.#begin();
    } catch (error) {
      this.#warn(`The views ${this.#views.path} cannot be kept up to date: ${String(error)}.`);
    }
    this.#takeover = setTimeout(() => this.start(), TAKEOVER_MS);
    this.#takeover.unref();
  }

  #begin(): void {
    const current = this.#views.read(() => this.#views.serving(this.#log.logId));
    // Another version of turnlog has put its views in the place of ours: they are its own to keep up to date.
    if (current === undefined) return this.#yield();
    const writer = new ViewWriter(this.#views, current.generation, current, {
      mostSessions: MOST_SESSIONS,
      mostUnits: MOST_UNITS,
      onDeadLetter: (letter) => this.#warn(deadLetterWarning(letter)),
    });
    this.#writer = writer;
    this.#isCaughtUp = false;
    this.#takenBehind = 0;
    this.#subscription = this.#log
      .subscribe({ after: current.checkpoint.position, batchMs: this.#options.batchMs ?? BATCH_MS })
      .pipe(filter(() => this.#writer === writer))
      .subscribe({
        next: (signal) => this.#take(writer, signal),
        error: (error: unknown) => this.#fail(error),
      });
  }

  #take(writer: ViewWriter, signal: LogSignal): void {
    try {
      if (signal.kind === "event") {
        writer.take(signal.event);
        if (!this.#isCaughtUp) this.#takenBehind++;
        if (this.#takenBehind >= LARGEST_BATCH || writer.pendingUnits >= this.#mostUnits) this.#writeAll();
        else if (writer.pendingUnits >= MOST_UNITS && this.#round === undefined) this.#beginRound(writer);
      } else {
        this.#isCaughtUp = true;
        if (writer.hasPending) this.#writeAll();
      }
      this.#schedule(writer);
    } catch (error) {
      // Its tables are gone: a rebuild has replaced and removed the generation.
      if (error instanceof StaleView) this.#restart();
      else this.#fail(error);
    }
  }

  /** Once it has caught up, what is too much is written in pieces; where even more comes meanwhile it must wait. */
  get #mostUnits(): number {
    return this.#isCaughtUp ? 4 * MOST_UNITS : MOST_UNITS;
  }

  #schedule(writer: ViewWriter): void {
    if (writer.hasDue && this.#batch === undefined) {
      this.#batch = setTimeout(() => this.#writeOn("due"), this.#options.batchMs ?? BATCH_MS);
      this.#batch.unref();
    }
    if (writer.hasPending && this.#interval === undefined && this.#round === undefined) {
      this.#interval = setTimeout(() => this.#beginRound(writer), this.#pauseMs);
      this.#interval.unref();
    }
  }

  #beginRound(writer: ViewWriter): void {
    clearTimeout(this.#interval);
    this.#interval = undefined;
    this.#round = { sessionsLeft: writer.unsavedSessions, tookMs: 0 };
    this.#writeOn("all");
  }

  /** Writes some sessions, and the others once the event loop has had its turn. */
  #writeOn(which: "due" | "all"): void {
    if (which === "due") this.#batch = undefined;
    const writer = this.#writer;
    if (writer === undefined) return;
    try {
      const start = performance.now();
      const isWritten = this.#flush(which, SESSIONS_IN_WRITE);
      if (this.#writer !== writer) return;
      if (!isWritten) this.#round = undefined;
      else if (which === "all") this.#endRound(performance.now() - start);
      const isMore = isWritten && (this.#round !== undefined || writer.hasDue);
      if (isMore) this.#nextWrite ??= setImmediate(() => this.#onNextWrite());
      this.#schedule(writer);
    } catch (error) {
      this.#fail(error);
    }
  }

  #onNextWrite(): void {
    this.#nextWrite = undefined;
    this.#writeOn(this.#round === undefined ? "due" : "all");
  }

  #endRound(tookMs: number): void {
    const round = this.#round;
    if (round === undefined) return;
    round.sessionsLeft -= SESSIONS_IN_WRITE;
    round.tookMs += tookMs;
    if (round.sessionsLeft > 0) return;
    this.#round = undefined;
    this.#pauseMs = Math.max(this.#options.intervalMs ?? INTERVAL_MS, round.tookMs / MOST_SHARE);
  }

  #writeAll(): void {
    this.#takenBehind = 0;
    this.#flush("all");
  }

  /** False where nothing was written. */
  #flush(which: "due" | "all", mostSessions = Infinity): boolean {
    const writer = this.#writer;
    if (writer === undefined) return false;
    try {
      if (writer.flush(which, "current", mostSessions)) return true;
      // A rebuild has put another generation in its place: go on from where that one has come to.
      this.#restart();
    } catch (error) {
      // A session has been rebuilt in place: what is in memory of it is no longer what its rows say.
      if (error instanceof StaleView) this.#restart();
      else if (!isViewsBusy(error)) throw error; // Somebody else writes: the next timer tries again.
    }
    return false;
  }

  #restart(): void {
    this.#end();
    if (!this.#isStopped) this.#begin();
  }

  /** Lets go, and looks again later. */
  #yield(): void {
    this.#end();
    this.#lock.release();
    if (this.#isStopped) return;
    this.#takeover = setTimeout(() => this.start(), TAKEOVER_MS);
    this.#takeover.unref();
  }

  /** What a failed write leaves half done is dropped; the checkpoint says where to go on. */
  #fail(error: unknown): void {
    this.#yield();
    if (this.#isStopped) return;
    const why = isDamagedViews(error)
      ? `they are damaged (${String(error)}): open the store again to have them made anew`
      : String(error);
    this.#warn(
      `The views ${this.#views.path} could not be brought up to date: ${why}. Queries read the log instead.`,
    );
    if (isDamagedViews(error)) clearTimeout(this.#takeover);
  }

  #end(): void {
    this.#subscription?.unsubscribe();
    this.#subscription = undefined;
    this.#writer = undefined;
    this.#clearTimers();
  }

  #clearTimers(): void {
    clearTimeout(this.#batch);
    clearTimeout(this.#interval);
    clearImmediate(this.#nextWrite);
    this.#batch = this.#interval = this.#nextWrite = this.#round = undefined;
  }

  /** Once: what goes on to be wrong is looked at again every second. */
  #warn(message: string): void {
    if (message === this.#lastWarning) return;
    this.#lastWarning = message;
    (this.#options.onWarning ?? ((text) => process.emitWarning(text, "TurnlogWarning")))(message);
  }

  /** Lets go at once: what has been folded and not written is folded again by whoever goes on. */
  stop(): void {
    this.#isStopped = true;
    clearTimeout(this.#takeover);
    this.#end();
    this.#lock.release();
  }

  /** Writes what has been folded, some sessions at a time, and lets go: the log must still be open. */
  async close(): Promise<void> {
    this.#isStopped = true;
    this.#subscription?.unsubscribe();
    this.#clearTimers();
    try {
      while (this.#writer?.hasPending === true && this.#flush("all", SESSIONS_IN_WRITE)) await nextTick();
    } catch (error) {
      this.#warn(`The views ${this.#views.path} could not be brought up to date: ${String(error)}.`);
    }
    this.stop();
  }
}

function deadLetterWarning({ sessionId, message }: DeadLetter): string {
  return `Session ${JSON.stringify(sessionId)} can be projected no further; other sessions go on. ${message} After an upgrade, turnlog rebuild clears this.`;
}
