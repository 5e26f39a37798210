import { crc32 } from "node:zlib";

const CHUNK_UNITS = 32_768;
/** Used again and again: to allocate it costs as much as the checksum of a usual content. */
const chunk = Buffer.allocUnsafeSlow(2 * CHUNK_UNITS);

/** What TurnEnded says of the content: its length in UTF-16 units and the CRC-32 of its UTF-16LE bytes. */
export function contentChecksum(content: string): { length: number; crc32: number } {
  // UTF-16 and not UTF-8: contents may hold lone surrogates, which UTF-8 cannot tell apart.
  let crc = 0;
  for (let at = 0; at < content.length; at += CHUNK_UNITS) {
    const bytes = chunk.write(content.slice(at, at + CHUNK_UNITS), "utf16le");
    crc = crc32(chunk.subarray(0, bytes), crc);
  }
  return { length: content.length, crc32: crc };
}
