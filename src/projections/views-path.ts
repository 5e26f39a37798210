import { createHash } from "node:crypto";
import { homedir } from "node:os";
import { join } from "node:path";
import { parseStoreUrl } from "../log/open-event-log.ts";

/**
 * Where the views of a store lie: beside a log in a file, in the platform's cache folder for one on a server, unless
 * the caller names a place. Undefined: none, because the caller wants none or the log is in memory.
 * @throws {InvalidInputError} `unknown-store-url`
 */
export function viewsPath(urlOrPath: string, given?: string | false): string | undefined {
  if (given !== undefined) return given === false ? undefined : given;
  const location = parseStoreUrl(urlOrPath);
  switch (location.engine) {
    case "memory":
      return undefined;
    case "sqlite":
      return `${location.path}.views`;
    case "eventstoredb": {
      // The URL may hold a password, and characters that no file name has.
      const name = createHash("sha256").update(location.url).digest("hex").slice(0, 16);
      return join(cacheFolder(process.env, process.platform), "turnlog", `${name}.views`);
    }
  }
}

/** The folder for what can be made again, as each platform has it. */
export function cacheFolder(env: NodeJS.ProcessEnv, platform: NodeJS.Platform): string {
  if (platform === "win32") return env["LOCALAPPDATA"] ?? join(homedir(), "AppData", "Local");
  if (platform === "darwin") return join(homedir(), "Library", "Caches");
  return env["XDG_CACHE_HOME"] || join(homedir(), ".cache");
}
