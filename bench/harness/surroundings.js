/** What the figures depend on, printed with them; and the folder that the stores are made in. */
import { mkdirSync, readFileSync, rmdirSync, statfsSync } from "node:fs";
import { createRequire } from "node:module";
import { cpus, loadavg, release, tmpdir, totalmem, type } from "node:os";
import { join } from "node:path";
import { fileURLToPath } from "node:url";
import { DatabaseSync } from "@photostructure/sqlite";
import { peerVersions } from "./peers.js";

const ROOT = fileURLToPath(new URL("../..", import.meta.url));

/** Magic numbers of file systems in memory (statfs(2)). */
const IN_MEMORY = new Map([
  [0x01021994, "tmpfs"],
  [0x858458f6, "ramfs"],
]);

function inMemory(folder) {
  return IN_MEMORY.get(statfsSync(folder).type);
}

/**
 * A folder on a disk: the one asked for, the system's temporary one, or one in `bench`.
 * @returns `{path, remove}`; `remove` deletes what was made for this run.
 */
export function benchFolder(asked) {
  if (asked !== undefined) {
    const kind = inMemory(asked);
    if (kind !== undefined) throw new Error(`--dir ${asked} is ${kind}: a folder on a disk is needed.`);
    return { path: asked, remove() {} };
  }
  if (inMemory(tmpdir()) === undefined) return { path: tmpdir(), remove() {} };
  const path = join(ROOT, "bench", ".tmp");
  mkdirSync(path, { recursive: true });
  return { path, remove: () => rmdirSync(path) };
}

export function versions() {
  const version = (file) => JSON.parse(readFileSync(file, "utf8")).version;
  const require = createRequire(import.meta.url);
  const engine = new DatabaseSync(":memory:");
  const sqlite = engine.prepare("SELECT sqlite_version() AS version").get().version;
  engine.close();
  return {
    turnlog: version(join(ROOT, "package.json")),
    node: process.versions.node,
    v8: process.versions.v8,
    "@photostructure/sqlite": version(require.resolve("@photostructure/sqlite/package.json")),
    sqlite,
    ...peerVersions(),
    system: `${type()} ${release()}`,
    processor: `${cpus().length} × ${cpus()[0]?.model.trim() ?? "unknown"}`,
    "load at the start": loadavg()[0].toFixed(1),
    memory: `${Math.round(totalmem() / 2 ** 30)} GiB`,
  };
}
