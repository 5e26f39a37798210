import { DamageError, StateError, TurnlogError, errorCode } from "../errors.ts";
import type { EventLog } from "../log/event-log.ts";
import { openEventLog, parseStoreUrl } from "../log/open-event-log.ts";
import { structureProblems } from "../log/sqlite/xray-structure.ts";
import { viewsPath } from "../projections/views-path.ts";
import { checkSource } from "./verify-check.ts";
import { Findings, type VerifyReport } from "./verify-report.ts";
import { FileSource, LogSource, type OnVerifyProgress } from "./verify-source.ts";

export type { Finding, FindingCode, Note, VerifiedViews, VerifyReport } from "./verify-report.ts";
export type { VerifyProgress } from "./verify-source.ts";

export interface VerifyOptions {
  /** Path of the views file, `false` for not comparing them. Default: where the store keeps them. */
  views?: string | false | undefined;
  onProgress?: OnVerifyProgress | undefined;
  signal?: AbortSignal | undefined;
}

/** What keeps us from looking, and is no damage. */
const NOT_DAMAGE: ReadonlySet<string | undefined> = new Set([
  "store-not-found",
  "newer-format",
  "log-busy",
  "read-only",
  "verify-interrupted",
  "unknown-store-url",
  "invalid-store-path",
  "adapter-not-available",
]);

/**
 * Checks a whole store: the file's structure, every row's checksum, every event, what events say of each other, and
 * the views. Reads on past damage, and changes nothing; a store that is being written is checked up to where it had
 * come when this began.
 *
 * @throws {StateError} `verify-interrupted`
 * @throws {StoreError} where it could not look: `store-not-found`, `not-a-turnlog-file`, `newer-format`, …
 */
export async function verifyStore(urlOrPath: string, options: VerifyOptions = {}): Promise<VerifyReport> {
  const location = parseStoreUrl(urlOrPath);
  const views = viewsPath(urlOrPath, options.views);
  const path = location.engine === "sqlite" ? location.path : undefined;
  if (path === undefined) return withLog(urlOrPath, (log) => verifyLog(log, views, false, options));
  const problems: string[] = [];
  try {
    options.onProgress?.({ phase: "structure", done: 0, total: 1 });
    problems.push(...(await structureProblems(path)));
    // What a reader meets in a damaged file need not be what is in it.
    if (problems.length === 0) return await withLog(path, (log) => verifyLog(log, views, true, options));
  } catch (error) {
    if (!mayBeDamage(error)) throw error;
    return verifyFile(path, views, problems, error, options);
  }
  return verifyFile(path, views, problems, undefined, options);
}

function mayBeDamage(error: unknown): boolean {
  return TurnlogError.isInstance(error) && !NOT_DAMAGE.has(error.code);
}

async function withLog<Result>(urlOrPath: string, use: (log: EventLog) => Promise<Result>): Promise<Result> {
  const log = await openEventLog(urlOrPath, { readOnly: true });
  try {
    return await use(log);
  } finally {
    await log.close();
  }
}

async function verifyLog(
  log: EventLog,
  views: string | undefined,
  isFile: boolean,
  options: VerifyOptions,
): Promise<VerifyReport> {
  const source = await LogSource.of(log);
  return checkSource(source, { ...options, views, findings: new Findings(), canSearchFile: isFile });
}

/** @param error what kept us from reading it as a log, where anything did */
async function verifyFile(
  path: string,
  views: string | undefined,
  problems: readonly string[],
  error: unknown,
  options: VerifyOptions,
): Promise<VerifyReport> {
  const findings = new Findings();
  for (const problem of problems) findings.add("damaged-file", problem);
  const source = await openFile(path, error, options.onProgress);
  try {
    if (!source.hasEvents && error !== undefined) throw error;
    // Of a damaged row the search tells more than the first reader that met it.
    if (error !== undefined && errorCode(error) !== "damaged-row" && errorCode(error) !== "missing-events")
      findings.add("damaged-file", error instanceof Error ? error.message : String(error));
    const report = await checkSource(source, { ...options, views, findings, canSearchFile: false });
    if (report.findings.length > 0 || error === undefined) return report;
    // Whatever it is that readers stumble over.
    findings.add("damaged-file", error instanceof Error ? error.message : String(error));
    return { ...report, counts: findings.counts() };
  } finally {
    source.close();
  }
}

async function openFile(
  path: string,
  error: unknown,
  onProgress: OnVerifyProgress | undefined,
): Promise<FileSource> {
  try {
    return await FileSource.open(path, onProgress);
  } catch (cause) {
    if (!(cause instanceof StateError)) throw cause;
    const what = error instanceof Error ? error.message : "SQLite finds the file damaged.";
    throw new DamageError("damaged-file", `${what} What is left cannot be searched for: ${cause.message}`, {
      cause,
    });
  }
}
