import type { SharedLog } from "./shared-log.ts";

interface Entry {
  readonly opening: Promise<SharedLog>;
  /** Set when it is open. */
  log: SharedLog | undefined;
  handles: number;
}

interface Registry {
  readonly entries: Map<string, Entry>;
  readonly closing: Map<string, Promise<void>>;
  exitHook: (() => void) | undefined;
}

/**
 * Where all open logs of the process are found, also by a second copy of this package: two connections of separate
 * SQLite libraries to one file would drop each other's locks. The version changes with the shape of SharedLog.
 */
const REGISTRY = Symbol.for("turnlog.sqlite.shared-logs.1");

/** A process that is exiting waits no longer for another's lock. */
const EXIT_TIMEOUT_MS = 2_000;

function registry(): Registry {
  const home = globalThis as { [REGISTRY]?: Registry };
  home[REGISTRY] ??= { entries: new Map(), closing: new Map(), exitHook: undefined };
  return home[REGISTRY];
}

/** The log under this key, opened by the first who asks. Each call is to be matched by one of `releaseLog`. */
export async function acquireLog(key: string, open: () => Promise<SharedLog>): Promise<SharedLog> {
  const { entries, closing } = registry();
  // No pause where nothing is being closed: what the caller has seen in the registry must still be so.
  for (let ending = closing.get(key); ending !== undefined; ending = closing.get(key)) await ending;
  const known = entries.get(key);
  if (known !== undefined) {
    known.handles += 1;
    return known.opening;
  }
  const entry: Entry = { opening: open(), log: undefined, handles: 1 };
  entries.set(key, entry);
  try {
    entry.log = await entry.opening;
  } catch (error) {
    entries.delete(key);
    throw error;
  }
  installExitHook();
  return entry.log;
}

/** True when a log is open, or being opened, under this key. */
export function isLogOpen(key: string): boolean {
  return registry().entries.has(key);
}

/** Gives one handle back; the last one closes the log. */
export async function releaseLog(key: string): Promise<void> {
  const { entries, closing } = registry();
  const entry = entries.get(key);
  if (entry?.log === undefined) return;
  entry.handles -= 1;
  if (entry.handles > 0) return;
  entries.delete(key);
  const closed = entry.log.close().finally(() => {
    closing.delete(key);
    removeExitHook();
  });
  // Whoever opens it again waits for it, whether it succeeded or not; the failure goes to the caller.
  closing.set(
    key,
    closed.catch(() => undefined),
  );
  await closed;
}

/** What was handed to append and is still queued is committed when the process exits by itself. */
function installExitHook(): void {
  const shared = registry();
  if (shared.exitHook !== undefined) return;
  shared.exitHook = () => {
    for (const { log } of shared.entries.values()) log?.queue.drainSync(EXIT_TIMEOUT_MS);
  };
  process.on("exit", shared.exitHook);
}

function removeExitHook(): void {
  const shared = registry();
  if (shared.entries.size > 0 || shared.exitHook === undefined) return;
  process.off("exit", shared.exitHook);
  shared.exitHook = undefined;
}
