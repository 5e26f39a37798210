import { constants } from "node:fs";
import { type FileHandle, open, stat, unlink } from "node:fs/promises";
import { InvalidInputError, StoreError } from "../errors.ts";
import type { ExportedSoFar } from "../forensics/transfer.ts";

export interface ExportedFile {
  file: string;
  /** Events that were written now. */
  exported: number;
  /** Events that an earlier run has written. */
  alreadyThere: number;
}

/** Lines that are written at a time, in UTF-16 units. */
const WRITTEN_UNITS = 262_144;
const READ_BYTES = 262_144;

/**
 * Writes an export to a file, or goes on with the one that is there. What was written stays if it is stopped.
 * @param linesFrom the lines behind those that are there
 * @throws {InvalidInputError} `not-an-export` for a file that holds something else: it is not overwritten
 * @throws {StoreError} `cannot-open`
 */
export async function exportToFile(
  path: string,
  linesFrom: (soFar: ExportedSoFar | undefined) => AsyncIterable<string>,
): Promise<ExportedFile> {
  const wasThere = await stat(path).then(
    () => true,
    () => false,
  );
  const file = await openExport(path);
  try {
    const soFar = await readSoFar(path, file);
    const alreadyThere = soFar?.events ?? 0;
    const lines = await writeLines(file, soFar?.bytes ?? 0, linesFrom(soFar));
    // The header and the end are no events.
    const others = soFar === undefined ? 2 : 1;
    return { file: path, exported: lines - others, alreadyThere };
  } catch (error) {
    // Of an export that came to nothing, nothing is left behind.
    if (!wasThere && (await file.stat()).size === 0) await unlink(path);
    throw error;
  } finally {
    await file.close();
  }
}

async function openExport(path: string): Promise<FileHandle> {
  let file: FileHandle | undefined;
  try {
    file = await open(path, constants.O_RDWR | constants.O_CREAT);
    if ((await file.stat()).isFile()) return file;
  } catch (cause) {
    await file?.close();
    throw new StoreError("cannot-open", `The export ${path} cannot be written: ${String(cause)}.`, { cause });
  }
  await file.close();
  throw new InvalidInputError("not-an-export", `${path} is no file; without --out it goes to stdout.`);
}

async function readSoFar(path: string, file: FileHandle): Promise<ExportedSoFar | undefined> {
  if ((await file.stat()).size === 0) return undefined;
  const { readExportedSoFar } = await import("../forensics/transfer.ts");
  const soFar = await readExportedSoFar(bytesOf(file));
  if (soFar !== undefined) return soFar;
  throw new InvalidInputError("not-an-export", `${path} is there and is no export; it was not overwritten.`);
}

/** Not a stream of Node's: one that is not read to its end closes the file. */
async function* bytesOf(file: FileHandle): AsyncGenerator<Uint8Array> {
  for (let position = 0; ;) {
    const { bytesRead, buffer } = await file.read(Buffer.alloc(READ_BYTES), 0, READ_BYTES, position);
    if (bytesRead === 0) return;
    yield buffer.subarray(0, bytesRead);
    position += bytesRead;
  }
}

/** @returns how many lines there were */
async function writeLines(file: FileHandle, from: number, lines: AsyncIterable<string>): Promise<number> {
  let position = from;
  let count = 0;
  let text = "";
  let isFirst = true;
  const write = async (): Promise<void> => {
    // Only now: where the export cannot be gone on with, the file stays as it is.
    if (isFirst) await file.truncate(from);
    isFirst = false;
    const bytes = Buffer.from(text);
    text = "";
    for (let written = 0; written < bytes.length;) {
      const { bytesWritten } = await file.write(bytes, written, bytes.length - written, position);
      written += bytesWritten;
      position += bytesWritten;
    }
  };
  try {
    for await (const line of lines) {
      text += `${line}\n`;
      count += 1;
      if (text.length >= WRITTEN_UNITS) await write();
    }
  } finally {
    if (text !== "") await write();
    await file.sync();
  }
  return count;
}
