import { spawn } from "node:child_process";
import { mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { fileURLToPath } from "node:url";
import { createInterface } from "node:readline";
import { describe, expect, it } from "@jest/globals";
import type { StoredPart, ToolPart } from "../../src/events/stored-part.ts";
import { openConversationStore } from "../../src/store/open-conversation-store.ts";
import { FixtureNode } from "../support/eventstoredb-fixture/fixture-node.ts";
import { NO_REAL_SERVER, ownLog, realServer } from "../support/real-server.ts";

const CHILD = fileURLToPath(new URL("turn-child.js", import.meta.url));
const KILLS = process.env["TURNLOG_TEST_LONG"] === undefined ? 12 : 1000;

/** Then another store begins: each process reads its session first, so that one store would take quadratic time. */
const KILLS_IN_A_STORE = 50;

/** What the child had been promised when it died. */
interface Reported {
  sent: number;
  promised: number;
  acknowledged: Set<string>;
  lastLine: string;
}

/** Every so many kills one may hit a tool call, the others mid-text, however busy the machine is. */
const ANYWHERE = 5;

/** Runs the child, kills it after so many lines, and returns what it had reported until then. */
async function runAndKill(
  path: string,
  session: string,
  seed: number,
  lines: number,
  isInText: boolean,
): Promise<Reported> {
  const quietFrom = isInText ? lines : Infinity;
  const child = spawn(process.execPath, [CHILD, path, session, String(seed), String(quietFrom)], {
    stdio: ["ignore", "pipe", "inherit"],
  });
  const reported: Reported = { sent: -1, promised: -1, acknowledged: new Set(), lastLine: "" };
  let count = 0;
  for await (const line of createInterface({ input: child.stdout })) {
    // What was written to the pipe before the kill counts as well: it was reported.
    const [what, value = ""] = line.split(" ");
    if (what === "sent") reported.sent = Number(value);
    else if (what === "acknowledged") reported.acknowledged.add(value);
    else reported.promised = Number(value);
    reported.lastLine = line;
    if (++count === lines) child.kill("SIGKILL");
  }
  return reported;
}

function expectAcknowledged(parts: StoredPart[], acknowledged: Set<string>): void {
  const tools = new Map(
    parts.filter((part): part is ToolPart => part.kind === "tool").map((tool) => [tool.tool_id, tool]),
  );
  for (const promise of acknowledged) {
    const [what, toolId = ""] = promise.split("-");
    if (what === "turn") continue;
    const tool = tools.get(toolId);
    expect(tool).toBeDefined();
    if (what === "start" || what === "result") expect(tool?.started_at).toBeGreaterThan(0);
    if (what === "result") expect(tool?.state).toBe("output-available");
  }
}

interface CrashStore {
  url: string;
  dispose(): Promise<void>;
}

async function inFile(): Promise<CrashStore> {
  const folder = mkdtempSync(join(tmpdir(), "turnlog-crash-"));
  const dispose = async (): Promise<void> => rmSync(folder, { recursive: true, force: true });
  return { url: join(folder, "conversations.db"), dispose };
}

async function onFixture(): Promise<CrashStore> {
  const node = await FixtureNode.start();
  return { url: node.url, dispose: () => node.close() };
}

const server = realServer();
if (server === undefined) it.skip(`a turn on a real EventStoreDB server (${NO_REAL_SERVER})`, () => {});
const onServer = async (): Promise<CrashStore> => ({ url: ownLog(server ?? ""), dispose: async () => {} });

type Place = [where: string, open: () => Promise<CrashStore>, kills: number];
const onRealServer: Place[] =
  server === undefined ? [] : [["on a real EventStoreDB server", onServer, KILLS / 2]];

describe.each<Place>([
  ["in a file", inFile, KILLS],
  ["on an EventStoreDB server that the fixture imitates", onFixture, KILLS / 2],
  ...onRealServer,
])("a turn %s whose process is killed", (_where, openCrashStore, kills) => {
  it(
    `keeps all that was acknowledged, on a delta boundary, in ${kills} kills at random moments`,
    async () => {
      let { url, dispose } = await openCrashStore();
      const firstSeed = Number(process.env["TURNLOG_TEST_SEED"] ?? Math.floor(Math.random() * 1_000_000));
      let inMidText = 0;
      try {
        for (let kill = 0; kill < kills; kill++) {
          if (kill > 0 && kill % KILLS_IN_A_STORE === 0) {
            await dispose();
            ({ url, dispose } = await openCrashStore());
          }
          const seed = firstSeed + kill;
          const session = `s${kill % 7}`;
          const isInText = kill % ANYWHERE !== ANYWHERE - 1;
          const reported = await runAndKill(url, session, seed, 2 + ((seed * 7919) % 90), isInText);
          const where = `seed ${seed}, last report "${reported.lastLine}"`;
          if (/^(sent|flushed|shown)/.test(reported.lastLine)) inMidText++;
          if (!reported.acknowledged.has("turn")) continue;
          // Another process opens the same store, as it is.
          const store = await openConversationStore(url);
          const message = await store.lastAssistantMessage(session);
          const text = message.parts
            .map((part) => (part.kind === "text" ? (part as { text: string }).text : ""))
            .join("");
          const kept = text === "" ? [] : text.slice(0, -1).split(";");
          expect({ where, kept }).toEqual({ where, kept: kept.map((_, index) => String(index)) });
          expect({ where, text: text === "" || text.endsWith(";") }).toEqual({ where, text: true });
          expect(kept.length - 1).toBeGreaterThanOrEqual(reported.promised);
          expect(kept.length - 1).toBeLessThanOrEqual(reported.sent);
          expectAcknowledged(message.parts, reported.acknowledged);
          expect({
            where,
            recovered: await store.recoverInterruptedTurns({ sessionId: session }),
          }).toMatchObject({
            recovered: [{ sessionId: session, messageId: message.id, writer: { verdict: "dead" } }],
          });
          const next = await store.beginTurn(session);
          void next.textDelta("and on");
          await next.finish();
          await store.close();
        }
        expect(inMidText).toBeGreaterThanOrEqual(kills * 0.8);
      } finally {
        await dispose();
      }
    },
    kills * 30_000, // A bound for what hangs: a child takes a second, and many on a busy machine.
  );
});
