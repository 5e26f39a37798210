/**
 * Makes `dist`, what is installed, out of `src`: a process that starts reads some forty files instead of two hundred,
 * and of zod what is used. See docs/decisions/2026-11-27-bundle.md.
 */
import { readFileSync, writeFileSync } from "node:fs";
import { fileURLToPath } from "node:url";
import { build } from "esbuild";

const ROOT = new URL("../", import.meta.url);
/** Packages whose code is taken into the bundle; all others are imported from where they are installed. */
const TAKEN_IN = ["zod"];

const { dependencies } = JSON.parse(readFileSync(new URL("package.json", ROOT), "utf8"));

const { metafile } = await build({
  absWorkingDir: fileURLToPath(ROOT),
  entryPoints: ["src/index.ts", "src/cli/main.ts", "src/testing/index.ts"],
  outdir: "dist",
  // As deep as dist/cli: src/cli/installed-files.ts finds the package's files from there.
  chunkNames: "chunks/[name]-[hash]",
  bundle: true,
  splitting: true,
  format: "esm",
  platform: "node",
  target: "node20",
  external: Object.keys(dependencies).filter((name) => !TAKEN_IN.includes(name)),
  sourcemap: "linked",
  metafile: true,
});

const packages = new Set(
  Object.keys(metafile.inputs).flatMap(
    (path) => /^node_modules\/((?:@[^/]+\/)?[^/]+)\//.exec(path)?.[1] ?? [],
  ),
);
const licences = [...packages].toSorted().map((name) => {
  const read = (file) => readFileSync(new URL(`node_modules/${name}/${file}`, ROOT), "utf8");
  return `${name} ${JSON.parse(read("package.json")).version}\n\n${read("LICENSE").trim()}\n`;
});
writeFileSync(
  new URL("dist/THIRD-PARTY-LICENSES.txt", ROOT),
  `Parts of these packages are in the files of this folder.\n\n${licences.join("\n")}`,
);
