import { ownProcessFacts, processStatus } from "../store/process-facts.ts";
import { type WriterStatus, type WriterVerdict, ranHere } from "../store/writer-liveness.ts";

/** Who wrote a turn, as forensics tell it; null is what the log does not say. */
export interface WriterReport {
  id: string;
  verdict: WriterVerdict;
  host: string | null;
  pid: number | null;
  label: string | null;
  library: string | null;
  /** The newest sign of life in its own stream. */
  lastSeen: Date | null;
  heartbeatMs: number | null;
  /**
   * Its process, where this machine can look for it: `running`; `stopped` by a signal or a debugger, which is not
   * dead; `gone`. null on another machine, another boot or in another container.
   */
  process: "running" | "stopped" | "gone" | null;
}

export function reportWriter({ id, verdict, description, lastSeen }: WriterStatus): WriterReport {
  return {
    id,
    verdict,
    host: description?.host ?? null,
    pid: description?.pid ?? null,
    label: description?.label ?? null,
    library: description?.library ?? null,
    lastSeen: lastSeen === undefined ? null : new Date(lastSeen),
    heartbeatMs: description?.heartbeatMs ?? null,
    process: description === undefined ? null : processOf(description),
  };
}

function processOf(description: NonNullable<WriterStatus["description"]>): WriterReport["process"] {
  if (!ranHere(description, ownProcessFacts())) return null;
  const status = processStatus(description.pid);
  if (status === undefined || status.start !== description.pidStart) return "gone";
  return status.isStopped ? "stopped" : "running";
}
