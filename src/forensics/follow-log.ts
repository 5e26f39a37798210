import { type Observable, type Subscription, filter, map } from "../log/observable.ts";
import type { EventLog, LogSignal, RecordedEvent } from "../log/event-log.ts";

/** Which events to follow, and from where. */
export interface FollowOptions {
  /** Events above this position. */
  after: number;
  /** Only events of streams whose name begins so. */
  streamPrefix?: string | undefined;
  /** Only events of this stream. */
  stream?: string | undefined;
  /** Ends the iteration. */
  signal?: AbortSignal | undefined;
}

/** Events that may wait for a slow consumer before the log is read at its pace again. */
const MOST_WAITING = 10_000;

/**
 * The events after a position, those to come included, by any process: none is missed, none comes twice. Memory is
 * bounded however slow the consumer is. Breaking off, or the signal, releases everything.
 */
export async function* followLog(
  log: Pick<EventLog, "readAll" | "subscribe">,
  { after, streamPrefix, stream, signal }: FollowOptions,
): AsyncGenerator<RecordedEvent, void, undefined> {
  const prefix = stream ?? streamPrefix;
  const range = prefix === undefined ? {} : { streamPrefix: prefix };
  // A prefix lets the names through that go on behind it.
  const isWanted = (event: RecordedEvent): boolean => stream === undefined || event.stream === stream;
  const isOver = (): boolean => signal?.aborted === true;
  let position = after;
  while (!isOver()) {
    for await (const event of log.readAll({ ...range, after: position })) {
      position = event.position;
      if (isWanted(event)) yield event;
      if (isOver()) return;
    }
    const live = new LiveEvents(eventsOf(log.subscribe({ ...range, after: position })), signal);
    try {
      for (;;) {
        const event = await live.next();
        if (event === undefined) break; // It fell behind, or was told to stop.
        position = event.position;
        if (isWanted(event)) yield event;
      }
    } finally {
      live.release();
    }
  }
}

function eventsOf(signals: Observable<LogSignal>): Observable<RecordedEvent> {
  return signals.pipe(
    filter((signal) => signal.kind === "event"),
    map(({ event }) => event),
  );
}

/** A subscription taken event by event. */
class LiveEvents {
  readonly #waiting: RecordedEvent[] = [];
  readonly #signal: AbortSignal | undefined;
  readonly #subscription: Subscription;
  #isOver = false;
  #failure: { error: unknown } | undefined;
  #wake: () => void = () => undefined;
  readonly #stop = (): void => {
    this.#isOver = true;
    this.#waiting.length = 0;
    this.#wake();
  };

  constructor(events: Observable<RecordedEvent>, signal: AbortSignal | undefined) {
    this.#signal = signal;
    signal?.addEventListener("abort", this.#stop);
    this.#isOver = signal?.aborted === true;
    this.#subscription = events.subscribe({
      next: (event) => {
        // What waits is let go: it is read from the log again, at the consumer's pace.
        if (this.#waiting.length >= MOST_WAITING) this.#stop();
        if (this.#isOver) return;
        this.#waiting.push(event);
        this.#wake();
      },
      error: (error: unknown) => {
        this.#failure = { error };
        this.#wake();
      },
    });
  }

  /** Undefined when it is over. */
  async next(): Promise<RecordedEvent | undefined> {
    for (;;) {
      const event = this.#waiting.shift();
      if (event !== undefined) return event;
      if (this.#failure !== undefined) throw this.#failure.error;
      if (this.#isOver) return undefined;
      await new Promise<void>((resolve) => (this.#wake = resolve));
    }
  }

  release(): void {
    this.#signal?.removeEventListener("abort", this.#stop);
    this.#subscription.unsubscribe();
  }
}
