import { type ChildProcessWithoutNullStreams, spawn, spawnSync } from "node:child_process";
import { fileURLToPath } from "node:url";
import { builtCli } from "./cli-support.ts";

const PTY_RUN = fileURLToPath(new URL("pty-run.py", import.meta.url));

/** False where there is no Python to make a pseudo-terminal with: Node itself cannot. */
export const hasPseudoTerminal =
  process.platform !== "win32" &&
  spawnSync("python3", ["-c", "import sys; assert sys.version_info >= (3, 9)"]).status === 0;

/** A command that does not show what is expected is killed, so that the test says what it did show. */
const MOST_WAIT_MS = 30_000;

/** The compiled command on a terminal of 24 × 80. */
export class TerminalSession {
  readonly #child: ChildProcessWithoutNullStreams;
  readonly #closed: Promise<number | null>;
  #output = "";
  #isClosed = false;
  #changed: (() => void)[] = [];

  constructor(args: readonly string[], env: NodeJS.ProcessEnv = {}) {
    this.#child = spawn("python3", [PTY_RUN, process.execPath, builtCli, ...args], {
      env: { ...process.env, TURNLOG_STORE: undefined, TERM: "xterm", NO_COLOR: "1", ...env },
    });
    const take = (text: Buffer): void => {
      this.#output += text.toString("utf8");
      this.#wake();
    };
    this.#child.stdout.on("data", take);
    this.#child.stderr.on("data", take);
    this.#closed = new Promise((resolve) => {
      this.#child.once("close", (code) => {
        this.#isClosed = true;
        this.#wake();
        resolve(code);
      });
    });
  }

  /** All that was written to the terminal. */
  get output(): string {
    return this.#output;
  }

  type(keys: string): void {
    this.#child.stdin.write(keys);
  }

  /** Resolves to the screen as it was first drawn with this on it, behind what was waited for before. */
  async shows(wanted: RegExp): Promise<string> {
    const givesUp = setTimeout(() => this.kill(), MOST_WAIT_MS);
    try {
      return await this.#shows(wanted);
    } finally {
      clearTimeout(givesUp);
    }
  }

  async #shows(wanted: RegExp): Promise<string> {
    for (;;) {
      const frames = this.#output.split("\u001b[H");
      const frame = frames.findIndex(
        (text, index) => index > 0 && text.includes("\u001b[J") && wanted.test(text),
      );
      if (frame !== -1) {
        const rest = frames.slice(frame + 1);
        this.#output = rest.map((text) => `\u001b[H${text}`).join("");
        return screenOf(frames[frame] ?? "");
      }
      if (this.#isClosed)
        throw new Error(`the command ended and never showed ${wanted}; last: ${this.#output}`);
      await new Promise<void>((resolve) => void this.#changed.push(resolve));
    }
  }

  /** The exit code. */
  ended(): Promise<number | null> {
    return this.#closed;
  }

  kill(): void {
    this.#child.kill("SIGKILL");
  }

  #wake(): void {
    const changed = this.#changed;
    this.#changed = [];
    for (const resolve of changed) resolve();
  }
}

/** The text of a frame, without what moves the cursor. */
function screenOf(frame: string): string {
  return frame.replace(/\u001b\[[0-9;?]*[A-Za-z]/g, "").replaceAll("\r", "");
}
