import { spawn } from "node:child_process";
import { mkdtempSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { text } from "node:stream/consumers";
import { fileURLToPath } from "node:url";
import { describe, expect, it } from "@jest/globals";
import fc from "fast-check";
import { logSource, transfer } from "../../src/forensics/transfer.ts";
import { MemoryEventLog } from "../../src/log/memory-event-log.ts";
import type { ConversationStore } from "../../src/store/conversation-store.ts";
import { FaultyEventLog } from "../../src/testing/faulty-event-log.ts";
import { firstSeed } from "../crash/kill-child.ts";
import { anyText, propertyRuns } from "../support/arbitraries.ts";
import { fillRichly } from "../support/rich-session.ts";
import {
  StoreUrls,
  copy,
  exportOf,
  told,
  withLog,
  withStoreAt,
  withoutIds,
  written,
} from "./transfer-support.ts";

/** However often a transfer is stopped, and wherever: run again to its end it is as if it had never been. */

const deed = fc.record({
  session: fc.constantFrom("a", "b", "c"),
  what: fc.constantFrom("say", "turn", "regenerate", "compact", "delete", "title", "purge"),
  text: anyText(),
});

async function live(
  store: ConversationStore,
  deeds: readonly { session: string; what: string; text: string }[],
) {
  for (const { session, what, text: words } of deeds) {
    if (what === "say") await store.saveMessage(session, "user", words);
    if (what === "title") await store.updateSession(session, { title: words });
    if (what === "delete") await store.deleteSession(session);
    if (what === "purge") await store.purgeSession(session);
    if (what === "compact") await store.replaceMessages(session, [{ role: "system", content: words }]);
    if (what !== "turn" && what !== "regenerate") continue;
    const turn = await (what === "turn"
      ? store.beginTurn(session, { user: words })
      : store.regenerate(session));
    for (const word of words) void turn.textDelta(word);
    await turn.finish();
  }
}

describe("a transfer that is stopped", () => {
  it("by any failure of the target, is gone on with: no event is missing and none doubled", () =>
    fc.assert(
      fc.asyncProperty(
        fc.array(deed, { minLength: 1, maxLength: 12 }),
        fc.array(fc.record({ skip: fc.nat(12), isLost: fc.boolean() }), { minLength: 1, maxLength: 5 }),
        fc.boolean(),
        async (deeds, faults, isRenewed) => {
          const urls = new StoreUrls("");
          const [source, target, whole] = [urls.next("memory"), urls.next("memory"), urls.next("memory")];
          await withStoreAt(source, (store) => live(store, deeds));
          if (isRenewed) {
            for (const url of [target, whole])
              await withStoreAt(url, (store) => store.saveMessage("its own", "user", "hello"));
          }
          await copy(source, whole);
          for (const { skip, isLost } of faults) {
            await withLog(source, async (from) => {
              const log = new FaultyEventLog(new MemoryEventLog({ name: target.slice("memory:".length) }));
              log.inject({ kind: isLost ? "answer-lost" : "append-fails" }, { skip });
              const copied = await transfer(await logSource(from), log).then(
                () => "done",
                () => "failed",
              );
              expect(copied).toBe(log.injected.length > 0 ? "failed" : "done");
              await log.close();
            });
          }
          await copy(source, target);
          expect(await copy(source, target)).toMatchObject({ appended: 0 });
          if (!isRenewed) expect(await written(target)).toEqual(await written(whole));
          expect(counts(await written(target))).toEqual(counts(await written(whole)));
          expect(withoutIds(await eachOf(target))).toEqual(withoutIds(await eachOf(whole)));
          await urls.close();
        },
      ),
      propertyRuns(25),
    ));
});

/** Events of each session. */
function counts(streams: Map<string, unknown[]>): [string, number][] {
  const sessions = [...streams].filter(([name]) => name.startsWith("conversation-"));
  return sessions.map(([name, events]) => [name, events.length]);
}

async function eachOf(url: string): Promise<unknown> {
  return ((await told(url)) as { each: { id: string }[] }).each.filter(({ id }) => id !== "its own");
}

const CHILD = fileURLToPath(new URL("children/transfer-child.js", import.meta.url));
/** Turns of the event loop that a transfer takes, about: of a small log, and with the start of the process. */
const TURNS = 2_500;
const KILLS = process.env["TURNLOG_TEST_LONG"] === undefined ? 2 : 100;

/** Runs it until it kills itself. True where it was done before. */
async function runUntilKilled(what: string, turns: number, from: string, to: string): Promise<boolean> {
  const child = spawn(process.execPath, [CHILD, what, String(turns), from, to]);
  const signal = new Promise((resolve) => child.once("exit", (_code, each) => resolve(each)));
  const [stdout, stderr] = await Promise.all([text(child.stdout), text(child.stderr)]);
  expect({ stderr, signal: await signal }).toEqual({ stderr: "", signal: "SIGKILL" });
  return stdout === "done";
}

describe("a process that is killed", () => {
  it.each(["export", "import", "copy under new ids"] as const)(
    "in the middle of %s, again and again, leaves what the next goes on with",
    async (name) => {
      const folder = mkdtempSync(join(tmpdir(), "turnlog-transfer-"));
      try {
        const source = join(folder, "source.db");
        await withStoreAt(source, async (store) => {
          await fillRichly(store, "rich");
          for (let n = 0; n < 12; n++) {
            for (let k = 0; k < 40; k++)
              void store.saveMessage(`s${n}`, "user", `${n} ${k} ${"x".repeat(50)}`);
          }
        });
        const exported = await exportOf(source);
        const what = name === "copy under new ids" ? "copy" : name;
        const to = join(folder, what === "export" ? "out.jsonl" : "target.db");
        if (name === "copy under new ids")
          await withStoreAt(to, (store) => store.saveMessage("its own", "user", "hello"));
        const from = what === "import" ? join(folder, "whole.jsonl") : source;
        if (what === "import") writeFileSync(from, exported);
        for (let kill = 0; kill < KILLS; kill++)
          await runUntilKilled(what, (firstSeed * 7919 + kill * 997) % TURNS, from, to);
        expect(await runUntilKilled(what, 1_000_000_000, from, to)).toBe(true);
        if (what === "export") {
          expect(readFileSync(to, "utf8")).toBe(exported);
          return;
        }
        expect(await copy(source, to)).toMatchObject({ appended: 0 });
        if (name !== "copy under new ids") expect(await written(to)).toEqual(await written(source));
        expect(withoutIds(await eachOf(to))).toEqual(withoutIds(await eachOf(source)));
      } finally {
        rmSync(folder, { recursive: true, force: true });
      }
    },
    60_000 + KILLS * 5_000,
  );
});
