import { spawn } from "node:child_process";
import { mkdtemp, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { PassThrough, Readable } from "node:stream";
import { text } from "node:stream/consumers";
import { fileURLToPath } from "node:url";
import { runCli } from "../../src/cli/program.ts";
import type { ConversationStore } from "../../src/store/conversation-store.ts";
import { openConversationStore } from "../../src/store/open-conversation-store.ts";

export interface CliResult {
  code: number | null;
  stdout: string;
  stderr: string;
}

export interface RunOptions {
  input?: string | undefined;
  /** What stdin says of itself. */
  isTerminal?: boolean | undefined;
  env?: NodeJS.ProcessEnv | undefined;
}

/** Runs a command in this process. */
export async function run(
  args: readonly string[],
  { input = "", isTerminal = false, env = {} }: RunOptions = {},
): Promise<CliResult> {
  const stdout = new PassThrough();
  const stderr = new PassThrough();
  const printed = [text(stdout), text(stderr)] as const;
  const code = await runCli(args, {
    stdin: Object.assign(Readable.from([input]), { isTTY: isTerminal }),
    stdout,
    stderr,
    env,
  });
  stdout.end();
  stderr.end();
  return { code, stdout: await printed[0], stderr: await printed[1] };
}

export const builtCli = fileURLToPath(new URL("../../dist/cli/main.js", import.meta.url));

/** Runs the compiled command in a process of its own (`npm run build` first). */
export async function runBuilt(
  args: readonly string[],
  { input = "", env = {}, cwd }: RunOptions & { cwd?: string } = {},
): Promise<CliResult> {
  const child = spawn(process.execPath, [builtCli, ...args], {
    ...(cwd === undefined ? {} : { cwd }),
    env: { ...process.env, TURNLOG_STORE: undefined, ...env },
  });
  child.stdin.on("error", () => undefined); // It may end without reading its input.
  child.stdin.end(input);
  const [stdout, stderr, code] = await Promise.all([
    text(child.stdout),
    text(child.stderr),
    new Promise<number | null>((resolve) => child.on("close", resolve)),
  ]);
  return { code, stdout, stderr };
}

export async function withFolder<T>(use: (folder: string) => Promise<T>): Promise<T> {
  const folder = await mkdtemp(join(tmpdir(), "turnlog-cli-"));
  try {
    return await use(folder);
  } finally {
    await rm(folder, { recursive: true, force: true });
  }
}

/** A store file that has been filled and closed. */
export async function withStoreFile<T>(
  fill: (store: ConversationStore) => Promise<unknown>,
  use: (path: string) => Promise<T>,
): Promise<T> {
  return withFolder(async (folder) => {
    const path = join(folder, "store.db");
    const store = await openConversationStore(path, { durability: "process" });
    try {
      await fill(store);
    } finally {
      await store.close();
    }
    return use(path);
  });
}

/** A whole stream in the messages protocol that says this text, a delta a word. */
export function streamOf(content: string): string {
  const words = content.match(/\S+\s*/g) ?? [];
  return jsonLines(
    { type: "message_start", message: { id: "m", usage: { input_tokens: 3, output_tokens: 1 } } },
    { type: "content_block_start", index: 0, content_block: { type: "text", text: "" } },
    ...words.map((word) => ({
      type: "content_block_delta",
      index: 0,
      delta: { type: "text_delta", text: word },
    })),
    { type: "content_block_stop", index: 0 },
    { type: "message_delta", delta: { stop_reason: "end_turn" }, usage: { output_tokens: words.length } },
    { type: "message_stop" },
  );
}

export function jsonLines(...values: readonly unknown[]): string {
  return values.map((value) => `${JSON.stringify(value)}\n`).join("");
}

/** A user's message, an answer with a tool call, and a title. */
export async function fillChat(store: ConversationStore): Promise<void> {
  const turn = await store.beginTurn("chat", { user: "Where is my order?", model: "m-1" });
  void turn.reasoningDelta("The user wants the order.");
  void turn.textDelta("Let me look.");
  void turn.toolCall({ toolId: "t1", name: "find_order", input: '{"id":7}' });
  void turn.toolResult("t1", [{ type: "text", text: "shipped" }]);
  void turn.textDelta("It has been shipped.");
  await turn.finish({ finishReason: "stop", usage: { inputTokens: 1200, outputTokens: 34 } });
  await store.updateSession("chat", { title: "An order" });
}

export const ISO_TIME = /^\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{3}Z$/;
