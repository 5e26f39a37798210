import { crc32 } from "node:zlib";

/** What TurnEnded says of the content: its length in UTF-16 units and the CRC-32 of its UTF-16LE bytes. */
export function contentChecksum(content: string): { length: number; crc32: number } {
  // UTF-16 and not UTF-8: contents may hold lone surrogates, which UTF-8 cannot tell apart.
  return { length: content.length, crc32: crc32(Buffer.from(content, "utf16le")) };
}
