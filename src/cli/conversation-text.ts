import type { StoredPart, ToolPart } from "../events/stored-part.ts";
import { parseParts } from "../events/stored-part.ts";
import { variantContent, parseBranches } from "../projections/message-branches.ts";
import type { MessageStatus, StoredMessage } from "../projections/stored-message.ts";
import { count, duration, plural, utcSeconds } from "./figures.ts";
import type { Output, Style } from "./output.ts";
import { terminalLine, truncateText } from "./terminal-text.ts";
import { flowText } from "./text-flow.ts";

export interface ConversationTextOptions {
  /** Show reasoning instead of folding it. */
  reasoning: boolean;
}

const STATUS_STYLE: Readonly<Partial<Record<MessageStatus, Style>>> = {
  open: "yellow",
  filling: "yellow",
  superseded: "yellow",
  interrupted: "red",
  aborted: "red",
  failed: "red",
};

/** A message as people read it, several lines. */
export function messageText(message: StoredMessage, out: Output, options: ConversationTextOptions): string {
  const parts = shownParts(message);
  const body = parts.map((part) => partText(part, out, options)).join("");
  return `${headline(message, out)}\n${body}${footer(message, out)}`;
}

/** The parts of the variant that is active: what a prompt would read. */
function shownParts(message: StoredMessage): StoredPart[] {
  const branches = parseBranches(message.branchesJson);
  if (message.activeBranch >= branches.length) return message.parts;
  const content = variantContent(message.content, message.branchesJson, message.activeBranch);
  return parseParts(content) ?? [{ kind: "text", text: content }];
}

function headline(message: StoredMessage, out: Output): string {
  const { id, role, status, createdAt, updatedAt } = message;
  const facts = [`#${id}`, utcSeconds(createdAt)];
  const tookMs = updatedAt.getTime() - createdAt.getTime();
  if (role === "assistant" && tookMs > 0) facts.push(`took ${duration(tookMs)}`);
  const variants = parseBranches(message.branchesJson).length + 1;
  if (variants > 1) facts.push(`variant ${message.activeBranch + 1} of ${variants}`);
  const roleStyle: Style = role === "user" ? "cyan" : "green";
  const shownStatus = status === "saved" ? "" : ` ${out.style(STATUS_STYLE[status] ?? "dim", status)}`;
  return `${out.style(["bold", roleStyle], role)}${shownStatus}  ${out.style("dim", facts.join(" · "))}`;
}

function footer({ error, usage, finishReason, status }: StoredMessage, out: Output): string {
  const facts: string[] = [];
  if (usage?.inputTokens !== undefined) facts.push(`${count(usage.inputTokens)} tokens in`);
  if (usage?.outputTokens !== undefined) facts.push(`${count(usage.outputTokens)} out`);
  if (finishReason !== undefined && status === "finished") facts.push(terminalLine(finishReason));
  const lines = facts.length === 0 ? "" : `  ${out.style("dim", facts.join(" · "))}\n`;
  if (error === undefined) return lines;
  const code = error.code === undefined ? "" : ` (${terminalLine(error.code)})`;
  return `${lines}  ${out.style("red", `error: ${terminalLine(error.message)}${code}`)}\n`;
}

function partText(part: StoredPart, out: Output, { reasoning }: ConversationTextOptions): string {
  // Stored contents are anybody's: a known kind may still lack its fields.
  const fields = part as unknown as Record<string, unknown>;
  switch (part.kind) {
    case "text":
      return flowText(String(fields["text"] ?? ""), { indent: "  ", width: out.width });
    case "reasoning":
      return reasoningText(String(fields["text"] ?? ""), out, reasoning);
    case "tool":
      return toolText(fields, out);
    case "step":
      return "";
    default:
      return noteLine(part.kind, describeFields(fields), out);
  }
}

function reasoningText(text: string, out: Output, isShown: boolean): string {
  const style = (piece: string): string => out.style(["dim", "italic"], piece);
  if (isShown) return flowText(text, { indent: "  ┊ ", width: out.width, style });
  if (text === "") return "";
  return `  ${style(`┊ reasoning, ${plural(text.length, "character")} (--reasoning shows it)`)}\n`;
}

const ENDED_WELL = "output-available";
const ENDED_BADLY = new Set<string>(["output-error", "output-denied"]);

function toolText(tool: Record<string, unknown>, out: Output): string {
  const { name, state, input, output, duration_ms: durationMs } = tool as Partial<ToolPart>;
  const took = typeof durationMs === "number" ? ` · ${duration(durationMs)}` : "";
  const style: Style = state === ENDED_WELL ? "dim" : ENDED_BADLY.has(String(state)) ? "red" : "yellow";
  const head = `  ${out.style("bold", `▸ ${terminalLine(String(name))}`)} ${out.style(style, `${terminalLine(String(state))}${took}`)}\n`;
  return head + valueLine("in ", input, out) + valueLine("out", output, out);
}

function valueLine(label: string, value: unknown, out: Output): string {
  if (value === undefined || value === "") return "";
  return `    ${out.style("dim", label)} ${shorten(readable(value), out.width - 8)}\n`;
}

/** What a tool said, for reading: the text of text blocks, JSON of the rest. */
function readable(value: unknown): string {
  if (typeof value === "string") return value;
  if (Array.isArray(value) && value.every(isTextBlock)) return value.map(({ text }) => text).join("\n");
  return JSON.stringify(value);
}

function isTextBlock(value: unknown): value is { type: "text"; text: string } {
  const block = value as { type?: unknown; text?: unknown } | null;
  return typeof block === "object" && block?.type === "text" && typeof block.text === "string";
}

/** One line of it, and how much is not shown. */
function shorten(text: string, width: number): string {
  // Cut before it is made safe: an output can be megabytes.
  const line = terminalLine(text.slice(0, 4 * width));
  const shown = truncateText(line, width);
  if (shown === line && text.length <= 4 * width) return line;
  const note = ` (${plural(text.length, "character")})`;
  return truncateText(line, width - note.length) + note;
}

function noteLine(kind: string, text: string, out: Output): string {
  return `  ${out.style("dim", `▪ ${terminalLine(kind)}`)} ${shorten(text, out.width - kind.length - 5)}\n`;
}

function describeFields({ kind: _kind, ...fields }: Record<string, unknown>): string {
  const { title, filename, url } = fields;
  const named = [title, filename, url].filter((value) => typeof value === "string");
  return named.length > 0 ? named.join(" · ") : JSON.stringify(fields);
}
