/**
 * What is buffered when the process exits by itself (process.exit, an uncaught exception, an empty event loop) is
 * committed synchronously. No signal handlers: those are the application's.
 */
const flushes = new Set<() => void>();

/** Calls `flush` when the process exits; returns the way to take it back. */
export function onExit(flush: () => void): () => void {
  if (flushes.size === 0) process.on("exit", flushAll);
  flushes.add(flush);
  return () => {
    flushes.delete(flush);
    if (flushes.size === 0) process.off("exit", flushAll);
  };
}

function flushAll(): void {
  for (const flush of flushes) {
    try {
      flush();
    } catch (error) {
      // One store that cannot be written must not keep the others from being flushed.
      process.stderr.write(`turnlog: what was buffered could not be written: ${String(error)}\n`);
    }
  }
}
