import { mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";

// The views of stores on servers lie in the user's cache folder, and must not be left there by tests.
const cacheFolder = mkdtempSync(join(tmpdir(), "turnlog-test-cache-"));
process.env.XDG_CACHE_HOME = cacheFolder;
process.once("exit", () => rmSync(cacheFolder, { recursive: true, force: true }));

export default {
  testEnvironment: "node",
  roots: ["<rootDir>/test"],
  testMatch: ["**/*.test.ts"],
  extensionsToTreatAsEsm: [".ts"],
  transform: {
    "\\.ts$": [
      "@swc/jest",
      { jsc: { parser: { syntax: "typescript" }, target: "es2023" }, module: { type: "es6" } },
    ],
  },
  maxWorkers: 2,
  // A worker keeps something of each file that it has run; the last ones would be collecting garbage.
  workerIdleMemoryLimit: "1GB",
  testSequencer: "<rootDir>/test/slowest-first.js",
  // Far above what any test takes: a machine may be busy with other things, and a hang is found all the same.
  testTimeout: 300_000,
};
