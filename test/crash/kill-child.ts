import { spawn } from "node:child_process";
import { mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { text } from "node:stream/consumers";
import { fileURLToPath } from "node:url";
import { expect } from "@jest/globals";
import type { StoredMessage } from "../../src/projections/stored-message.ts";
import type { ConversationStore } from "../../src/store/conversation-store.ts";
import { openConversationStore } from "../../src/store/open-conversation-store.ts";

const CHILD = fileURLToPath(new URL("kill-child.js", import.meta.url));

/** How often a crash test kills, in the suite and in the long run. */
export const KILLS = process.env["TURNLOG_TEST_LONG"] === undefined ? 6 : 300;

/** A seed that a failure names and TURNLOG_TEST_SEED repeats. */
export const firstSeed = Number(process.env["TURNLOG_TEST_SEED"] ?? Math.floor(Math.random() * 1_000_000));

/** Turns of the event loop until the kill: as often a few as thousands, by the seed. */
export function turnsOf(seed: number): number {
  const fraction = ((seed * 2_654_435_761) % 4_294_967_296) / 4_294_967_296;
  return Math.floor(Math.exp(fraction * Math.log(20_000))) - 1;
}

/** Runs the child until it kills itself. True where it had done what it was to do. */
export async function runUntilKilled(
  what: "begin" | "regenerate" | "compact" | "recover",
  path: string,
  turns: number,
  argument = "",
): Promise<boolean> {
  const child = spawn(process.execPath, [CHILD, what, path, String(turns), argument]);
  const signal = new Promise((resolve) => child.once("exit", (_code, signal) => resolve(signal)));
  const [stdout, stderr] = await Promise.all([text(child.stdout), text(child.stderr)]);
  expect({ stderr, signal: await signal }).toEqual({ stderr: "", signal: "SIGKILL" });
  return stdout === "done";
}

/** A store's path in a folder of its own, removed after use. */
export async function withStorePath(use: (path: string) => Promise<void>): Promise<void> {
  const folder = mkdtempSync(join(tmpdir(), "turnlog-kill-"));
  try {
    await use(join(folder, "conversations.db"));
  } finally {
    rmSync(folder, { recursive: true, force: true });
  }
}

/** Opens the file as another process finds it. */
export async function look<T>(path: string, use: (store: ConversationStore) => Promise<T>): Promise<T> {
  const store = await openConversationStore(path);
  try {
    return await use(store);
  } finally {
    await store.close();
  }
}

/** The text of each variant: the branches and, behind them, the content. */
export function variantTexts({ branchesJson, parts }: StoredMessage): string[] {
  const branches = branchesJson === "" ? [] : (JSON.parse(branchesJson) as { text: string }[][]);
  const texts = branches.map((branch) => branch.map((part) => part.text).join(""));
  return parts.length === 0
    ? texts
    : [...texts, parts.map((part) => (part as { text: string }).text).join("")];
}
