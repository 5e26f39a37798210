import { setImmediate as nextTick } from "node:timers/promises";
import { type Subscription, filter } from "../log/observable.ts";
import type { EventLog, LogSignal } from "../log/event-log.ts";
import { eventLoopRounds } from "../log/event-loop-rounds.ts";
import { type ConversationViews } from "./conversation-views.ts";
import { isDamagedViews, isViewsBusy } from "./view-errors.ts";
import { HolderLock } from "./holder-lock.ts";
import { StaleView } from "./message-collection.ts";
import type { DeadLetter } from "./folded-sessions.ts";
import { type FlushBounds, ViewWriter } from "./view-writer.ts";

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
/** So much of the time writing rows takes at most: after structural events, and of messages that are being streamed. */
const MOST_SHARE = { due: 1 / 20, all: 1 / 50 };
/** The event loop stops for each write: what is more goes on once it has had its turn. */
const MOST_IN_WRITE: FlushBounds = { sessions: 32, ms: 2 };
/** Events folded between two writes at most, while it catches up. */
const LARGEST_BATCH = 20_000;
const MOST_SESSIONS = 1000;
const MOST_UNITS = 8 * 1024 * 1024;

type Which = keyof typeof MOST_SHARE;

/** The sessions that were to be written at one moment, written in pieces. */
interface Round {
  readonly which: Which;
  sessionsLeft: number;
  tookMs: number;
}

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
  readonly #timers: Record<Which, NodeJS.Timeout | undefined> = { due: undefined, all: undefined };
  readonly #pauseMs: Record<Which, number>;
  #round: Round | undefined;
  #takeBackWrite: (() => void) | undefined;
  #isCaughtUp = false;
  /** Events taken since the last write, while catching up. */
  #takenBehind = 0;
  #lastWarning: string | undefined;
  #isStopped = false;

  constructor(log: EventLog, views: ConversationViews, options: ProjectorOptions = {}) {
    this.#log = log;
    this.#views = views;
    this.#options = options;
    this.#pauseMs = { due: options.batchMs ?? BATCH_MS, all: options.intervalMs ?? INTERVAL_MS };
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
    this.#views.checkpointAside();
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
        else if (writer.pendingUnits >= MOST_UNITS && this.#round === undefined) this.#beginRound("all");
      } else {
        this.#isCaughtUp = true;
        if (writer.hasPending) this.#writeAll();
      }
      this.#schedule();
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

  #schedule(): void {
    const writer = this.#writer;
    if (writer === undefined || this.#round !== undefined) return;
    if (writer.dueSessions > 0) this.#startTimer("due");
    if (writer.hasPending) this.#startTimer("all");
  }

  #startTimer(which: Which): void {
    if (this.#timers[which] !== undefined) return;
    const timer = setTimeout(() => this.#onTimer(which), this.#pauseMs[which]);
    this.#timers[which] = timer.unref();
  }

  #onTimer(which: Which): void {
    this.#timers[which] = undefined;
    // Who is being written has its turn first; what is left then starts the timer again.
    if (this.#round === undefined) this.#beginRound(which);
  }

  #beginRound(which: Which): void {
    const writer = this.#writer;
    if (writer === undefined) return;
    clearTimeout(this.#timers[which]);
    this.#timers[which] = undefined;
    const sessionsLeft = which === "due" ? writer.dueSessions : writer.unsavedSessions;
    this.#round = { which, sessionsLeft, tookMs: 0 };
    this.#writeOn();
  }

  /** Writes some sessions, and the others once the event loop has had its turn. */
  #writeOn(): void {
    this.#takeBackWrite = undefined;
    const round = this.#round;
    if (round === undefined) return;
    try {
      const start = performance.now();
      const written = this.#flush(round.which, MOST_IN_WRITE);
      round.tookMs += performance.now() - start;
      round.sessionsLeft -= written;
      if (this.#round !== round) return;
      if (written > 0 && round.sessionsLeft > 0)
        this.#takeBackWrite = eventLoopRounds.schedule(() => this.#writeOn());
      else this.#endRound(round);
    } catch (error) {
      this.#fail(error);
    }
  }

  #endRound({ which, tookMs }: Round): void {
    this.#round = undefined;
    const { batchMs = BATCH_MS, intervalMs = INTERVAL_MS } = this.#options;
    this.#pauseMs[which] = Math.max(which === "due" ? batchMs : intervalMs, tookMs / MOST_SHARE[which]);
    this.#schedule();
  }

  #writeAll(): void {
    this.#takenBehind = 0;
    this.#flush("all");
  }

  /** How many sessions were written. */
  #flush(which: Which, most?: FlushBounds): number {
    const writer = this.#writer;
    if (writer === undefined) return 0;
    try {
      const written = writer.flush(which, "current", most);
      if (written !== undefined) return written;
      // A rebuild has put another generation in its place: go on from where that one has come to.
      this.#restart();
    } catch (error) {
      // A session has been rebuilt in place: what is in memory of it is no longer what its rows say.
      if (error instanceof StaleView) this.#restart();
      else if (!isViewsBusy(error)) throw error; // Somebody else writes: the next timer tries again.
    }
    return 0;
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
    for (const which of ["due", "all"] as const) {
      clearTimeout(this.#timers[which]);
      this.#timers[which] = undefined;
    }
    this.#takeBackWrite?.();
    this.#takeBackWrite = this.#round = undefined;
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
      while (this.#writer?.hasPending === true && this.#flush("all", MOST_IN_WRITE) > 0) await nextTick();
    } catch (error) {
      this.#warn(`The views ${this.#views.path} could not be brought up to date: ${String(error)}.`);
    }
    this.stop();
    await this.#views.endCheckpoints();
  }
}

function deadLetterWarning({ sessionId, message }: DeadLetter): string {
  return `Session ${JSON.stringify(sessionId)} can be projected no further; other sessions go on. ${message} After an upgrade, turnlog rebuild clears this.`;
}
