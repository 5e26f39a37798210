import { existsSync, readFileSync, readdirSync } from "node:fs";
import { dirname, join } from "node:path";
import { fileURLToPath } from "node:url";

const root = fileURLToPath(new URL("../..", import.meta.url));

/**
 * The folder of the recorded provider streams: $TURNLOG_RECORDINGS, or `shared/recordings` beside this checkout or
 * beside a folder that it lies in; undefined where there is none.
 */
export function recordingsFolder(): string | undefined {
  const named = process.env["TURNLOG_RECORDINGS"];
  if (named !== undefined) return named;
  for (let folder = root; dirname(folder) !== folder; folder = dirname(folder)) {
    const recordings = join(dirname(folder), "shared", "recordings");
    if (existsSync(recordings)) return recordings;
  }
  return undefined;
}

/** The recorded provider streams by name. None of them in a folder that was named is an error. */
export function recordings(): { name: string; stream: string }[] {
  const folder = recordingsFolder();
  if (folder === undefined) return [];
  const names = readdirSync(folder).filter((name) => name.endsWith(".chunks.txt"));
  if (names.length === 0) throw new Error(`There are no recorded streams (*.chunks.txt) in ${folder}.`);
  return names.map((name) => ({ name, stream: readFileSync(join(folder, name), "utf8") }));
}

/** Says on the terminal that there were none: what was checked without them is less. */
export function sayThatThereAreNoRecordings(checked: string): void {
  console.warn(
    `No recorded streams: no folder shared/recordings beside or above ${root}, and TURNLOG_RECORDINGS names none. ${checked} with the own samples only.`,
  );
}
