import { readFileSync, readlinkSync } from "node:fs";
import { hostname } from "node:os";
import type { WriterDescription } from "../events/conversation-event.ts";

/** What tells a process from another that gets the same pid. Linux tells all of it; elsewhere fields are absent. */
export type ProcessFacts = Pick<WriterDescription, "host" | "bootId" | "pid" | "pidStart" | "pidNamespace">;

export function ownProcessFacts(): ProcessFacts {
  const facts: ProcessFacts = { host: hostname(), pid: process.pid };
  const bootId = readFact(() => readFileSync("/proc/sys/kernel/random/boot_id", "utf8").trim());
  const pidStart = processStart(process.pid);
  const pidNamespace = readFact(() => readlinkSync("/proc/self/ns/pid"));
  if (bootId !== undefined) facts.bootId = bootId;
  if (pidStart !== undefined) facts.pidStart = pidStart;
  if (pidNamespace !== undefined) facts.pidNamespace = pidNamespace;
  return facts;
}

/**
 * Start time of a process in clock ticks since boot, undefined where there is no such process: field 22 of
 * /proc/PID/stat, see proc(5). A zombie counts as gone: it runs nothing any more.
 */
export function processStart(pid: number): string | undefined {
  return processStatus(pid)?.start;
}

/** Whether a process of this pid runs, when it started, and whether it has been stopped (SIGSTOP, a debugger). */
export function processStatus(pid: number): { start: string; isStopped: boolean } | undefined {
  const stat = readFact(() => readFileSync(`/proc/${pid}/stat`, "utf8"));
  // The second field, the command in parentheses, may itself hold spaces and parentheses.
  const fields = stat?.slice(stat.lastIndexOf(")") + 2).split(" ") ?? [];
  const [state = "X"] = fields;
  const start = fields[19];
  if (state === "Z" || state === "X" || start === undefined) return undefined;
  return { start, isStopped: state === "T" || state === "t" };
}

/** A fact that this system does not tell (no /proc, or a hardened one) is left out. */
function readFact(read: () => string): string | undefined {
  if (process.platform !== "linux") return undefined;
  try {
    return read();
  } catch {
    return undefined;
  }
}
