import { damagedExport } from "./export-format.ts";

/** A line holds an event of any log: the largest are 16 MiB, and escapes make six bytes of one. */
const MOST_LINE_BYTES = 128 * 1024 * 1024;

export interface NumberedLine {
  readonly text: string;
  /** From 1. */
  readonly number: number;
  /** Bytes from the beginning up to its end, its line end included. */
  readonly endOffset: number;
  /** False for a last line that no line end follows: it may have been cut. */
  readonly isTerminated: boolean;
}

/**
 * The lines of a stream of bytes, a line in memory at a time. Empty ones are left out.
 * @throws {DamageError} `damaged-export` for a line that is no UTF-8, or too long
 */
export async function* numberedLines(
  input: AsyncIterable<Uint8Array | string>,
): AsyncGenerator<NumberedLine> {
  let pieces: Buffer[] = [];
  let size = 0;
  let number = 1;
  let offset = 0;
  const decoder = new TextDecoder("utf-8", { fatal: true });
  const take = (isTerminated: boolean): NumberedLine => {
    const endOffset = offset + size + (isTerminated ? 1 : 0);
    try {
      return { text: decoder.decode(Buffer.concat(pieces, size)), number, endOffset, isTerminated };
    } catch (cause) {
      throw damagedExport(number, "it is not UTF-8", cause);
    }
  };
  for await (const piece of input) {
    const chunk = Buffer.from(piece);
    for (let from = 0; from < chunk.length;) {
      const newline = chunk.indexOf(0x0a, from);
      const to = newline === -1 ? chunk.length : newline;
      pieces.push(chunk.subarray(from, to));
      size += to - from;
      if (size > MOST_LINE_BYTES) throw damagedExport(number, `it is longer than ${MOST_LINE_BYTES} bytes`);
      from = to + 1;
      if (newline === -1) break;
      if (size > 0) yield take(true);
      offset += size + 1;
      pieces = [];
      size = 0;
      number += 1;
    }
  }
  if (size > 0) yield take(false);
}
