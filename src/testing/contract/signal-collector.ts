import assert from "node:assert/strict";
import type { Observable, Subscription } from "rxjs";
import type { LogSignal, NewEvent, RecordedEvent } from "../../log/event-log.ts";

interface Waiter {
  readonly isMet: () => boolean;
  readonly resolve: () => void;
  readonly reject: (failure: Error) => void;
}

/** Subscribes, keeps every signal, and lets a test wait for what must come. */
export class SignalCollector {
  readonly signals: LogSignal[] = [];
  readonly events: RecordedEvent[] = [];
  /** Positions of the caught-up signals. */
  readonly caughtUp: number[] = [];
  isCompleted = false;
  error: unknown;
  readonly #deadlineMs: number;
  readonly #subscription: Subscription;
  readonly #waiters = new Set<Waiter>();
  readonly #known = new Set<string>();
  #ended: Error | undefined;

  constructor(source: Observable<LogSignal>, deadlineMs: number, onEvent?: (delivered: number) => void) {
    this.#deadlineMs = deadlineMs;
    this.#subscription = source.subscribe({
      next: (signal) => {
        this.signals.push(signal);
        if (signal.kind === "event") {
          this.events.push(signal.event);
          this.#known.add(signal.event.id);
          onEvent?.(this.events.length);
        }
        if (signal.kind === "caught-up") this.caughtUp.push(signal.position);
        this.#check();
      },
      error: (error: unknown) => {
        this.error = error;
        this.#end(`the subscription failed: ${String(error)}`);
      },
      complete: () => {
        this.isCompleted = true;
        this.#end("the subscription was completed");
      },
    });
  }

  get ids(): string[] {
    return this.events.map((event) => event.id);
  }

  untilCaughtUp(): Promise<void> {
    return this.until("a caught-up signal", () => this.caughtUp.length > 0);
  }

  untilEvents(count: number): Promise<void> {
    return this.until(`${count} events`, () => this.events.length >= count);
  }

  untilEvent(event: NewEvent): Promise<void> {
    return this.until(`event ${event.id}`, () => this.#known.has(event.id));
  }

  untilEnded(): Promise<void> {
    return this.until("its end", () => this.isCompleted || this.error !== undefined);
  }

  until(what: string, isMet: () => boolean): Promise<void> {
    if (isMet()) return Promise.resolve();
    if (this.#ended !== undefined) return Promise.reject(this.#ended);
    return new Promise((resolve, reject) => {
      const settle = (action: () => void): void => {
        clearTimeout(timer);
        this.#waiters.delete(waiter);
        action();
      };
      const waiter: Waiter = {
        isMet,
        resolve: () => settle(resolve),
        reject: (failure) => settle(() => reject(failure)),
      };
      const timer = setTimeout(() => waiter.reject(this.#missing(what)), this.#deadlineMs);
      this.#waiters.add(waiter);
    });
  }

  stop(): void {
    this.#subscription.unsubscribe();
    this.#end("the subscription was stopped");
  }

  #check(): void {
    for (const waiter of this.#waiters) if (waiter.isMet()) waiter.resolve();
  }

  #end(why: string): void {
    this.#check();
    this.#ended ??= new assert.AssertionError({ message: `nothing more can be delivered: ${why}` });
    for (const waiter of this.#waiters) waiter.reject(this.#ended);
  }

  #missing(what: string): Error {
    const message = `the subscription did not deliver ${what} within ${this.#deadlineMs} ms; it delivered ${this.events.length} events and ${this.caughtUp.length} caught-up signals`;
    return new assert.AssertionError({ message });
  }
}
