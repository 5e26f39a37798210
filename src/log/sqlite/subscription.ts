import { Observable } from "../observable.ts";
import type { LogSignal, RecordedEvent, SubscribeOptions } from "../event-log.ts";
import { pauseMs } from "./busy-retry.ts";
import { eventLoopRounds } from "../event-loop-rounds.ts";
import { isBusy, toStoreError } from "./engine.ts";
import type { PositionCursor } from "./position-cursor.ts";

/** How long a piece of a page is delivered before the event loop has its turn, ms. */
const SHARE_MS = 2;
const EVENTS_BETWEEN_LOOKS = 8;

/** What a subscription needs of a log. */
export interface SubscriptionSource {
  readonly path: string;
  /** @throws {StoreError} `store-closed` */
  checkOpen(): void;
  openCursor(after: number, streamPrefix: string): PositionCursor;
  /** One page, in a transaction of its own. `isFollowing`: it may come from memory, where it is new. */
  readPage(cursor: PositionCursor, isFollowing: boolean): RecordedEvent[] | undefined;
  /** Calls back whenever there may be new events. Returns what ends it. */
  onChange(wake: () => void): () => void;
}

/** Catches up by pages, going back to the event loop between them, then follows. */
export function subscription(source: SubscriptionSource, options: SubscribeOptions): Observable<LogSignal> {
  return new Observable<LogSignal>((subscriber) => {
    source.checkOpen();
    const cursor = source.openCursor(options.after ?? -1, options.streamPrefix ?? "");
    const { batchMs = 0 } = options;
    const isPatient = batchMs > 0;
    let isCaughtUp = false;
    let page: readonly RecordedEvent[] = [];
    let delivered = 0;
    let failedAttempts = 0;
    let takeBack: (() => void) | undefined;
    let retry: NodeJS.Timeout | undefined;

    const schedule = (): void => {
      takeBack ??= eventLoopRounds.schedule(deliverPage);
    };
    const deliverPage = (): void => {
      takeBack = undefined;
      if (delivered === page.length) {
        const next = readPage();
        if (next === undefined) return;
        page = next;
        delivered = 0;
      }
      const { isAtHead } = cursor;
      deliverShare();
      // Beside a busy writer there is an event more each time: a patient follower leaves it to the next look.
      const mayWait = isPatient && isCaughtUp && isAtHead && delivered === page.length;
      if (!subscriber.closed && !mayWait) schedule();
    };
    const deliverShare = (): void => {
      const start = performance.now();
      for (; delivered < page.length; delivered++) {
        const event = page[delivered];
        if (subscriber.closed || event === undefined) return;
        const isLook = delivered % EVENTS_BETWEEN_LOOKS === EVENTS_BETWEEN_LOOKS - 1;
        if (isLook && performance.now() - start >= SHARE_MS) return;
        subscriber.next({ kind: "event", event });
      }
      page = [];
      delivered = 0;
    };
    const readPage = (): RecordedEvent[] | undefined => {
      let next: RecordedEvent[] | undefined;
      try {
        next = source.readPage(cursor, isCaughtUp);
        failedAttempts = 0;
      } catch (error) {
        if (!isBusy(error)) subscriber.error(toStoreError(error, source.path));
        else retry ??= setTimeout(retryNow, pauseMs(failedAttempts++));
        return undefined;
      }
      if (next === undefined && !isCaughtUp) {
        isCaughtUp = true;
        subscriber.next({ kind: "caught-up", position: cursor.position });
      }
      return next;
    };
    const retryNow = (): void => {
      retry = undefined;
      schedule();
    };

    const onChange = (): void => {
      // Whatever is scheduled already will see it.
      if (takeBack === undefined && retry === undefined && isCaughtUp) deliverPage();
    };
    const endWatching = isPatient ? lookEvery(batchMs, onChange) : source.onChange(onChange);
    schedule();
    return () => {
      endWatching();
      takeBack?.();
      clearTimeout(retry);
    };
  });
}

/** A look finds nothing for the price of a query; being woken by each of a thousand commits a second costs more. */
function lookEvery(intervalMs: number, look: () => void): () => void {
  const timer = setInterval(look, intervalMs);
  timer.unref();
  return () => clearInterval(timer);
}
