import { terminalText, textWidth } from "./terminal-text.ts";

export interface TextFlowOptions {
  /** Printed before each line. */
  indent: string;
  /** Columns, the indent included. */
  width: number;
  /** Puts colour on a piece of a line; pieces never hold line ends. */
  style?: ((text: string) => string) | undefined;
}

/**
 * Wraps text that arrives in pieces: what is written comes out at once but for the last word, which may go on.
 * Text is made safe for a terminal. Nothing comes out for text that never comes.
 */
export class TextFlow {
  readonly #options: TextFlowOptions;
  readonly #available: number;
  /** Columns used of the line, the indent not counted; undefined before the line has begun. */
  #column: number | undefined;
  /** Spaces before the word, shown only if it stays on the line. */
  #gap = "";
  #word = "";
  /** An unfinished character or escape must not be judged: raw text after the last boundary. */
  #raw = "";

  constructor(options: TextFlowOptions) {
    this.#options = options;
    this.#available = Math.max(20, options.width - textWidth(options.indent));
  }

  /** What can be printed now. */
  write(text: string): string {
    this.#raw += text;
    const end = this.#raw.search(/\S*$/);
    const whole = this.#raw.slice(0, end);
    this.#raw = this.#raw.slice(end);
    return this.#flow(whole);
  }

  /** The rest, with a line end where a line has begun. */
  end(): string {
    const rest = this.#flow(this.#raw) + this.#endWord();
    this.#raw = "";
    const isOpen = this.#column !== undefined;
    this.#column = undefined;
    this.#gap = "";
    return isOpen ? `${rest}\n` : rest;
  }

  #flow(raw: string): string {
    let printed = "";
    for (const [piece] of terminalText(raw).matchAll(/\n| +|[^\n ]+/g)) {
      if (piece === "\n") printed += this.#endWord() + this.#newLine();
      else if (piece.startsWith(" ")) {
        printed += this.#endWord();
        this.#gap += piece;
      } else this.#word += piece;
    }
    return printed;
  }

  #endWord(): string {
    let word = this.#word;
    if (word === "") return "";
    this.#word = "";
    let printed = "";
    const needed = (this.#column ?? 0) + this.#gap.length + textWidth(word);
    if (this.#column !== undefined && needed > this.#available) printed += this.#newLine();
    // A line that begins with spaces means them; they are dropped only where a line is broken.
    const gap = this.#gap.length < this.#available ? this.#gap : "";
    this.#gap = "";
    if ((this.#column ?? 0) + gap.length + textWidth(word) <= this.#available) {
      return printed + this.#put(gap + word);
    }
    printed += this.#put(gap);
    while ((this.#column ?? 0) + textWidth(word) > this.#available) {
      const [head, rest] = splitAt(word, this.#available - (this.#column ?? 0));
      printed += this.#put(head) + this.#newLine();
      word = rest;
    }
    return printed + this.#put(word);
  }

  #newLine(): string {
    const begun = this.#column !== undefined ? "" : this.#options.indent.trimEnd();
    this.#column = undefined;
    this.#gap = "";
    return `${begun}\n`;
  }

  #put(text: string): string {
    if (text === "") return "";
    const indent = this.#column === undefined ? this.#options.indent : "";
    this.#column = (this.#column ?? 0) + textWidth(text);
    return indent + (this.#options.style?.(text) ?? text);
  }
}

function splitAt(word: string, width: number): [head: string, rest: string] {
  let used = 0;
  let end = 0;
  for (const character of word) {
    const next = textWidth(character);
    if (used + next > width && end > 0) break;
    used += next;
    end += character.length;
  }
  return [word.slice(0, end), word.slice(end)];
}

/** A whole text, wrapped. */
export function flowText(text: string, options: TextFlowOptions): string {
  const flow = new TextFlow(options);
  return flow.write(text) + flow.end();
}
