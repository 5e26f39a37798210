/**
 * Lines of a stream of bytes or strings, and the JSON in them. Bytes are split before they are decoded, so a
 * character that two chunks share is whole again; a line that is no UTF-8 is reported, not repaired.
 */

/** Longest line, in bytes (of a string: UTF-16 units). */
export const MAX_LINE_BYTES = 16 * 1024 * 1024;

export interface StreamLine {
  /** From 1, blank lines and comments counted. */
  number: number;
  /** The line's JSON text, without `data:`; undefined where the line cannot be read at all. */
  text: string | undefined;
  /** Why it cannot be read. */
  problem?: string;
  /** False for a last line that no newline ended: the input may have been cut in it. */
  isTerminated: boolean;
}

type Piece = string | Uint8Array;

/** Blank lines, comments and the fields of server-sent events around the data; `[DONE]` ends a stream of chunks. */
const IGNORED = /^(?::|event:|id:|retry:|\[DONE\]$|$)/;

/**
 * The lines that hold data. After a line with a `problem` nothing more comes. Closing it closes the input.
 */
export async function* streamLines(
  input: AsyncIterable<Piece>,
  maxLineBytes = MAX_LINE_BYTES,
): AsyncGenerator<StreamLine, void, undefined> {
  let pieces: Piece[] = [];
  let size = 0;
  let number = 1;
  for await (const chunk of input) {
    let from = 0;
    for (;;) {
      const newline = typeof chunk === "string" ? chunk.indexOf("\n", from) : chunk.indexOf(0x0a, from);
      const to = newline === -1 ? chunk.length : newline;
      size += to - from;
      if (size > maxLineBytes) {
        const problem = `is longer than ${maxLineBytes} bytes`;
        yield { number, text: undefined, problem, isTerminated: newline !== -1 };
        return;
      }
      if (newline === -1) {
        // A copy: streams may use the memory of a chunk again.
        pieces.push(typeof chunk === "string" ? chunk.slice(from) : new Uint8Array(chunk.subarray(from)));
        break;
      }
      pieces.push(typeof chunk === "string" ? chunk.slice(from, to) : chunk.subarray(from, to));
      const line = toLine(number, pieces, true);
      if (line !== undefined) yield line;
      if (line?.problem !== undefined) return;
      pieces = [];
      size = 0;
      number++;
      from = newline + 1;
    }
  }
  const line = toLine(number, pieces, false);
  if (line !== undefined) yield line;
}

function toLine(number: number, pieces: readonly Piece[], isTerminated: boolean): StreamLine | undefined {
  let text: string;
  try {
    text = decode(pieces);
  } catch {
    return { number, text: undefined, problem: "is not UTF-8", isTerminated };
  }
  if (number === 1 && text.startsWith("\uFEFF")) text = text.slice(1);
  const data = (text.startsWith("data:") ? text.slice("data:".length) : text).trim();
  return IGNORED.test(data) ? undefined : { number, text: data, isTerminated };
}

/** @throws {TypeError} where bytes are not UTF-8. */
function decode(pieces: readonly Piece[]): string {
  const [first] = pieces;
  if (pieces.length === 1 && typeof first === "string") return first;
  // One decoder for the whole line: a character may have come in two chunks.
  const decoder = new TextDecoder("utf-8", { fatal: true, ignoreBOM: true });
  let text = "";
  for (const piece of pieces)
    text += typeof piece === "string" ? piece : decoder.decode(piece, { stream: true });
  return text + decoder.decode();
}
