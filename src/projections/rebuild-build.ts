import { setImmediate as nextTick } from "node:timers/promises";
import { sessionOfStream } from "../events/conversation-event.ts";
import { readRuns } from "../log/event-runs.ts";
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
const BATCH_EVENTS = 60_000;
const MOST_UNITS = 12 * 1024 * 1024;
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
  let written = 0;
  const { batchEvents = BATCH_EVENTS } = options;
  if (writer.position >= goal) return { position: writer.position, events, elapsedMs: 0 };
  for await (const runs of readRuns(log, { after: writer.position, pieceEvents: batchEvents })) {
    checkNotAborted(run);
    events += writer.takeRuns(runs);
    if (runs.completeTo >= goal) break;
    if (events - written >= batchEvents || writer.pendingUnits >= MOST_UNITS) await write();
  }
  await write();
  return { position: writer.position, events, elapsedMs: performance.now() - started };

  async function write(): Promise<void> {
    checkNotAborted(run);
    const sessions = await views.whileBusy(() => writer.flush("all", "building"));
    if (sessions === undefined) throw rebuildLost(views.path);
    written = events;
    options.onProgress?.(progress());
    await nextTick();
  }

  function progress(): RebuildProgress {
    const seconds = (performance.now() - started) / 1000;
    const { position, newestStream } = writer;
    const session = newestStream && sessionOfStream(newestStream);
    return { phase: "building", position, ceiling, events, eventsPerSecond: events / seconds, session };
  }
}
