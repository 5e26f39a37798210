import type { StoredPart, ToolPart } from "../events/stored-part.ts";
import type { ReplayChange, ReplayStep } from "../forensics/replay.ts";
import { count } from "./figures.ts";
import type { Output, Style } from "./output.ts";
import { terminalLine, truncateText } from "./terminal-text.ts";
import { flowText } from "./text-flow.ts";

/** Of a longer text only the end is laid out: a screen shows no more. UTF-16 units. */
const LAID_OUT = 16_384;

/** Something on the screen that may grow: a heading, and text under it. */
interface Block {
  heading: string;
  headingStyle: Style | Style[];
  text: string;
  indent: string;
  style: Style | Style[] | undefined;
  footer: string;
  /** Its lines, until it changes. */
  lines: string[] | undefined;
}

/** What has been replayed so far, as it stands on a screen. */
export class ReplayTranscript {
  readonly #out: Output;
  #blocks: Block[] = [];
  /** Blocks that parts go on in, by message and part. */
  readonly #growing = new Map<string, Block>();

  constructor(out: Output) {
    this.#out = out;
  }

  clear(): void {
    this.#blocks = [];
    this.#growing.clear();
  }

  take({ changes }: ReplayStep): void {
    for (const change of changes) this.#takeChange(change);
  }

  /** The newest lines, at most so many. */
  lastLines(most: number): string[] {
    let lines: string[] = [];
    for (let index = this.#blocks.length - 1; index >= 0 && lines.length < most; index--) {
      const block = this.#blocks[index];
      if (block !== undefined) lines = [...this.#linesOf(block), ...lines];
    }
    return lines.slice(-most);
  }

  #takeChange(change: ReplayChange): void {
    switch (change.kind) {
      case "text":
      case "reasoning":
        return this.#grow(change, change.text, change.kind);
      case "tool-input":
        return this.#growBlock(this.#toolBlock(change.messageId, change.part, change.name), change.text);
      case "tool":
        return this.#showTool(change.messageId, change.part, change.tool as ToolPart);
      case "part":
        if (change.value.kind === "text" || change.value.kind === "reasoning")
          return this.#rewrite(change.messageId, change.part, change.value);
        return void this.#note(`▪ ${change.value.kind}`, JSON.stringify(change.value));
      case "part-removed":
        return void this.#note("▪ removed", `part ${change.part + 1}`);
      case "message":
        return this.#showMessage(change);
      case "turn-started":
        return void this.#note(
          `● turn on #${change.messageId}`,
          [change.turn, change.model ?? ""].join(" ").trim(),
        );
      case "turn-ended": {
        const why = change.error === null ? (change.finishReason ?? "") : change.error.message;
        const by = change.isRepair ? " (by a repair)" : "";
        return void this.#note(`● ${change.outcome}${by}`, why);
      }
      case "branch":
        return void this.#note(
          `● #${change.messageId}`,
          `shows variant ${change.active + 1} of ${change.variants}`,
        );
      case "replaced":
        return void this.#note(
          "● conversation replaced",
          `${change.reason}, ${count(change.messages)} entries`,
        );
      case "session":
        return void this.#note(
          "● session",
          JSON.stringify({ title: change.title, metadata: change.metadata }),
        );
      case "forked":
        return void this.#note("● fork of", change.from);
      default:
        return void this.#note(`● ${change.kind}`, "");
    }
  }

  #showMessage({ messageId, role, parts }: Extract<ReplayChange, { kind: "message" }>): void {
    const heading = this.#note(`${role} #${messageId}`, "");
    heading.headingStyle = ["bold", role === "user" ? "cyan" : "green"];
    for (const [part, value] of parts.entries()) {
      if (value.kind === "tool") this.#showTool(messageId, part, value as ToolPart);
      else this.#rewrite(messageId, part, value);
    }
  }

  #grow({ messageId, part }: { messageId: number; part: number }, text: string, kind: string): void {
    this.#growBlock(this.#textBlock(messageId, part, kind), text);
  }

  #growBlock(block: Block, text: string): void {
    block.text += text;
    block.lines = undefined;
  }

  #rewrite(messageId: number, part: number, value: StoredPart): void {
    const { text } = value as { text?: unknown };
    if (typeof text !== "string") return void this.#note(`▪ ${value.kind}`, JSON.stringify(value));
    const block = this.#textBlock(messageId, part, value.kind);
    block.text = "";
    this.#growBlock(block, text);
  }

  #textBlock(messageId: number, part: number, kind: string): Block {
    const isReasoning = kind === "reasoning";
    return this.#growingBlock(`${messageId}/${part}/${kind}`, {
      indent: isReasoning ? "  ┊ " : "  ",
      style: isReasoning ? ["dim", "italic"] : undefined,
    });
  }

  #toolBlock(messageId: number, part: number, name: string): Block {
    return this.#growingBlock(`${messageId}/${part}/tool`, {
      heading: `  ▸ ${name}`,
      headingStyle: "bold",
      indent: "    ",
      style: "yellow",
    });
  }

  #showTool(messageId: number, part: number, { name, state, input, output }: ToolPart): void {
    const block = this.#toolBlock(messageId, part, String(name));
    block.heading = `  ▸ ${String(name)}  ${String(state)}`;
    block.text = typeof input === "string" ? input : "";
    block.footer = output === undefined ? "" : `    → ${outputText(output)}`;
    block.lines = undefined;
  }

  #growingBlock(key: string, given: Partial<Block>): Block {
    let block = this.#growing.get(key);
    // What another block has been put behind goes on below it, as it came.
    if (block === undefined) {
      block = this.#add(given);
      this.#growing.set(key, block);
    }
    return block;
  }

  #note(heading: string, text: string): Block {
    return this.#add({ heading: text === "" ? heading : `${heading}  ${text}`, headingStyle: "dim" });
  }

  #add(given: Partial<Block>): Block {
    const block: Block = {
      heading: "",
      headingStyle: [],
      text: "",
      indent: "  ",
      style: undefined,
      footer: "",
      lines: undefined,
      ...given,
    };
    this.#blocks.push(block);
    return block;
  }

  #linesOf(block: Block): string[] {
    block.lines ??= this.#layOut(block);
    return block.lines;
  }

  #layOut({ heading, headingStyle, text, indent, style, footer }: Block): string[] {
    const { width } = this.#out;
    const line = (raw: string, with_: Style | Style[]): string[] =>
      raw === ""
        ? []
        : [this.#out.style([with_].flat(), truncateText(terminalLine(raw.slice(0, 4 * width)), width))];
    const shown = text.length <= LAID_OUT ? text : `…${text.slice(-LAID_OUT).replace(/^\S*/, "")}`;
    const flowed = flowText(shown, {
      indent,
      width,
      style: style === undefined ? undefined : (piece) => this.#out.style([style].flat(), piece),
    });
    const body = flowed === "" ? [] : flowed.replace(/\n$/, "").split("\n");
    return [...line(heading, headingStyle), ...body, ...line(footer, "dim")];
  }
}

function outputText(output: unknown): string {
  const first: unknown = Array.isArray(output) ? output[0] : undefined;
  const text = (first as { text?: unknown } | undefined)?.text;
  if (typeof text === "string") return text;
  return typeof output === "string" ? output : JSON.stringify(output);
}
