import { type ChildProcess, spawn } from "node:child_process";
import { once } from "node:events";
import { createInterface } from "node:readline";
import { fileURLToPath } from "node:url";

const CHILD = fileURLToPath(new URL("children/zoo-child.js", import.meta.url));

export interface ZooFacts {
  session: string;
  turnId: string;
  messageId: number;
  turns: { turnId: string; messageId: number }[];
  saved: number;
}

export interface ZooChild {
  child: ChildProcess;
  /** What it said before it died, or before it began to wait. */
  facts: ZooFacts;
}

/** Starts one way to die, and returns when it has come as far as it wants to. */
export async function startScenario(
  path: string,
  scenario: string,
  nodeOptions: readonly string[] = [],
): Promise<ZooChild> {
  const child = spawn(process.execPath, [...nodeOptions, CHILD, path, scenario], {
    // What a dying V8 prints is not this test's business.
    stdio: ["ignore", "pipe", "ignore"],
  });
  const exited = once(child, "exit");
  const lines = createInterface({ input: child.stdout });
  const said = await Promise.race([once(lines, "line"), exited]);
  if (typeof said[0] !== "string")
    throw new Error(`${scenario} ended before it said anything: ${String(said)}`);
  return { child, facts: JSON.parse(said[0]) as ZooFacts };
}

/** Kills it, or waits until it has died by itself. */
export async function untilDead({ child }: ZooChild, signal?: NodeJS.Signals): Promise<void> {
  if (child.exitCode !== null || child.signalCode !== null) return;
  const exited = once(child, "exit");
  if (signal !== undefined) child.kill(signal);
  await exited;
}
