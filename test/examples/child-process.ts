import { type ChildProcess, spawn } from "node:child_process";
import { mkdtemp, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { text } from "node:stream/consumers";
import { fileURLToPath } from "node:url";

export const root = fileURLToPath(new URL("../../", import.meta.url));
export const builtCli = join(root, "dist/cli/main.js");

const running = new Set<Child>();

/** A process that a test talks to: it writes to its stdin and waits for what it prints. */
export class Child {
  readonly #process: ChildProcess;
  readonly #exit: Promise<number | null>;
  readonly #stderr: Promise<string>;
  #stdout = "";
  #hasEnded = false;
  #wake: (() => void) | undefined;

  /** The child leads a process group of its own, so that what it runs can be killed with it. */
  constructor(
    command: string,
    args: readonly string[],
    options: { cwd?: string; env?: NodeJS.ProcessEnv } = {},
  ) {
    const { cwd, env } = options;
    const child = spawn(command, args, {
      ...(cwd === undefined ? {} : { cwd }),
      env: { ...process.env, TURNLOG_STORE: undefined, ...env },
      stdio: "pipe",
      detached: true,
    });
    this.#process = child;
    child.stdin.on("error", () => undefined); // It was killed, or ended without reading all: its exit says so.
    child.stdout.setEncoding("utf8");
    child.stdout.on("data", (printed: string) => {
      this.#stdout += printed;
      this.#wake?.();
    });
    child.stdout.on("end", () => {
      this.#hasEnded = true;
      this.#wake?.();
    });
    this.#stderr = text(child.stderr);
    this.#exit = new Promise((resolve, reject) => {
      child.on("error", reject);
      child.on("close", resolve);
    });
    running.add(this);
    void this.#exit.catch(() => undefined).finally(() => running.delete(this));
  }

  write(input: string): void {
    this.#process.stdin?.write(input);
  }

  endInput(): void {
    this.#process.stdin?.end();
  }

  /** Everything printed so far. */
  get stdout(): string {
    return this.#stdout;
  }

  /** Resolves to what `find` makes of the whole output so far, as soon as that is something. */
  async waitFor<T>(find: (stdout: string) => T | undefined): Promise<T> {
    for (;;) {
      const found = find(this.#stdout);
      if (found !== undefined) return found;
      if (this.#hasEnded) {
        throw new Error(`It ended without what was waited for.\n${this.#stdout}\n${await this.#stderr}`);
      }
      await new Promise<void>((resolve) => (this.#wake = resolve));
    }
  }

  async waitForText(marker: string): Promise<void> {
    await this.waitFor((stdout) => (stdout.includes(marker) ? true : undefined));
  }

  /** Kills it and all that it started with SIGKILL, and waits until it is gone. */
  async kill(): Promise<void> {
    if (
      this.#process.exitCode === null &&
      this.#process.signalCode === null &&
      this.#process.pid !== undefined
    ) {
      process.kill(-this.#process.pid, "SIGKILL");
    }
    await this.#exit;
  }

  /** Resolves when it has ended by itself. */
  async ended(): Promise<{ code: number | null; stdout: string; stderr: string }> {
    const [code, stderr] = await Promise.all([this.#exit, this.#stderr]);
    return { code, stdout: this.#stdout, stderr };
  }
}

/** A folder that is removed afterwards, with the children that a failed test has left. */
export async function withFolder<T>(use: (folder: string) => Promise<T>): Promise<T> {
  const folder = await mkdtemp(join(tmpdir(), "turnlog-examples-"));
  try {
    return await use(folder);
  } finally {
    await Promise.all([...running].map((child) => child.kill()));
    await rm(folder, { recursive: true, force: true });
  }
}
