import { DamageError, StateError } from "../errors.ts";
import type { EventLog } from "../log/event-log.ts";
import type { ConversationViews } from "./conversation-views.ts";
import type { DeadLetter } from "./folded-sessions.ts";

/** How far a rebuild has come. */
export interface RebuildProgress {
  phase: "building" | "indexing" | "verifying";
  /** Of the newest event in the new views. */
  position: number;
  /** Head of the log when the rebuild began. */
  ceiling: number;
  /** Events folded by this run. */
  events: number;
  /** Since this run began to fold. */
  eventsPerSecond: number;
  /** The session that is being worked on. */
  session: string | undefined;
}

/** How to rebuild the views. */
export interface RebuildOptions {
  /** Path of the views file. Default: where the store keeps them. */
  views?: string | undefined;
  /** Rebuild this session only, in place. */
  session?: string | undefined;
  /** Do not go on with what an interrupted rebuild has left. */
  fromScratch?: boolean | undefined;
  /** Compare the new views with the old ones. Default true. */
  verify?: boolean | undefined;
  /** Compare, and leave the old views in service. */
  dryRun?: boolean | undefined;
  /** Set sessions aside that cannot be folded, instead of failing. */
  skipPoison?: boolean | undefined;
  /** Events that are folded between two writes, at most. Default 60,000: fewer hold the lock for less long. */
  batchEvents?: number | undefined;
  onProgress?: ((progress: RebuildProgress) => void) | undefined;
  /** Told of views that are damaged, and of why a rebuild starts anew. Default: `process.emitWarning`. */
  onWarning?: ((message: string) => void) | undefined;
  /** Stops in an orderly way: the next rebuild goes on from there. */
  signal?: AbortSignal | undefined;
}

/** What the phases of a rebuild share. */
export interface RebuildRun {
  readonly log: EventLog;
  readonly views: ConversationViews;
  readonly options: RebuildOptions;
  readonly ceiling: number;
}

export function rebuildLost(path: string): StateError {
  return new StateError(
    "rebuild-lost",
    `The views that were being built in ${path} were removed meanwhile. Rebuild again.`,
  );
}

/** @throws {StateError} `rebuild-interrupted` */
export function checkNotAborted({ views, options }: RebuildRun): void {
  if (options.signal?.aborted !== true) return;
  throw new StateError(
    "rebuild-interrupted",
    `The rebuild of ${views.path} was interrupted; the old views stay in service. Rebuild again to go on from there.`,
    { cause: options.signal.reason },
  );
}

/** The event that a session cannot be folded past, as an error. */
export function unfoldable({ sessionId, message, code, ...details }: DeadLetter): DamageError {
  return new DamageError(
    code,
    `${message} The old views stay in service. Rebuild with skipPoison (--skip-poison) to set session ${JSON.stringify(sessionId)} aside and go on.`,
    { details: { sessionId, ...details } },
  );
}
