import { StateError, StoreError } from "../errors.ts";
import type { EventLog } from "../log/event-log.ts";
import { openEventLog } from "../log/open-event-log.ts";
import { type ConversationViews } from "./conversation-views.ts";
import { isDamagedViews } from "./view-errors.ts";
import { openSound } from "./open-views.ts";
import { HolderLock } from "./holder-lock.ts";
import { buildGeneration, chooseGeneration } from "./rebuild-build.ts";
import { type RebuildOptions, type RebuildRun, rebuildLost } from "./rebuild-run.ts";
import { rebuildSession } from "./rebuild-session.ts";
import { type Verification, verifyGeneration } from "./rebuild-verify.ts";
import type { DeadLetter } from "./folded-sessions.ts";
import { viewsPath } from "./views-path.ts";

export type { RebuildOptions, RebuildProgress } from "./rebuild-run.ts";

/** What a rebuild did. */
export interface RebuildReport {
  /** The session that was rebuilt, undefined for all. */
  session: string | undefined;
  /** Head of the log when the rebuild began. */
  ceiling: number;
  /** Of the newest event in the new views. */
  position: number;
  /** The position that an interrupted rebuild had left, undefined where this one began at the start. */
  resumedFrom: number | undefined;
  /** Why what an interrupted rebuild had left was not used. */
  startedAnew: string | undefined;
  /** Events folded. */
  events: number;
  /** Folding and writing, without verification, ms. */
  buildMs: number;
  elapsedMs: number;
  /** Sessions that cannot be folded: theirs is what comes before the event named. */
  setAside: DeadLetter[];
  /** New views against old ones; undefined where there were none, or it was not asked for. */
  verification: Verification | undefined;
  /** True where the new views are in service. */
  isInService: boolean;
}

/**
 * Makes the views of a store anew from its log: aside, while the old ones stay in service, and put in their place in
 * one transaction. Killed or aborted, the next call goes on from what was written.
 * @param urlOrPath the store
 * @throws {StateError} `rebuild-running` (another one, with its pid and start time), `rebuild-interrupted` (the signal),
 * `rebuild-lost` (somebody removed what was being built)
 * @throws {DamageError} the first event that cannot be folded, unless `skipPoison`; the old views stay in service
 * @throws {StoreError} `store-not-found`, `no-views`, `newer-views`, `not-a-views-file`, …
 */
export async function rebuildViews(urlOrPath: string, options: RebuildOptions = {}): Promise<RebuildReport> {
  const path = viewsPath(urlOrPath, options.views);
  if (path === undefined || path === ":memory:") {
    throw new StoreError(
      "no-views",
      "The views of a log in memory are made with it: there is nothing to rebuild.",
    );
  }
  const log = await openEventLog(urlOrPath, { readOnly: true });
  try {
    return await withRebuildLock(log, path, options);
  } finally {
    await log.close();
  }
}

async function withRebuildLock(log: EventLog, path: string, given: RebuildOptions): Promise<RebuildReport> {
  const onWarning = given.onWarning ?? ((message: string) => process.emitWarning(message, "TurnlogWarning"));
  const options = { ...given, onWarning };
  const lock = new HolderLock(`${path}-rebuild`);
  let views = await openSound({ path, onWarning });
  try {
    if (!lock.tryAcquire()) throw rebuildRunning(views);
    const since = Date.now();
    const begin = (): Promise<void> =>
      views.whileBusy(() => views.setHolder("rebuild", { pid: process.pid, since }));
    await begin();
    try {
      return await rebuild(log, views, options);
    } catch (error) {
      if (!isDamagedViews(error)) throw error;
      // Found on the way, in what an interrupted rebuild left or in the file itself: nothing of it is needed.
      views.close();
      views = await openSound({ path, onWarning, isThorough: true });
      await begin();
      return await rebuild(log, views, { ...options, fromScratch: true });
    } finally {
      await views.whileBusy(() => views.setHolder("rebuild", undefined)).catch(() => undefined);
    }
  } finally {
    views.close();
    lock.release();
  }
}

function rebuildRunning(views: ConversationViews): StateError {
  const holder = views.read(() => views.holder("rebuild"));
  const who =
    holder === undefined
      ? "it has just begun"
      : `process ${holder.pid}, since ${new Date(holder.since).toISOString()}`;
  return new StateError(
    "rebuild-running",
    `The views ${views.path} are being rebuilt already (${who}). Wait until that is done, or end it: the next rebuild goes on from there.`,
    { details: { path: views.path, ...holder } },
  );
}

async function rebuild(
  log: EventLog,
  views: ConversationViews,
  options: RebuildOptions,
): Promise<RebuildReport> {
  const started = performance.now();
  const run: RebuildRun = { log, views, options, ceiling: await log.head() };
  if (options.session !== undefined) return rebuildSession(run, options.session);
  const chosen = await chooseGeneration(run);
  const { generation } = chosen;
  const old = views.read(() => views.current());
  const built = await buildGeneration(run, generation, "ceiling");
  await views.whileBusy(() => views.write(() => views.createIndexes(generation)));
  let verification: Verification | undefined;
  if (old !== undefined && old.logId === log.logId && (options.verify !== false || options.dryRun === true)) {
    verification = await verifyGeneration(run, old.generation, generation);
  }
  // What came while it was compared: the fewer are left for readers, the better.
  const rest = await buildGeneration(run, generation, "head");
  const setAside = views.read(() => views.rows(generation).deadLetters()) as { deadLetter: DeadLetter }[];
  if (options.dryRun === true) await views.whileBusy(() => views.drop(generation));
  else await putInService(views, generation);
  return {
    session: undefined,
    ceiling: run.ceiling,
    position: rest.position,
    resumedFrom: chosen.resumedFrom,
    startedAnew: chosen.startedAnew,
    events: built.events + rest.events,
    buildMs: built.elapsedMs + rest.elapsedMs,
    elapsedMs: performance.now() - started,
    setAside: setAside.map(({ deadLetter }) => deadLetter),
    verification,
    isInService: options.dryRun !== true,
  };
}

async function putInService(views: ConversationViews, generation: number): Promise<void> {
  await views.whileBusy(() =>
    views.write(() => {
      const record = views.records().find((each) => each.generation === generation);
      if (record?.state !== "building") throw rebuildLost(views.path);
      views.promote(generation);
    }),
  );
  for (const record of views.read(() => views.records())) {
    if (record.state === "retired") await views.whileBusy(() => views.drop(record.generation));
  }
  await views.giveSpaceBack();
}
