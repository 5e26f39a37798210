import { setImmediate as nextTick } from "node:timers/promises";
import { isDeepStrictEqual } from "node:util";
import type { Subscription } from "rxjs";
import { StateError, StoreError } from "../errors.ts";
import type { EventLog } from "../log/event-log.ts";
import { openEventLog } from "../log/open-event-log.ts";
import { type ConversationViews } from "./conversation-views.ts";
import { openViews } from "./open-views.ts";
import {
  type ProjectionDefinition,
  ProjectionState,
  defineProjection,
  projectedStreams,
} from "./own-projection.ts";
import { loadProjection, saveProjection } from "./projection-storage.ts";
import { viewsPath } from "./views-path.ts";

/** How to open a read model of one's own. */
export interface OpenProjectionOptions {
  /** Path of the views file that keeps the state. Default: where the store keeps its views. */
  views?: string | undefined;
  /** Follow the log, so that a read has little left to fold. Default false: fold when it is read. */
  live?: boolean | undefined;
  /** How often a live projection keeps its state, ms. Default 1,000. */
  intervalMs?: number | undefined;
}

const INTERVAL_MS = 1000;
/** Events that a crash may cost to fold again. */
const KEPT_EVERY = 10_000;

/** A projection of one's own, opened. */
export interface OwnProjection<State> {
  /** The state as of every append that was acknowledged before the call; a copy. */
  read(): Promise<State>;
  /** Position of the newest event in the state. */
  readonly position: number;
  /** Keeps the state and releases everything. */
  close(): Promise<void>;
}

/**
 * Opens a projection over a store's log. It begins where it was kept, at the log's start where it was not, or where
 * its version has changed.
 * @throws {StoreError} `store-not-found`, `no-views` (a log in memory needs a path in `views`; ":memory:" will do)
 */
export async function openProjection<State>(
  urlOrPath: string,
  definition: ProjectionDefinition<State>,
  options: OpenProjectionOptions = {},
): Promise<OwnProjection<State>> {
  defineProjection(definition);
  const { log, views } = await openLogAndViews(urlOrPath, options.views);
  try {
    const kept = await loadProjection(log, views, definition);
    const opened = new OpenedProjection(log, views, kept ?? new ProjectionState(definition));
    if (options.live === true) opened.follow(options.intervalMs ?? INTERVAL_MS);
    return opened;
  } catch (error) {
    views.close();
    await log.close();
    throw error;
  }
}

async function openLogAndViews(
  urlOrPath: string,
  given: string | undefined,
): Promise<{ log: EventLog; views: ConversationViews }> {
  const path = viewsPath(urlOrPath, given);
  if (path === undefined)
    throw new StoreError("no-views", 'A projection of a log in memory needs a path in views, or ":memory:".');
  const log = await openEventLog(urlOrPath, { readOnly: true });
  try {
    return { log, views: await openViews(log, { path }) };
  } catch (error) {
    await log.close();
    throw error;
  }
}

class OpenedProjection<State> implements OwnProjection<State> {
  readonly #log: EventLog;
  readonly #views: ConversationViews;
  readonly #folded: ProjectionState<State>;
  #keptAt: number;
  #failure: unknown;
  #isClosed = false;
  #subscription: Subscription | undefined;
  #interval: NodeJS.Timeout | undefined;
  #keeping: Promise<void> = Promise.resolve();

  constructor(log: EventLog, views: ConversationViews, folded: ProjectionState<State>) {
    this.#log = log;
    this.#views = views;
    this.#folded = folded;
    this.#keptAt = folded.position;
  }

  get position(): number {
    return this.#folded.position;
  }

  /**
   * Several readers and the subscription may hand over the same events: each of them gapless and in order, so that
   * whatever comes is either taken already or the next.
   */
  #take(event: Parameters<ProjectionState<State>["take"]>[0]): void {
    if (this.#failure !== undefined) return;
    try {
      this.#folded.take(event);
    } catch (error) {
      this.#failure = error;
    }
  }

  follow(intervalMs: number): void {
    this.#subscription = this.#log
      .subscribe({ after: this.#folded.position, streamPrefix: projectedStreams })
      .subscribe({
        next: (signal) => {
          if (signal.kind === "event") this.#take(signal.event);
        },
        error: (error: unknown) => (this.#failure ??= error),
      });
    this.#interval = setInterval(() => void this.#keep().catch(() => undefined), intervalMs);
    this.#interval.unref();
  }

  async read(): Promise<State> {
    if (this.#isClosed)
      throw new StateError("projection-closed", "The projection has been closed: open it again.");
    const from = { after: this.#folded.position, streamPrefix: projectedStreams };
    for await (const event of this.#log.readAll(from)) {
      this.#take(event);
      if (this.#failure !== undefined) break;
    }
    if (this.#failure !== undefined) throw this.#failure;
    if (this.#folded.position - this.#keptAt >= KEPT_EVERY) await this.#keep();
    return structuredClone(this.#folded.state);
  }

  /** One after the other; what fails half folded is never kept. */
  #keep(): Promise<void> {
    const kept = this.#keeping.then(async () => {
      if (this.#failure !== undefined || this.#folded.position === this.#keptAt) return;
      const { position } = this.#folded;
      await saveProjection(this.#log, this.#views, this.#folded);
      this.#keptAt = position;
    });
    this.#keeping = kept.catch(() => undefined);
    return kept;
  }

  async close(): Promise<void> {
    if (this.#isClosed) return;
    this.#isClosed = true;
    clearInterval(this.#interval);
    this.#subscription?.unsubscribe();
    try {
      await this.#keep();
    } finally {
      this.#views.close();
      await this.#log.close();
    }
  }
}

/** How to rebuild a read model of one's own. */
export interface RebuildProjectionOptions {
  views?: string | undefined;
  /** Compare, and keep the old state. */
  dryRun?: boolean | undefined;
  signal?: AbortSignal | undefined;
  onProgress?: ((progress: { position: number; ceiling: number; events: number }) => void) | undefined;
}

/** What a rebuild of a read model did. */
export interface ProjectionReport {
  name: string;
  position: number;
  events: number;
  elapsedMs: number;
  /** Against the state that was kept, at its position; undefined where there was none of this version. */
  comparison: "same" | "different" | undefined;
  isInService: boolean;
}

const EVENTS_A_TICK = 5000;

/**
 * Folds a projection anew from the log's start and keeps the result in the place of the old one.
 * @throws {StateError} `rebuild-interrupted`
 * @throws {DamageError} `projection-failed`, or an event that cannot be decoded; the old state is kept
 */
export async function rebuildProjection<State>(
  urlOrPath: string,
  definition: ProjectionDefinition<State>,
  options: RebuildProjectionOptions = {},
): Promise<ProjectionReport> {
  defineProjection(definition);
  const started = performance.now();
  const { log, views } = await openLogAndViews(urlOrPath, options.views);
  try {
    const kept = await loadProjection(log, views, definition);
    const ceiling = await log.head();
    const folded = new ProjectionState(definition);
    let comparison: ProjectionReport["comparison"];
    let events = 0;
    const compareAt = kept?.position;
    const compare = (): void => {
      comparison ??= isDeepStrictEqual(JSON.parse(folded.toJson()), kept?.state) ? "same" : "different";
    };
    for await (const event of log.readAll({ streamPrefix: projectedStreams })) {
      if (compareAt !== undefined && event.position > compareAt) compare();
      folded.take(event);
      if (++events % EVENTS_A_TICK !== 0) continue;
      options.onProgress?.({ position: folded.position, ceiling, events });
      await nextTick();
      if (options.signal?.aborted === true)
        throw new StateError(
          "rebuild-interrupted",
          `The rebuild of ${definition.name} was interrupted; the old state is kept.`,
        );
    }
    if (compareAt !== undefined) compare();
    if (options.dryRun !== true) await saveProjection(log, views, folded, true);
    return {
      name: definition.name,
      position: folded.position,
      events,
      elapsedMs: performance.now() - started,
      comparison,
      isInService: options.dryRun !== true,
    };
  } finally {
    views.close();
    await log.close();
  }
}
