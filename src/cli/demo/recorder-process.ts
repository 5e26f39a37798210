import { type ChildProcess, spawn } from "node:child_process";
import { once } from "node:events";
import { fileURLToPath } from "node:url";
import { StoreError } from "../../errors.ts";
import { MAIN } from "../installed-files.ts";

/** `turnlog record` in a process of its own, fed line by line: what the demo kills. */
export class RecorderProcess {
  readonly #child: ChildProcess;
  readonly #ended: Promise<unknown>;
  #stderr = "";

  constructor(sessionId: string, storeUrl: string, user: string) {
    const main = fileURLToPath(MAIN);
    const args = [main, "record", sessionId, "--user", user, "--protocol", "anthropic"];
    // The arguments of a process are for all users of a machine to see; a store's URL may hold a password.
    const env = { ...process.env, TURNLOG_STORE: storeUrl };
    this.#child = spawn(process.execPath, args, { env, stdio: ["pipe", "ignore", "pipe"] });
    this.#child.stderr?.setEncoding("utf8").on("data", (text: string) => (this.#stderr += text));
    // A dead recorder is found out below; the broken pipe to it says nothing more.
    this.#child.stdin?.on("error", () => undefined);
    // Not "exit": what it had said on stderr is then still to come.
    this.#ended = once(this.#child, "close").catch((error: unknown) => {
      this.#stderr += String(error); // It could not be started: the next line says so.
    });
  }

  get pid(): number | undefined {
    return this.#child.pid;
  }

  /** @throws {StoreError} `recorder-ended` */
  send(line: string): void {
    const { exitCode, signalCode, pid } = this.#child;
    if (pid === undefined || exitCode !== null || signalCode !== null) throw this.#endedError();
    this.#child.stdin?.write(line);
  }

  /** Ends it as nothing can be caught or cleaned up: SIGKILL. Resolves when it is gone. */
  async kill(): Promise<void> {
    this.#child.kill("SIGKILL");
    await this.#ended;
  }

  #endedError(): StoreError {
    const said = this.#stderr.trim() || "it said nothing";
    return new StoreError("recorder-ended", `The recording process ended before it was killed: ${said}`);
  }
}
