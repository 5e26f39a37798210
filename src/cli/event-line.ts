import type { RecordedEvent } from "../log/event-log.ts";
import { summarizeEvent } from "./event-summary.ts";
import { utcMilliseconds } from "./figures.ts";
import type { Output } from "./output.ts";
import { terminalLine } from "./terminal-text.ts";

/** The documented shape of `events --json`. Data and metadata are as stored, `time` is the writer's. */
export function eventJson({ position, revision, id, type, data, metadata }: RecordedEvent): object {
  return { position, revision, id, type, time: utcMilliseconds(metadata["time"]), data, metadata };
}

/** An event on one line that is safe for a terminal: position, revision, time, type, cause, what it says. */
export function eventLine(event: RecordedEvent, out: Output): string {
  const { position, revision, type, metadata } = event;
  const cause = metadata["cause"];
  const fields = [
    out.style("dim", String(position).padStart(7)),
    String(revision).padStart(6),
    out.style("dim", utcMilliseconds(metadata["time"]).padEnd(24)),
    terminalLine(type).padEnd(21),
    terminalLine(typeof cause === "string" ? cause : "-").padEnd(12),
    summarizeEvent(event),
  ];
  return fields.join(" ").trimEnd();
}
