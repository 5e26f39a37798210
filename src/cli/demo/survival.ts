import type { StoredPart, TextPart, ToolPart } from "../../events/stored-part.ts";
import type { DemoLine, SentPart } from "./demo-recording.ts";

export interface Survival {
  /** Lines that were handed to the recorder. */
  sentLines: number;
  /** Lines whose content is in the log. */
  keptLines: number;
  /** Lines that the log had shown to another process before the kill: these had to survive. */
  seenLines: number;
}

/** The stored parts in the words of the recording; citations and steps are not compared. */
export function toSentParts(parts: readonly StoredPart[]): SentPart[] {
  return parts.flatMap((part): SentPart[] => {
    if (part.kind === "tool") {
      const { name, input, state } = part as ToolPart;
      return [{ kind: "tool", text: input, name, state: state as NonNullable<SentPart["state"]> }];
    }
    if (part.kind !== "text" && part.kind !== "reasoning") return [];
    return [{ kind: part.kind as "text" | "reasoning", text: (part as TextPart).text }];
  });
}

/**
 * How many of the lines sent make exactly these parts; undefined where no number does: then what is stored is not
 * a prefix of what was sent, on the boundary of a delta.
 */
export function linesThatMake(
  parts: readonly StoredPart[],
  lines: readonly DemoLine[],
  sentLines: number,
): number | undefined {
  const stored = key(toSentParts(parts));
  for (let count = sentLines; count > 0; count--) {
    if (key(lines[count - 1]?.parts ?? []) === stored) return count;
  }
  return stored === key([]) ? 0 : undefined;
}

function key(parts: readonly SentPart[]): string {
  return JSON.stringify(parts.map(({ kind, name, text, state }) => [kind, name, text, state]));
}

export interface DeltaTotal {
  deltas: number;
  characters: number;
}

export function totalOf(lines: readonly DemoLine[], count: number): DeltaTotal {
  const deltas = lines.slice(0, count).filter(({ deltaLength }) => deltaLength > 0);
  return { deltas: deltas.length, characters: deltas.reduce((sum, line) => sum + line.deltaLength, 0) };
}
