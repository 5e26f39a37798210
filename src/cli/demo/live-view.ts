import type { ReasoningPart, StoredPart, TextPart, ToolPart } from "../../events/stored-part.ts";
import type { StoredMessage } from "../../projections/stored-message.ts";
import type { Output } from "../output.ts";
import { terminalLine, truncateText } from "../terminal-text.ts";
import { TextFlow } from "../text-flow.ts";

/** Prints one message while it grows, as the log shows it. It only ever adds, so it works without a terminal too. */
export class LiveView {
  readonly #out: Output;
  /** The newest state that the log has shown. */
  seen: readonly StoredPart[] = [];
  #index = 0;
  #printed = 0;
  #hasOutput = false;
  #flow: TextFlow | undefined;

  constructor(out: Output) {
    this.#out = out;
  }

  async take(message: StoredMessage): Promise<void> {
    this.seen = message.parts;
    await this.#out.write(this.#added(message.parts));
  }

  /** The rest of a line that has begun. */
  async end(): Promise<void> {
    await this.#out.write(this.#endFlow());
  }

  #added(parts: readonly StoredPart[]): string {
    let added = "";
    for (;;) {
      const part = parts[this.#index];
      if (part === undefined) return added;
      added += this.#grow(part);
      if (this.#index === parts.length - 1) return added;
      added += this.#endFlow();
      this.#index++;
      this.#printed = 0;
      this.#hasOutput = false;
    }
  }

  #grow(part: StoredPart): string {
    if (part.kind === "text") return this.#growText((part as TextPart).text, "  ");
    if (part.kind === "reasoning") {
      const style = (text: string): string => this.#out.style(["dim", "italic"], text);
      return this.#growText((part as ReasoningPart).text, "  ┊ ", style);
    }
    return part.kind === "tool" ? this.#growTool(part as ToolPart) : "";
  }

  #growText(text: string, indent: string, style?: (text: string) => string): string {
    this.#flow ??= new TextFlow({ indent, width: this.#out.width, style });
    const added = this.#flow.write(text.slice(this.#printed));
    this.#printed = text.length;
    return added;
  }

  #growTool({ name, input, output }: ToolPart): string {
    const style = (text: string): string => this.#out.style("yellow", text);
    const head = this.#flow === undefined && !this.#hasOutput ? this.#line(`▸ ${name} `, "bold") : "";
    let added = this.#hasOutput ? "" : head + this.#growText(input, "    ", style);
    if (output !== undefined && !this.#hasOutput) {
      this.#hasOutput = true;
      added += this.#endFlow() + this.#line(`  → ${firstText(output)}`, "dim");
    }
    return added;
  }

  #line(text: string, style: "bold" | "dim"): string {
    const line = truncateText(terminalLine(text).trimEnd(), this.#out.width - 2);
    return `  ${this.#out.style(style, line)}\n`;
  }

  #endFlow(): string {
    const rest = this.#flow?.end() ?? "";
    this.#flow = undefined;
    return rest;
  }
}

function firstText(output: unknown): string {
  const first: unknown = Array.isArray(output) ? output[0] : undefined;
  const text = (first as { text?: unknown } | undefined)?.text;
  return typeof text === "string" ? text : JSON.stringify(output);
}
