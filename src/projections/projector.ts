import { type Subscription, filter } from "rxjs";
import type { EventLog, LogSignal } from "../log/event-log.ts";
import { type ConversationViews, isDamagedViews, isViewsBusy } from "./conversation-views.ts";
import { HolderLock } from "./holder-lock.ts";
import { StaleView } from "./message-collection.ts";
import { type DeadLetter, ViewWriter } from "./view-writer.ts";

export interface ProjectorOptions {
  /** How long structural events may wait to be written together, ms. */
  batchMs?: number | undefined;
  /** How often the row of a message that is being streamed is written, ms. */
  intervalMs?: number | undefined;
  /** Told of events that cannot be folded, and of views that cannot be written. Default: `process.emitWarning`. */
  onWarning?: ((message: string) => void) | undefined;
}

const BATCH_MS = 250;
const INTERVAL_MS = 1000;
/** How often a process that is not the projector looks whether it should become it. */
const TAKEOVER_MS = 1000;
/** Events folded between two writes at most, while it catches up. */
const LARGEST_BATCH = 20_000;
/** A write stops the event loop: what is more waits for the next turn of it. */
const LONGEST_WRITE_MS = 5;
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
  /** The rest of what is being written, in the next turn of the event loop. */
  #rest: NodeJS.Immediate | undefined;
  #taken = 0;
  #lastWarning: string | undefined;
  #isStopped = false;

  constructor(log: EventLog, views: ConversationViews, options: ProjectorOptions = {}) {
    this.#log = log;
    this.#views = views;
    this.#options = options;
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
        if (++this.#taken >= LARGEST_BATCH) this.#flush("all");
      } else if (writer.hasPending) {
        this.#flush("all");
      }
      this.#schedule(writer);
    } catch (error) {
      // Its tables are gone: a rebuild has replaced and removed the generation.
      if (error instanceof StaleView) this.#restart();
      else this.#fail(error);
    }
  }

  #schedule(writer: ViewWriter): void {
    if (writer.hasDue && this.#batch === undefined) {
      this.#batch = setTimeout(() => this.#onTimer("due"), this.#options.batchMs ?? BATCH_MS);
      this.#batch.unref();
    }
    if (writer.hasPending && this.#interval === undefined) {
      this.#interval = setTimeout(() => this.#onTimer("all"), this.#options.intervalMs ?? INTERVAL_MS);
      this.#interval.unref();
    }
  }

  #onTimer(which: "due" | "all"): void {
    if (which === "due") this.#batch = undefined;
    else this.#interval = undefined;
    const writer = this.#writer;
    if (writer === undefined) return;
    try {
      this.#flush(which);
      if (this.#writer === writer) this.#schedule(writer);
    } catch (error) {
      this.#fail(error);
    }
  }

  /** Writes for a moment, and the rest in the next turns of the event loop: of sessions that waited when it began. */
  #flush(which: "due" | "all", sessions: number = Infinity): void {
    const writer = this.#writer;
    if (writer === undefined) return;
    this.#taken = 0;
    try {
      const before = writer.pendingSessions;
      // A rebuild has put another generation in its place: go on from where that one has come to.
      if (!writer.flush(which, "current", LONGEST_WRITE_MS)) return this.#restart();
      const left = Math.min(sessions, before) - (before - writer.pendingSessions);
      if (left > 0 && (which === "all" || writer.hasDue)) this.#flushRest(which, left);
    } catch (error) {
      // A session has been rebuilt in place: what is in memory of it is no longer what its rows say.
      if (error instanceof StaleView) this.#restart();
      else if (!isViewsBusy(error)) throw error; // Somebody else writes: the next timer tries again.
    }
  }

  #flushRest(which: "due" | "all", sessions: number): void {
    this.#rest ??= setImmediate(() => {
      this.#rest = undefined;
      try {
        this.#flush(which, sessions);
      } catch (error) {
        this.#fail(error);
      }
    });
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
    clearTimeout(this.#batch);
    clearTimeout(this.#interval);
    clearImmediate(this.#rest);
    this.#batch = this.#interval = this.#rest = undefined;
  }

  /** Once: what goes on to be wrong is looked at again every second. */
  #warn(message: string): void {
    if (message === this.#lastWarning) return;
    this.#lastWarning = message;
    (this.#options.onWarning ?? ((text) => process.emitWarning(text, "TurnlogWarning")))(message);
  }

  /** Writes what has been folded and lets go: the log must still be open. */
  stop(): void {
    this.#isStopped = true;
    clearTimeout(this.#takeover);
    try {
      if (this.#writer?.hasPending === true) this.#writer.flush("all");
    } catch (error) {
      if (!isViewsBusy(error) && !(error instanceof StaleView))
        this.#warn(`The views ${this.#views.path} could not be brought up to date: ${String(error)}.`);
    }
    this.#end();
    this.#lock.release();
  }
}

function deadLetterWarning({ sessionId, message }: DeadLetter): string {
  return `Session ${JSON.stringify(sessionId)} can be projected no further; other sessions go on. ${message} After an upgrade, turnlog rebuild clears this.`;
}
