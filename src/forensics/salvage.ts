import { rename, rm, stat } from "node:fs/promises";
import { DamageError, InvalidInputError } from "../errors.ts";
import { openEventLog, parseStoreUrl } from "../log/open-event-log.ts";
import { type Xray, type XrayDamage, openXray } from "../log/sqlite/xray.ts";
import { PAGE_BYTES } from "../log/sqlite/xray-pages.ts";
import { type SalvagedEvents, SalvagedLog } from "./salvage-log.ts";
import type { TransferPaceOptions } from "./transfer-pace.ts";
import { type VerifyReport, verifyStore } from "./verify.ts";
import { streamsNamedIn } from "./verify-source.ts";

export type { StreamLoss } from "./salvage-stream.ts";

export interface SalvageProgress {
  readonly phase: "pages" | "writing" | "verifying";
  readonly done: number;
  readonly total: number;
}

export interface SalvageOptions extends Pick<TransferPaceOptions, "signal"> {
  onProgress?: ((progress: SalvageProgress) => void) | undefined;
}

export interface SalvageReport extends SalvagedEvents {
  file: string;
  to: string;
  /** null where the file has lost it. */
  logId: string | null;
  /** Anything is lost, set aside, or missed by verify in the new log. */
  isLossy: boolean;
  /** What cannot be read in the file; its events may be there all the same, in another place of it. */
  damages: XrayDamage[];
  /** Bytes of the pages that hold damage. */
  damagedBytes: number;
  /** What verify says of the new log. */
  verified: Pick<VerifyReport, "findings" | "notes">;
}

/**
 * Copies all that can be read in a damaged log's file into a new log. The file is not changed, and need not be one
 * that SQLite can open. The new log has its name only once it is complete.
 *
 * @throws {StoreError} `store-not-found`
 * @throws {InvalidInputError} `store-exists`, `not-a-file`
 * @throws {DamageError} `nothing-to-salvage`
 * @throws {StateError} `log-open`, `transfer-interrupted`
 */
export async function salvage(
  file: string,
  to: string,
  options: SalvageOptions = {},
): Promise<SalvageReport> {
  const [path, target] = [pathOf(file), pathOf(to)];
  await refuseExisting(target);
  const xray = await openXray(path, {
    namesIn: streamsNamedIn,
    onProgress: ({ pages, totalPages }) =>
      options.onProgress?.({ phase: "pages", done: pages, total: totalPages }),
  });
  const partial = `${target}.partial`;
  try {
    if (xray.highestPosition < 0 && xray.logId === undefined) throw nothingToSalvage(path);
    await removeStore(partial); // Of a run that was killed.
    const report = await writeNewLog(xray, partial, { file, to }, options);
    await refuseExisting(target);
    await rename(partial, target);
    await removeStore(partial); // What its last reader has left beside it, empty.
    return report;
  } catch (error) {
    await removeStore(partial);
    throw error;
  } finally {
    xray.close();
  }
}

function pathOf(urlOrPath: string): string {
  const location = parseStoreUrl(urlOrPath);
  if (location.engine === "sqlite") return location.path;
  throw new InvalidInputError(
    "not-a-file",
    `Salvage reads and writes files, not ${JSON.stringify(location.engine)} stores; from a new file "turnlog copy" goes on to any.`,
  );
}

async function refuseExisting(path: string): Promise<void> {
  for (const each of [path, `${path}-wal`]) {
    if ((await stat(each).catch(() => undefined)) === undefined) continue;
    throw new InvalidInputError(
      "store-exists",
      `${each} is there already; it was not touched. Name another.`,
    );
  }
}

async function removeStore(path: string): Promise<void> {
  for (const suffix of ["", "-wal", "-shm"]) await rm(path + suffix, { force: true });
}

function nothingToSalvage(path: string): DamageError {
  return new DamageError("nothing-to-salvage", `Nothing in ${path} can be told to be a log's.`);
}

async function writeNewLog(
  xray: Xray,
  partial: string,
  names: Pick<SalvageReport, "file" | "to">,
  options: SalvageOptions,
): Promise<SalvageReport> {
  const log = await openEventLog(partial);
  let written: SalvagedEvents;
  try {
    written = await new SalvagedLog(xray, log).write({
      signal: options.signal,
      onProgress: ({ position, head }) =>
        options.onProgress?.({ phase: "writing", done: position, total: head }),
    });
  } finally {
    await log.close();
  }
  const { findings, notes } = await verifyStore(partial, {
    views: false,
    signal: options.signal,
    onProgress: ({ done, total }) => options.onProgress?.({ phase: "verifying", done, total }),
  });
  const damages = [...xray.damages];
  const { setAside, lostEvents, lostPositions } = written;
  return {
    ...names,
    logId: xray.logId ?? null,
    isLossy: setAside + lostEvents + findings.length > 0 || lostPositions !== null,
    ...written,
    damages,
    damagedBytes: new Set(damages.map(({ page }) => page)).size * PAGE_BYTES,
    verified: { findings, notes },
  };
}
