import { setImmediate as nextTick } from "node:timers/promises";
import { sessionOfStream } from "../events/conversation-event.ts";
import type { EventLog, RecordedEvent } from "../log/event-log.ts";
import { type GenerationRecord, FOLD_VERSION } from "./conversation-views.ts";
import { isOfLog } from "./open-views.ts";
import {
  type RebuildProgress,
  type RebuildRun,
  checkNotAborted,
  rebuildLost,
  unfoldable,
} from "./rebuild-run.ts";
import { ViewWriter } from "./view-writer.ts";

/** A batch is one transaction: long enough that a growing message is written seldom, short enough for memory. */
const BATCH_EVENTS = 30_000;
const MOST_UNITS = 8 * 1024 * 1024;
const MOST_SESSIONS = 2000;
const UNITS_HELD = 8 * 1024 * 1024;

export interface ChosenGeneration {
  generation: number;
  resumedFrom: number | undefined;
  startedAnew: string | undefined;
}

/** Goes on with what an interrupted rebuild has left, where that can be; else makes tables of its own. */
export async function chooseGeneration(run: RebuildRun): Promise<ChosenGeneration> {
  const { log, views } = run;
  let startedAnew: string | undefined;
  let resumed: GenerationRecord | undefined;
  for (const record of views.read(() => views.records())) {
    if (record.state === "current") continue;
    const reason = record.state === "building" ? await whyNotResumed(run, record) : "it is out of service";
    if (reason === undefined) {
      resumed = record;
      continue;
    }
    if (record.state === "building") startedAnew = reason;
    await views.whileBusy(() => views.drop(record.generation));
  }
  if (resumed !== undefined) {
    const { generation, checkpoint } = resumed;
    return { generation, resumedFrom: checkpoint.position, startedAnew: undefined };
  }
  const generation = await views.whileBusy(() =>
    views.write(() => views.createGeneration(log.logId, "building")),
  );
  return { generation, resumedFrom: undefined, startedAnew };
}

async function whyNotResumed(
  { log, views, options }: RebuildRun,
  record: GenerationRecord,
): Promise<string | undefined> {
  if (options.fromScratch === true) return "it was asked to start from scratch";
  if (record.logId !== log.logId) return "what an interrupted rebuild had left was of another log";
  if (record.foldVersion !== FOLD_VERSION)
    return "what an interrupted rebuild had left was folded by another version of turnlog";
  for (const point of [record.checkpoint, record.highest]) {
    if (!(await isOfLog(log, point))) return "the log lacks events that an interrupted rebuild had seen";
  }
  const { generation } = record;
  if (options.skipPoison !== true && views.read(() => views.rows(generation).deadLetters()).length > 0)
    return "an interrupted rebuild had set sessions aside, which this one is not to do";
  return undefined;
}

export interface Built {
  position: number;
  /** Folded by this call. */
  events: number;
  elapsedMs: number;
}

/** Folds the log into the generation: up to the ceiling at least, or up to its head as it is now. */
export async function buildGeneration(
  run: RebuildRun,
  generation: number,
  until: "ceiling" | "head",
): Promise<Built> {
  const { log, views, options, ceiling } = run;
  const record = views.read(() => views.records().find((each) => each.generation === generation));
  if (record === undefined) throw rebuildLost(views.path);
  const writer = new ViewWriter(views, generation, record, {
    mostSessions: MOST_SESSIONS,
    mostUnits: UNITS_HELD,
    onDeadLetter: (letter) => {
      if (options.skipPoison !== true) throw unfoldable(letter);
    },
  });
  const goal = until === "ceiling" ? ceiling : await log.head();
  const started = performance.now();
  let events = 0;
  while (writer.position < goal) {
    checkNotAborted(run);
    const batch = await takeBatch(log, writer, goal, options.batchEvents ?? BATCH_EVENTS);
    events += batch.events;
    const isWritten = await views.whileBusy(() => writer.flush("all", "building"));
    if (!isWritten) throw rebuildLost(views.path);
    options.onProgress?.(progressOf(batch, writer.position, events));
    if (batch.events === 0) break; // The newest events were of streams that have been truncated since.
    await nextTick();
  }
  return { position: writer.position, events, elapsedMs: performance.now() - started };

  function progressOf({ newest }: Batch, position: number, events: number): RebuildProgress {
    const seconds = (performance.now() - started) / 1000;
    const session = newest && sessionOfStream(newest.stream);
    return { phase: "building", position, ceiling, events, eventsPerSecond: events / seconds, session };
  }
}

interface Batch {
  events: number;
  newest: RecordedEvent | undefined;
}

/**
 * Folds up to a batch of events. By a subscription, which hands over page by page: awaiting each event would cost as
 * much as folding it.
 */
function takeBatch(log: EventLog, writer: ViewWriter, goal: number, mostEvents: number): Promise<Batch> {
  return new Promise((resolve, reject) => {
    const batch: Batch = { events: 0, newest: undefined };
    let isDone = false;
    const subscription = log.subscribe({ after: writer.position }).subscribe({
      next: (signal) => {
        if (isDone) return;
        try {
          if (signal.kind === "caught-up") return done();
          if (signal.kind !== "event") return;
          writer.take(signal.event);
          batch.events++;
          batch.newest = signal.event;
          const isFull = batch.events >= mostEvents || writer.pendingUnits >= MOST_UNITS;
          if (isFull || signal.event.position >= goal) done();
        } catch (error) {
          end();
          reject(error instanceof Error ? error : new Error(String(error)));
        }
      },
      error: reject,
    });
    function done(): void {
      end();
      resolve(batch);
    }

    function end(): void {
      isDone = true;
      // It is not there yet while `subscribe` itself delivers.
      queueMicrotask(() => subscription.unsubscribe());
    }
  });
}
