/** What installing a package puts on the disk, told from a lock file and the folders of an installation that is there. */
import { execFileSync } from "node:child_process";
import { existsSync, readFileSync } from "node:fs";
import { dirname, join } from "node:path";
import { fileURLToPath } from "node:url";
import { folderBytes } from "./folder-size.js";

const ROOT = fileURLToPath(new URL("../..", import.meta.url));
const BENCH = join(ROOT, "bench");

const readLock = (folder) => JSON.parse(readFileSync(join(folder, "package-lock.json"), "utf8")).packages;

/** Where Node.js finds a package that another one asks for: in its own folder, or in one above. */
function placeOf(lock, from, name) {
  for (let folder = from; ; folder = dirname(folder)) {
    const place = join(folder, "node_modules", name).replaceAll("\\", "/");
    if (lock[place] !== undefined) return place;
    if (folder === "" || folder === ".") return undefined;
  }
}

/** The places of all packages that these bring along. Optional ones that are for other platforms are not there. */
function closure(lock, names) {
  const places = new Set();
  const add = (from, name) => {
    const place = placeOf(lock, from, name);
    if (place === undefined || places.has(place)) return;
    places.add(place);
    const { dependencies, optionalDependencies, peerDependencies, peerDependenciesMeta = {} } = lock[place];
    for (const needed of Object.keys({ ...dependencies, ...optionalDependencies, ...peerDependencies }))
      if (peerDependenciesMeta[needed]?.optional !== true) add(place, needed);
  };
  for (const name of names) add("", name);
  return places;
}

function sizes(folder, names) {
  const lock = readLock(folder);
  const places = [...closure(lock, names)].filter((place) => existsSync(join(folder, place)));
  const bytesAt = (place) => folderBytes(join(folder, place), (name) => name === "node_modules");
  const bytes = places.reduce((sum, place) => sum + bytesAt(place), 0);
  const own = names.reduce((sum, name) => sum + bytesAt(`node_modules/${name}`), 0);
  return { ownBytes: own, bytes, packages: places.length };
}

/** Of peers, as they are installed beside this benchmark. */
export function peerInstallation(names) {
  return sizes(BENCH, names);
}

/** Of turnlog: what `npm pack` would publish, with its dependencies. */
export function ownInstallation() {
  const [packed] = JSON.parse(
    execFileSync("npm", ["pack", "--dry-run", "--json", "--ignore-scripts"], { cwd: ROOT, encoding: "utf8" }),
  );
  const { dependencies } = JSON.parse(readFileSync(join(ROOT, "package.json"), "utf8"));
  const { bytes, packages } = sizes(ROOT, Object.keys(dependencies));
  return { ownBytes: packed.unpackedSize, bytes: bytes + packed.unpackedSize, packages: packages + 1 };
}
