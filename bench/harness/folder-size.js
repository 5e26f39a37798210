import { readdirSync, statSync } from "node:fs";
import { join } from "node:path";

/** Bytes of all files in a folder and below, without the folders that are not wanted. */
export function folderBytes(folder, isUnwanted = () => false) {
  let bytes = 0;
  for (const entry of readdirSync(folder, { withFileTypes: true })) {
    const path = join(folder, entry.name);
    if (entry.isFile()) bytes += statSync(path).size;
    else if (entry.isDirectory() && !isUnwanted(entry.name)) bytes += folderBytes(path, isUnwanted);
  }
  return bytes;
}
