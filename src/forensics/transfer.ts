import type { EventLog } from "../log/event-log.ts";
import { TransferPace, type TransferPaceOptions } from "./transfer-pace.ts";
import type { TransferSource } from "./transfer-source.ts";
import { TransferTarget } from "./transfer-target.ts";

export { exportLines, readExportedSoFar, type ExportedSoFar } from "./export-log.ts";
export { exportSource } from "./export-source.ts";
export type { TransferProgress } from "./transfer-pace.ts";
export { logSource, type TransferSelection, type TransferSource } from "./transfer-source.ts";

export interface TransferOptions extends TransferPaceOptions {
  /** Another name for the session that comes; only one may. */
  as?: string | undefined;
}

export interface TransferReport {
  sourceLogId: string;
  targetLogId: string;
  sessions: number;
  /** Events that were appended now. */
  appended: number;
  /** Events that the target had already. */
  alreadyThere: number;
  /** Sessions whose messages have new ids, by their names in the target. */
  renewedSessions: string[];
}

/**
 * Copies a source's events into a log. May be called again: it goes on where it was stopped, and takes what has come
 * since. Where a session cannot be taken, the others are, before it says so. Where the source turns out to be damaged,
 * what came before is complete.
 *
 * @throws {StateError} `session-differs`, `stream-differs`, `target-changed`, `event-too-large`, `transfer-interrupted`
 * @throws {DamageError} `damaged-export` naming the line
 */
export async function transfer(
  source: TransferSource,
  log: EventLog,
  options: TransferOptions = {},
): Promise<TransferReport> {
  const target = new TransferTarget(log, { sourceLogId: source.logId, as: options.as });
  try {
    await takeAll(source, target, new TransferPace(source.head, options));
  } catch (error) {
    await target.close().catch(() => undefined); // What went wrong first is what to tell.
    throw error;
  }
  await target.close();
  return {
    sourceLogId: source.logId,
    targetLogId: log.logId,
    sessions: target.sessions,
    appended: target.counts.appended,
    alreadyThere: target.counts.alreadyThere,
    renewedSessions: [...target.renewedSessions],
  };
}

async function takeAll(source: TransferSource, target: TransferTarget, pace: TransferPace): Promise<void> {
  try {
    for await (const event of source.events()) {
      await pace.pass(event);
      await target.take(event);
    }
  } catch (error) {
    await target.flush();
    throw error;
  }
  await target.finish();
}
