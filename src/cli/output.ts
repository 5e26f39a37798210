import { once } from "node:events";
import { styleText } from "node:util";

/** A stream to print to; process.stdout is one. */
export interface OutputStream extends NodeJS.WritableStream {
  readonly isTTY?: boolean;
  readonly columns?: number;
  hasColors?(): boolean;
}

/** The reader has gone (`turnlog … | head`): there is nobody to print for, which is no error. */
export class OutputClosed extends Error {
  override name = "OutputClosed";
}

export type Style = "bold" | "dim" | "red" | "green" | "yellow" | "cyan" | "italic";

const WIDEST = 100;
const WIDTH_ELSEWHERE = 80;

/** Prints text that is safe for a terminal already (see terminal-text), at the pace of its reader. */
export class Output {
  readonly #stream: OutputStream;
  #failure: Error | undefined;

  constructor(stream: OutputStream) {
    this.#stream = stream;
    stream.on("error", (error: NodeJS.ErrnoException) => {
      const isClosed = error.code === "EPIPE" || error.code === "ERR_STREAM_DESTROYED";
      this.#failure ??= isClosed ? new OutputClosed("The reader has gone.") : error;
    });
  }

  get isTerminal(): boolean {
    return this.#stream.isTTY === true;
  }

  /** Columns to fill: of a terminal its own up to what is good to read. */
  get width(): number {
    // A pseudo-terminal that nobody has given a size says 0.
    return Math.min(this.#stream.columns || WIDTH_ELSEWHERE, WIDEST);
  }

  /** Colours on terminals that have them; NO_COLOR and the like are respected. */
  style(style: Style | Style[], text: string): string {
    if (!this.isTerminal || this.#stream.hasColors?.() !== true || text === "") return text;
    return styleText(style, text, { validateStream: false });
  }

  /** @throws {OutputClosed} once the reader has gone; the stream's error when it cannot be written to. */
  async write(text: string): Promise<void> {
    if (this.#failure !== undefined) throw this.#failure;
    if (this.#stream.write(text)) return;
    // An error is thrown by the next call; waiting for "drain" alone could be for ever.
    await once(this.#stream, "drain").catch(() => undefined);
    if (this.#failure !== undefined) throw this.#failure;
  }

  async line(text = ""): Promise<void> {
    await this.write(`${text}\n`);
  }

  /** A line that changes nothing where nobody is left to read it. */
  async note(text: string): Promise<void> {
    try {
      await this.line(text);
    } catch {
      // What there is to say has nowhere to go; the exit code still says it.
    }
  }
}
