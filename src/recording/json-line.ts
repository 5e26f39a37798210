import type { StreamLine } from "./stream-lines.ts";

/** Deeper JSON can be parsed, but not written again without overflowing the stack. */
const MOST_NESTING = 1000;

/** The JSON value of a line; or the code and the message of what is wrong with it. */
export function parseLine(line: StreamLine): { value: unknown } | { code: string; message: string } {
  const { number, text, problem } = line;
  const malformed = (why: string) => ({ code: "malformed-line", message: `line ${number} ${why}` });
  if (text === undefined) return malformed(problem ?? "cannot be read");
  // Shorter texts cannot be nested so deeply.
  if (text.length > 2 * MOST_NESTING && jsonNesting(text).deepest > MOST_NESTING) {
    return malformed(`is nested deeper than ${MOST_NESTING} levels`);
  }
  try {
    return { value: JSON.parse(text) as unknown };
  } catch (error) {
    if (!line.isTerminated && jsonNesting(text).isCut) {
      return { code: "stream-ended-early", message: `The input ended in the middle of line ${number}.` };
    }
    return malformed(`is not JSON: ${error instanceof Error ? error.message : String(error)}`);
  }
}

/**
 * How deep a JSON text is nested, and whether it is the beginning of an object or array that is cut before its
 * end. For texts that JSON.parse refuses, or that it takes and JSON.stringify would overflow the stack with.
 */
function jsonNesting(text: string): { deepest: number; isCut: boolean } {
  let depth = 0;
  let deepest = 0;
  let isInString = false;
  let hasEnded = false;
  for (let at = 0; at < text.length; at++) {
    const character = text[at];
    if (isInString) {
      if (character === "\\") at++;
      else if (character === '"') isInString = false;
    } else if (character === '"') isInString = true;
    else if (character === "{" || character === "[") deepest = Math.max(deepest, ++depth);
    else if (character === "}" || character === "]") depth--;
    if (depth === 0) hasEnded = true;
  }
  return { deepest, isCut: !hasEnded && depth > 0 };
}
