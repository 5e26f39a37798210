import type { AutopsyReport, AutopsyTurn } from "../forensics/autopsy.ts";
import { endOfEvent } from "../forensics/event-times.ts";
import type { AutopsyTool } from "../forensics/turn-phase.ts";
import type { WriterReport } from "../forensics/writer-report.ts";
import type { ModelMessage } from "../store/model-message-types.ts";
import { summarizeEvent } from "./event-summary.ts";
import { count, duration, plural, utcMilliseconds } from "./figures.ts";
import { type SuggestedCommand, nextCommand } from "./next-command.ts";
import type { Output, Style } from "./output.ts";
import { terminalLine, truncateText } from "./terminal-text.ts";
import { flowText } from "./text-flow.ts";

const LABEL_WIDTH = 12;
/** UTF-16 units of the text and of the reasoning that are shown: the end tells where it stopped. */
const TAIL_UNITS = 600;
const MOST_EVENTS = 12;

const VERDICT_STYLE: Readonly<Record<AutopsyTurn["verdict"], Style>> = {
  crashed: "red",
  unknown: "yellow",
  running: "green",
};

export interface AutopsyTextOptions {
  /** Epoch ms of the look. */
  now: number;
  /** Repeated in the commands that are suggested. */
  store?: string | undefined;
}

/** The report as people read it at night: the verdict first, the next command last. */
export function autopsyText(report: AutopsyReport, out: Output, options: AutopsyTextOptions): string {
  const blocks = report.turns.map((turn) => turnText(turn, out, options.now));
  const total = report.counts.crashed + report.counts.unknown + report.counts.running;
  const left = total - report.turns.length;
  const omitted = left === 0 ? "" : `\n… ${plural(left, "more turn")}; --limit ${total} tells all\n`;
  const next = nextCommand(report, options.store);
  return `${verdictLines(report, out)}${blocks.join("")}${omitted}${next === undefined ? "" : nextLines(next, out)}`;
}

function verdictLines({ counts, damage }: AutopsyReport, out: Output): string {
  const { crashed, unknown, running } = counts;
  const found: string[] = [];
  if (crashed > 0) found.push(`${out.style(["bold", "red"], "CRASHED")}  ${did(crashed)} writer is dead`);
  if (unknown > 0) {
    const label = out.style(["bold", "yellow"], "UNKNOWN");
    found.push(`${label}  ${did(unknown)} writer is not known to be dead or alive`);
  }
  if (running > 0) found.push(`${out.style(["bold", "green"], "RUNNING")}  ${did(running)} writer lives`);
  if (found.length === 0) found.push(`${out.style("green", "CLEAN")}  every turn that began has ended`);
  for (const { sessionId, message } of damage) {
    const where = sessionId === null ? "the log" : `session ${JSON.stringify(sessionId)}`;
    found.push(
      `${out.style(["bold", "red"], "DAMAGED")}  ${terminalLine(where)} can be read in part only: ${terminalLine(message)}`,
    );
  }
  return `${found.join("\n")}\n`;
}

function did(turns: number): string {
  return `${plural(turns, "turn")} began and did not end; ${turns === 1 ? "its" : "their"}`;
}

function nextLines({ why, command }: SuggestedCommand, out: Output): string {
  return `\n${why}\n  ${out.style("bold", terminalLine(command))}\n`;
}

function turnText(turn: AutopsyTurn, out: Output, now: number): string {
  const rows = (label: string, texts: readonly string[]): string =>
    texts
      .map((text, index) => {
        const head = out.style("dim", (index === 0 ? label : "").padEnd(LABEL_WIDTH));
        return `  ${head}${truncateText(text, out.width - LABEL_WIDTH - 2)}\n`;
      })
      .join("");
  const name = out.style("bold", terminalLine(turn.sessionId));
  const verdict = out.style(VERDICT_STYLE[turn.verdict], `${turn.verdict} ${phaseText(turn)}`);
  return [
    `\n${name}  message #${turn.messageId}  ${verdict}\n`,
    rows("began", beginTexts(turn)),
    rows("last event", lastEventTexts(turn, now)),
    rows("silence", [silenceText(turn)]),
    rows("writer", [writerName(turn.writer), writerText(turn.writer)]),
    rows("asked", promptTexts(turn.prompt)),
    rows("branches", branchTexts(turn)),
    tailText("reasoning", turn.reasoning, out),
    tailText("text", turn.text, out),
    rows("tools", turn.tools.flatMap(toolTexts)),
    lastSecondText(turn, out),
  ].join("");
}

function phaseText({ phase, tools, kind, text, reasoning, deltas }: AutopsyTurn): string {
  const unfinished = tools.filter(({ verdict }) => verdict !== "finished");
  const running = unfinished.filter(({ verdict }) => verdict === "outcome-unknown");
  const names = (phase === "tool-running" ? running : unfinished).map(({ name }) => name);
  const what = terminalLine(names.join(", "));
  switch (phase) {
    case "text":
      return "while the model wrote text";
    case "reasoning":
      return "while the model was reasoning";
    case "tool-input":
      return `while the model wrote the arguments of ${what}`;
    case "tool-pending":
      return `before it started ${what}`;
    case "approval":
      return `while it waited for an approval of ${what}`;
    case "tool-running":
      return `while ${what} was running`;
    case "model":
      if (text !== "" || reasoning !== "" || tools.length > 0) return "while it waited for the model";
      if (kind === "regenerate" && deltas === 0) return "in a regenerate, before the first delta";
      return "before the model said anything";
  }
}

function beginTexts({ startedAt, kind, model, superseded, turnId }: AutopsyTurn): string[] {
  const facts = [utcMilliseconds(startedAt.getTime()), kind === "new" ? "a new turn" : "a regenerate"];
  if (model !== null) facts.push(`model ${terminalLine(model)}`);
  const texts = [facts.join(" · "), `turn ${terminalLine(turnId)}`];
  return superseded ? [...texts, "superseded: another turn has begun since"] : texts;
}

function lastEventTexts(turn: AutopsyTurn, now: number): string[] {
  const { lastEvent, lastEventAt, startedAt, events, deltas } = turn;
  const at = lastEventAt.getTime();
  const span = (ms: number): string => duration(Math.max(0, ms));
  const what = terminalLine(lastEvent.cause ?? lastEvent.type);
  return [
    `${utcMilliseconds(at)} · ${span(now - at)} ago · ${span(at - startedAt.getTime())} after it began`,
    `${what} at revision ${lastEvent.revision} · the turn has ${plural(events, "event")}, ${plural(deltas, "delta")}`,
  ];
}

function silenceText({ silentMs, writer }: AutopsyTurn): string {
  if (writer.verdict !== "dead") return `nothing came in the last ${duration(silentMs)}`;
  if (silentMs === 0) return "none: its last event is the writer's last sign of life";
  return `nothing came in the ${duration(silentMs)} before the writer's last sign of life`;
}

function writerName({ id, host, pid, label, library }: WriterReport): string {
  const facts = [host, pid === null ? null : `pid ${pid}`, label === null ? null : `“${label}”`, library];
  const known = facts.filter((fact) => fact !== null).map(terminalLine);
  return known.length === 0 ? `${terminalLine(id)}, of which the log has nothing` : known.join(" · ");
}

function writerText({ verdict, process, lastSeen }: WriterReport): string {
  const seen = lastSeen === null ? "never" : utcMilliseconds(lastSeen.getTime());
  if (verdict === "dead") {
    if (process === "gone") return "dead: there is no such process any more";
    if (process === null) return `dead: its last sign of life was ${seen}`;
    return "its process is there, but has closed the store and left the turn open";
  }
  if (process === "stopped")
    return `not dead: its process is stopped (SIGSTOP, or a debugger); last sign of life ${seen}`;
  if (verdict === "alive") return "alive";
  if (process === "running")
    return `not dead: its process is there, but blocked or hung; last sign of life ${seen}`;
  return `cannot be seen from this machine; its last sign of life was ${seen}`;
}

/** How much was asked, and the newest message of the user. */
function promptTexts(prompt: readonly ModelMessage[]): string[] {
  if (prompt.length === 0) return ["nothing: the conversation was empty"];
  const asked = prompt.findLast(({ role }) => role === "user");
  const size = `${plural(prompt.length, "message")} in the prompt (--json has it all)`;
  return asked === undefined ? [size] : [`“${terminalLine(contentText(asked))}”`, size];
}

function contentText({ content }: ModelMessage): string {
  if (typeof content === "string") return content;
  return content.map((part) => (part.type === "text" ? part.text : `[${part.type}]`)).join(" ");
}

function branchTexts({ kind, safeBranch }: AutopsyTurn): string[] {
  if (kind !== "regenerate") return [];
  if (safeBranch === null) return ["no complete answer was put aside"];
  return [`branch ${safeBranch} holds the newest complete answer: it is safe`];
}

function tailText(label: string, text: string, out: Output): string {
  if (text === "") return "";
  const isCut = text.length > TAIL_UNITS;
  const size = plural(text.length, "character");
  const head = `  ${out.style("dim", `${label} so far, ${size}${isCut ? ", the end of it" : ""}`)}\n`;
  return head + flowText((isCut ? "…" : "") + tail(text), { indent: "    ", width: out.width });
}

/** The end of a text, beginning with a whole character. */
function tail(text: string): string {
  const start = Math.max(0, text.length - TAIL_UNITS);
  const isLow = start > 0 && /[\udc00-\udfff]/.test(text.charAt(start));
  return text.slice(isLow ? start + 1 : start);
}

function toolTexts({ name, tool_id, verdict, state, ranMs, input }: AutopsyTool): string[] {
  const isFinished = verdict === "finished";
  const facts = [name, isFinished ? state : `${verdict.replace("-", " ")} (${state})`];
  if (ranMs !== null) facts.push(`${isFinished ? "ran" : "running"} ${duration(ranMs)}`);
  // Cut before it is made safe: an input can be megabytes.
  const shownInput = terminalLine(input.slice(0, 400));
  return [[...facts, tool_id].map(terminalLine).join(" · "), `  ${shownInput}`];
}

function lastSecondText({ lastSecond, lastEventAt }: AutopsyTurn, out: Output): string {
  const shown = lastSecond.slice(-MOST_EVENTS);
  const omitted = lastSecond.length - shown.length;
  const head = `last second, ${plural(lastSecond.length, "event")}${omitted === 0 ? "" : `, the newest ${shown.length}`}`;
  const lines = shown.map((event) => {
    const before = Math.max(0, lastEventAt.getTime() - endOfEvent(event));
    const cause = event.metadata["cause"];
    const what = terminalLine(typeof cause === "string" ? cause : event.type);
    const place = `-${(before / 1000).toFixed(3)} s  ${count(event.revision).padStart(6)}  ${what.padEnd(13)}`;
    return `    ${truncateText(`${place} ${summarizeEvent(event)}`, out.width - 4)}\n`;
  });
  return `  ${out.style("dim", head)}\n${lines.join("")}`;
}
