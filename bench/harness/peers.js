/** The packages that turnlog is measured beside. They are no dependencies of turnlog: `bench` has its own package.json. */
import { existsSync, readFileSync } from "node:fs";
import { fileURLToPath } from "node:url";

export const INSTALL_PEERS = "npm ci --prefix bench";

const MODULES = fileURLToPath(new URL("../node_modules", import.meta.url));

/** By candidate, the packages that it needs. */
const PACKAGES = {
  emmett: ["@event-driven-io/emmett", "@event-driven-io/emmett-sqlite", "sqlite3"],
  langgraph: ["@langchain/langgraph", "@langchain/langgraph-checkpoint-sqlite", "better-sqlite3"],
  "node-event-storage": ["event-storage"],
  "durable-streams": ["@durable-streams/server"],
};

const manifest = (name) => `${MODULES}/${name}/package.json`;

/** Candidates may have variants: `langgraph-per-step` needs what `langgraph` needs. */
function packagesOf(candidate) {
  const peer = Object.keys(PACKAGES).find(
    (name) => candidate === name || candidate.startsWith(`${name}-per-`),
  );
  return peer === undefined ? [] : PACKAGES[peer];
}

export function isInstalled(candidate) {
  return packagesOf(candidate).every((name) => existsSync(manifest(name)));
}

/** Versions of the packages that are installed. */
export function peerVersions() {
  const versions = {};
  for (const name of Object.values(PACKAGES).flat())
    if (existsSync(manifest(name))) versions[name] = JSON.parse(readFileSync(manifest(name), "utf8")).version;
  return versions;
}
