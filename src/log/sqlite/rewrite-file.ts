import { once } from "node:events";
import { Worker } from "node:worker_threads";
import { StoreError } from "../../errors.ts";
import { enginePath, toStoreError } from "./engine.ts";
import { DURABLE_SETTINGS } from "./schema.ts";

/**
 * CommonJS, as text: it must run beside compiled code, in tests and in bundles alike. VACUUM copies what is live into
 * fresh pages; the old ones are gone from the file and the WAL once a TRUNCATE checkpoint was not blocked.
 */
const WORKER_SOURCE = `
const { parentPort, workerData } = require("node:worker_threads");
const { DatabaseSync } = require(workerData.engine);
const { path, timeoutMs } = workerData;
const never = new Int32Array(new SharedArrayBuffer(4));
const deadline = Date.now() + timeoutMs;
const isBusy = (error) => [5, 6, 15].includes((error.errcode ?? 0) & 0xff);
function retry(step, attempt = 0) {
  for (;; attempt++) {
    let failure;
    try {
      if (step()) return;
    } catch (error) {
      if (!isBusy(error)) throw error;
      failure = error;
    }
    if (Date.now() >= deadline) throw failure ?? Object.assign(new Error("checkpoint blocked"), { errcode: 5 });
    Atomics.wait(never, 0, 0, Math.min(2 ** attempt, 50));
  }
}
let phase = "rewrite";
let database;
try {
  database = new DatabaseSync(path, { timeout: 0 });
  database.exec(workerData.settings);
  retry(() => (database.exec("VACUUM"), true));
  phase = "checkpoint";
  const checkpoint = database.prepare("PRAGMA wal_checkpoint(TRUNCATE)");
  retry(() => Number(checkpoint.get().busy) === 0);
  parentPort.postMessage({});
} catch (error) {
  parentPort.postMessage({ phase, isBusy: isBusy(error), errcode: error.errcode, systemErrno: error.systemErrno, message: error.message });
} finally {
  database?.close();
}
`;

interface Failure {
  readonly phase?: "rewrite" | "checkpoint";
  readonly isBusy?: boolean;
  readonly errcode?: number;
  readonly systemErrno?: number;
  readonly message?: string;
}

/**
 * Writes a database file anew, so that nothing that was deleted is left in it or in its WAL. In a thread of its own:
 * it takes as long as copying the file, for which other writers wait. Needs as much room on the disk again, twice.
 * @throws {StoreError} `still-readable` where other processes kept it from finishing for `timeoutMs`; the engine's failures
 */
export async function rewriteFile(path: string, timeoutMs: number): Promise<void> {
  const worker = new Worker(WORKER_SOURCE, {
    eval: true,
    execArgv: [],
    workerData: { engine: enginePath(), settings: DURABLE_SETTINGS, path, timeoutMs },
  });
  const exited = new Promise((resolve) => void worker.once("exit", resolve));
  const [failure] = (await once(worker, "message")) as [Failure];
  await exited;
  if (failure.phase === undefined) return;
  if (failure.isBusy === true) throw stillReadable(path, failure.phase);
  const { message = "unknown", errcode, systemErrno } = failure;
  throw toStoreError(Object.assign(new Error(message), { errcode, systemErrno }), path);
}

function stillReadable(path: string, phase: "rewrite" | "checkpoint"): StoreError {
  const who = phase === "rewrite" ? "writes to" : "reads an old state of";
  return new StoreError(
    "still-readable",
    `What was removed can no longer be queried, but its text may still be in the file ${path}: another process ${who} it all the time. Do the same again when that is done.`,
    { details: { path, phase } },
  );
}
