/**
 * The tests that can run on a real EventStoreDB or KurrentDB server, on the one that TURNLOG_TEST_ESDB names; the
 * fixture's are left to `npm test`. Where TURNLOG_TEST_ESDB_START says how that server is started, it is started
 * here, and killed and started again by the tests of that.
 */
import { spawn, spawnSync } from "node:child_process";
import { randomUUID } from "node:crypto";
import { once } from "node:events";

const { TURNLOG_TEST_ESDB_START: startCommand, ...env } = process.env;
const url = env.TURNLOG_TEST_ESDB;
if (!url) {
  process.stderr.write(
    'test:esdb: TURNLOG_TEST_ESDB holds no connection string, such as "esdb://localhost:2113?tls=false".\n',
  );
  process.exit(2);
}

const faults = "test/log/eventstoredb/real-server";
const suites = [
  "test/log/eventstoredb/contract",
  faults,
  "test/store/store-model",
  "test/crash/turn-crash",
  "test/examples/agent-runtime",
];
const npm = process.platform === "win32" ? "npm.cmd" : "npm";
const run = (environment, ...args) =>
  spawnSync(npm, ["run", "--silent", ...args], { stdio: "inherit", env: environment }).status ?? 1;
// One suite after the other: they share the server, and some measure nothing but patience.
const runTests = (environment, name, ...which) =>
  run(environment, "jest", "--", "--runInBand", ...which, "-t", name);

process.exitCode = run(env, "build");
if (process.exitCode === 0) {
  const stop = startCommand ? await startServer(startCommand) : undefined;
  process.exitCode = runTests(env, "real EventStoreDB server", ...suites);
  await stop?.();
  // Apart from the others, which need a server that stays: these have one of their own.
  if (startCommand) process.exitCode ||= runTests(process.env, "server that is killed", faults);
}

/** Resolves when the server takes appends, with what ends it. */
async function startServer(command) {
  const server = spawn(command, { shell: true, detached: true, stdio: "ignore" });
  const ended = once(server, "exit");
  const stop = async () => {
    if (server.exitCode === null && server.signalCode === null) process.kill(-server.pid, "SIGKILL");
    await ended;
  };
  process.once("SIGINT", () => stop().finally(() => process.exit(130)));
  try {
    const { openEventStoreDbEventLog } = await import("../build/log/eventstoredb/eventstoredb-event-log.js");
    const own = `${url}${url.includes("?") ? "&" : "?"}log=test-${randomUUID()}`;
    await (await openEventStoreDbEventLog(own, { openDeadlineMs: 120_000 })).close();
  } catch (failure) {
    await stop();
    throw failure;
  }
  return stop;
}
