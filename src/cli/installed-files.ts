/**
 * Files of this package beside its code. What is built lies as deep as this file does, two folders below the
 * package: in `dist/cli`, or in `dist/chunks`.
 */

/** The package's own package.json. */
export const MANIFEST = new URL("../../package.json", import.meta.url);

/** What the command `turnlog` runs. */
export const MAIN = new URL("../cli/main.js", import.meta.url);

/** @param name of a file in `demo/` */
export function demoFile(name: string): URL {
  return new URL(`../../demo/${name}`, import.meta.url);
}
