import { setTimeout as pause } from "node:timers/promises";

/** Resolves once the condition holds; the test's own time limit ends it otherwise. */
export async function until(condition: () => boolean): Promise<void> {
  while (!condition()) await pause(2);
}
