import { basename } from "node:path";
import type { StoredMessage } from "../../projections/stored-message.ts";
import type { UnendedTurnReport } from "../../store/recovery.ts";
import { messageText } from "../conversation-text.ts";
import { bytes, count, duration, plural } from "../figures.ts";
import type { Output } from "../output.ts";
import { tableLines } from "../table.ts";
import { terminalLine } from "../terminal-text.ts";
import type { DemoLine } from "./demo-recording.ts";
import type { SnapshotCost } from "./demo-sizes.ts";
import { type Survival, totalOf } from "./survival.ts";

const TAIL = 28;

/** The words of the demo. */
export class DemoPrinter {
  readonly #out: Output;

  constructor(out: Output) {
    this.#out = out;
  }

  async beginning(storeUrl: string, sessionId: string, question: string): Promise<void> {
    await this.#heading(`A process records an answer as it streams in (session ${sessionId})`);
    await this.#dim(`What follows is read back from the log, ${terminalLine(storeUrl)}, by another process.`);
    await this.#question(question);
  }

  async killed(pid: number | undefined, sent: number, total: number, afterMs: number): Promise<void> {
    const when = `${duration(afterMs)} after chunk ${sent} of ${total}`;
    await this.#out.line(`  ${this.#out.style(["bold", "red"], `✂ kill -9 ${pid ?? ""}`)}, ${when}`);
  }

  async survival(
    lines: readonly DemoLine[],
    survival: Survival | undefined,
    survived: boolean,
  ): Promise<void> {
    await this.#heading("What survived");
    if (survival === undefined) {
      return this.#verdict(false, "What the log holds is not a beginning of what was sent.");
    }
    const { sentLines, keptLines } = survival;
    const sent = totalOf(lines, sentLines);
    const kept = totalOf(lines, keptLines);
    const rows = [
      ["deltas", count(sent.deltas), count(kept.deltas)],
      ["characters", count(sent.characters), count(kept.characters)],
      ["ends with", tail(lines, sentLines), tail(lines, keptLines)],
    ];
    const columns = [
      { title: "" },
      { title: "sent", align: "right" as const },
      { title: "kept", align: "right" as const },
    ];
    for (const line of tableLines(columns, rows)) await this.#out.line(`  ${line}`);
    await this.#tools(lines, keptLines);
    const lost = sent.deltas - kept.deltas;
    const loss =
      lost === 0
        ? "Nothing was lost."
        : `${plural(lost, "delta")} had not been written yet (the window is 20 ms).`;
    await this.#verdict(
      survived,
      survived
        ? `All that the log had shown before the kill is there, whole to the delta. ${loss}`
        : "The log had shown more before the kill than it holds now.",
    );
  }

  async #tools(lines: readonly DemoLine[], keptLines: number): Promise<void> {
    for (const { kind, name, state, text } of lines[keptLines - 1]?.parts ?? []) {
      if (kind !== "tool") continue;
      const isOpen = state !== "output-available";
      const shown = isOpen ? `${state}: ${text}` : state;
      const line = terminalLine(`▸ ${name ?? ""} ${shown ?? ""}`);
      await this.#out.line(`  ${this.#out.style(isOpen ? "yellow" : "dim", line)}`);
    }
  }

  async recovered({ messageId, writer, tools }: UnendedTurnReport): Promise<void> {
    await this.#heading("Recovery, as a runtime does it when it starts");
    const process = writer.description === undefined ? "" : ` (pid ${writer.description.pid})`;
    await this.#out.line(
      `  The writer of message #${messageId}${process} is ${writer.verdict}: its turn ends as interrupted.`,
    );
    for (const { name, verdict } of tools) {
      const advice = verdict === "not-started" ? "safe to call again" : "look before calling it again";
      await this.#out.line(`  ${terminalLine(`▸ ${name} ${verdict}`)}: ${advice}.`);
    }
  }

  async nextTurn(question: string): Promise<void> {
    await this.#heading("The next turn");
    await this.#question(question);
  }

  async conversation(messages: readonly StoredMessage[]): Promise<void> {
    await this.#heading("The conversation, as a user interface would read it");
    for (const [index, message] of messages.entries()) {
      const text = messageText(message, this.#out, { reasoning: false });
      await this.#out.write(index === 0 ? text : `\n${text}`);
    }
  }

  async sizes(events: number, eventBytes: number, snapshots: SnapshotCost): Promise<void> {
    await this.#heading("What it takes");
    await this.#size(eventBytes, `in the log, ${plural(events, "event")}`);
    const writes = plural(snapshots.writes, "write");
    await this.#size(snapshots.bytes, `had the whole message been saved at each change, ${writes}`);
  }

  async fileSize(path: string, size: number): Promise<void> {
    await this.#size(size, `the file ${terminalLine(basename(path))}, with all that earlier runs left in it`);
  }

  /** @param crashRevision the newest event when the process had been killed */
  async whereToLook(sessionId: string, crashRevision: number, storeArguments: string): Promise<void> {
    await this.#heading("Look further");
    const commands = [
      ["the conversation", `show ${sessionId} --reasoning`],
      ["as the crash left it", `show ${sessionId} --at ${crashRevision}`],
      ["every event", `events ${sessionId}`],
    ].map(([what = "", command = ""]) => [`npx turnlog ${command}${storeArguments}`, `# ${what}`]);
    const [, ...lines] = tableLines([{ title: "" }, { title: "" }], commands);
    for (const line of lines) await this.#out.line(`  ${line}`);
  }

  async #heading(text: string): Promise<void> {
    await this.#out.line(`\n${this.#out.style("bold", `── ${text}`)}`);
  }

  async #dim(text: string): Promise<void> {
    await this.#out.line(`  ${this.#out.style("dim", text)}`);
  }

  async #question(text: string): Promise<void> {
    await this.#out.line(`\n  ${this.#out.style(["bold", "cyan"], "user")} ${text}\n`);
  }

  async #verdict(isGood: boolean, text: string): Promise<void> {
    const sign = isGood ? this.#out.style("green", "✔") : this.#out.style("red", "✘");
    await this.#out.line(`  ${sign} ${text}`);
  }

  async #size(size: number, what: string): Promise<void> {
    await this.#out.line(`  ${bytes(size).padStart(9)}  ${what}`);
  }
}

function tail(lines: readonly DemoLine[], count: number): string {
  const text = lines[count - 1]?.parts.at(-1)?.text ?? "";
  return terminalLine(text.length > TAIL ? `…${text.slice(-TAIL)}` : text);
}
