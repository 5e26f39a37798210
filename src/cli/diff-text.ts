import type { DiffChange, MessageChange } from "../forensics/diff.ts";
import type { TextPiece } from "../forensics/diff-text.ts";
import type { StoredPart } from "../events/stored-part.ts";
import type { StoredMessage } from "../projections/stored-message.ts";
import { messageText } from "./conversation-text.ts";
import type { Output, Style } from "./output.ts";
import { terminalLine, truncateText } from "./terminal-text.ts";
import { flowText } from "./text-flow.ts";

/** Characters of unchanged text that are shown around a change. */
const CONTEXT = 60;

/** A difference as people read it: what is new behind +, what is gone behind -. */
export function diffText(changes: readonly DiffChange[], out: Output): string {
  let text = "";
  let message: number | undefined;
  for (const change of changes) {
    if (isOfMessage(change)) {
      if (change.messageId !== message) text += `\n${out.style("bold", `message #${change.messageId}`)}\n`;
      message = change.messageId;
      text += messageChangeText(change, out);
    } else {
      message = undefined;
      text += changeText(change, out);
    }
  }
  return text;
}

function isOfMessage(change: DiffChange): change is MessageChange {
  return "messageId" in change && change.kind !== "message-added" && change.kind !== "message-removed";
}

function changeText(change: Exclude<DiffChange, MessageChange>, out: Output): string {
  switch (change.kind) {
    case "message-added":
      return `\n${marked("+", "green", change.message, out)}`;
    case "message-removed":
      return `\n${marked("-", "red", change.message, out)}`;
    case "order":
      return `\n${out.style("bold", "order")}  ${ids(change.from)} → ${ids(change.to)}\n`;
    default:
      return `\n${out.style("bold", change.kind)}  ${value(change.from, out)} → ${value(change.to, out)}\n`;
  }
}

const ids = (list: readonly number[]): string => list.map((id) => `#${id}`).join(" ");

/** A whole message, each line behind its sign. */
function marked(sign: "+" | "-", style: Style, message: StoredMessage, out: Output): string {
  const lines = messageText(message, out, { reasoning: true }).trimEnd().split("\n");
  return lines
    .map((line) => `${out.style(style, sign)} ${line}`.trimEnd())
    .join("\n")
    .concat("\n");
}

function messageChangeText(change: MessageChange, out: Output): string {
  switch (change.kind) {
    case "status":
      return `  status  ${change.from} → ${change.to}\n`;
    case "branch": {
      const variant = ({ active, count }: { active: number; count: number }): string =>
        `${active + 1} of ${count}`;
      return `  shows variant ${variant(change.from)} → ${variant(change.to)}\n`;
    }
    case "text":
      return piecesText(change.of, change.pieces, out);
    case "tool": {
      const head = `  tool ${terminalLine(change.name)}  ${terminalLine(change.from)} → ${terminalLine(change.to)}\n`;
      return change.output === null ? head : head + signed("+", "green", value(change.output, out), out);
    }
    case "part-added":
      return `  ${terminalLine(change.value.kind)}\n${partText("+", "green", change.value, out)}`;
    case "part-removed":
      return `  ${terminalLine(change.value.kind)}\n${partText("-", "red", change.value, out)}`;
    case "part-changed":
      return `  part ${change.part + 1}\n${partText("-", "red", change.from, out)}${partText("+", "green", change.to, out)}`;
    case "field":
      return `  ${change.name}  ${value(change.from, out)} → ${value(change.to, out)}\n`;
  }
}

function piecesText(of: string, pieces: readonly TextPiece[], out: Output): string {
  let text = `  ${of}\n`;
  for (const [index, piece] of pieces.entries()) {
    if (piece.op === "equal") text += contextText(piece.text, index === 0, index === pieces.length - 1, out);
    else {
      const isInsert = piece.op === "insert";
      text += signed(isInsert ? "+" : "-", isInsert ? "green" : "red", piece.text, out);
    }
  }
  return text;
}

function partText(sign: "+" | "-", style: Style, part: StoredPart, out: Output): string {
  const { text, ...rest } = part as unknown as Record<string, unknown>;
  const isPlain = typeof text === "string" && text !== "" && Object.keys(rest).length === 1;
  return signed(sign, style, isPlain ? text : value(part, out), out);
}

/** What is unchanged: its end before a change, its beginning behind one. */
function contextText(text: string, isFirst: boolean, isLast: boolean, out: Output): string {
  const whole = isFirst || isLast ? CONTEXT : 2 * CONTEXT;
  let shown = text;
  if (text.length > whole) {
    const [head, tail] = [text.slice(0, CONTEXT), text.slice(-CONTEXT)];
    shown = isFirst ? `…${tail}` : isLast ? `${head}…` : `${head} … ${tail}`;
  }
  return `      ${out.style("dim", terminalLine(shown.trim()))}\n`;
}

function signed(sign: "+" | "-", style: Style, text: string, out: Output): string {
  const options = {
    indent: `    ${sign} `,
    width: out.width,
    style: (piece: string) => out.style(style, piece),
  };
  const flowed = flowText(text, options);
  // A change of line ends alone has nothing else to show.
  return flowed.trim() === sign || flowed === ""
    ? `    ${sign} ${terminalLine(JSON.stringify(text))}\n`
    : flowed;
}

/** One line of a value. */
function value(given: unknown, out: Output): string {
  if (given === null || given === undefined) return "none";
  const text = typeof given === "string" ? given : JSON.stringify(given);
  return truncateText(terminalLine(text.slice(0, 4 * out.width)), out.width - 8);
}
