/** What a stretch of work cost this process: the case runs alone in it, so the process's own counters are the case's. */
import { readFileSync } from "node:fs";
import { monitorEventLoopDelay } from "node:perf_hooks";
import { setTimeout as sleep } from "node:timers/promises";

/** Coarse on purpose: the probe wakes the process this often and must not become what is measured. */
const PROBE_MS = 10;

/** Linux only; undefined elsewhere, and the columns stay empty. */
function ioCounters() {
  if (process.platform !== "linux") return undefined;
  const text = readFileSync("/proc/self/io", "utf8");
  const counter = (name) => Number(new RegExp(`^${name}: (\\d+)$`, "m").exec(text)?.[1]);
  return { wchar: counter("wchar"), write_bytes: counter("write_bytes") };
}

/**
 * Runs `work(lap)`; it calls `lap` when what its caller waits for is done. CPU and bytes count to the end.
 *
 * @returns `wallMs` to the lap; `cpuMs` user and system, all threads; `handedBytes` what was given to write(2)
 * (`wchar`); `dirtiedBytes` pages that went from clean to dirty (`write_bytes`); `loopDelayMs` the longest time
 * that a timer was late; `peakRssBytes`.
 */
export async function measure(work) {
  globalThis.gc?.();
  const delay = monitorEventLoopDelay({ resolution: PROBE_MS });
  delay.enable();
  await sleep(2 * PROBE_MS);
  delay.reset();
  const io = ioCounters();
  const cpu = process.cpuUsage();
  const start = performance.now();
  let wallMs;
  await work(() => (wallMs = performance.now() - start));
  const used = process.cpuUsage(cpu);
  const after = ioCounters();
  await sleep(2 * PROBE_MS); // A stop at the very end is seen by the probe that comes after it.
  delay.disable();
  return {
    wallMs,
    cpuMs: (used.user + used.system) / 1000,
    handedBytes: io && after.wchar - io.wchar,
    dirtiedBytes: io && after.write_bytes - io.write_bytes,
    loopDelayMs: Math.max(0, delay.max / 1e6 - PROBE_MS),
    peakRssBytes: process.resourceUsage().maxRSS * 1024,
  };
}
