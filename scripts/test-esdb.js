/**
 * The tests that can run on a real EventStoreDB or KurrentDB server, on the one that TURNLOG_TEST_ESDB names; the
 * fixture's are left to `npm test`.
 */
import { spawnSync } from "node:child_process";

if (!process.env.TURNLOG_TEST_ESDB) {
  process.stderr.write(
    'test:esdb: TURNLOG_TEST_ESDB holds no connection string, such as "esdb://localhost:2113?tls=false".\n',
  );
  process.exit(2);
}

const suites = [
  "test/log/eventstoredb/contract",
  "test/log/eventstoredb/real-server",
  "test/store/store-model",
  "test/crash/turn-crash",
  "test/examples/agent-runtime",
];
const npm = process.platform === "win32" ? "npm.cmd" : "npm";
const run = (...args) => spawnSync(npm, ["run", "--silent", ...args], { stdio: "inherit" }).status ?? 1;
// One suite after the other: they share the server, and some measure nothing but patience.
process.exitCode =
  run("build") || run("jest", "--", "--runInBand", ...suites, "-t", "real EventStoreDB server");
