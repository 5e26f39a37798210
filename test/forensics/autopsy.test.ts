import { readFileSync, writeFileSync } from "node:fs";
import { PassThrough } from "node:stream";
import { fileURLToPath } from "node:url";
import { describe, expect, it } from "@jest/globals";
import { autopsyText } from "../../src/cli/autopsy-text.ts";
import { Output } from "../../src/cli/output.ts";
import { type AutopsyTurn, autopsy } from "../../src/forensics/autopsy.ts";
import type { JsonObject } from "../../src/log/event-log.ts";
import type { ConversationStore } from "../../src/store/conversation-store.ts";
import { ownProcessFacts } from "../../src/store/process-facts.ts";
import { withStore } from "../support/memory-store.ts";
import { BEGAN, EventScript, scriptNight, scriptTurn } from "./autopsy-support.ts";

const GOLDEN = fileURLToPath(new URL("autopsy.golden.txt", import.meta.url));
const NOW = BEGAN + 3_600_000;

async function onlyTurn(store: ConversationStore, now = NOW): Promise<AutopsyTurn> {
  const { turns } = await autopsy(store, { now });
  expect(turns).toHaveLength(1);
  return turns[0] as AutopsyTurn;
}

describe("the text of an autopsy", () => {
  it("is the golden file (TURNLOG_UPDATE_GOLDEN=1 writes it anew)", () =>
    withStore(async (store) => {
      await scriptNight(store);
      const report = await autopsy(store, { now: NOW });
      const out = new Output(new PassThrough());
      const text = autopsyText(report, out, { now: NOW, store: "file:./night's.db" });
      if (process.env["TURNLOG_UPDATE_GOLDEN"] === "1") writeFileSync(GOLDEN, text);
      expect(text).toBe(readFileSync(GOLDEN, "utf8"));
    }));

  it("says the verdict in its first line and the command in its last, and nothing acts on the terminal", () =>
    withStore(async (store) => {
      await scriptNight(store);
      const report = await autopsy(store, { now: NOW });
      const lines = autopsyText(report, new Output(new PassThrough()), { now: NOW }).trimEnd().split("\n");
      expect(lines[0]).toBe("CRASHED  1 turn began and did not end; its writer is dead");
      expect(lines.at(-1)).toBe("  turnlog repair support-42");
      expect(lines.join("")).not.toMatch(/[\u0000-\u0009\u000b-\u001f\u007f-\u009f]/);
    }));
});

describe("an autopsy", () => {
  it("tells times, silence, tools and the last second of a turn", () =>
    withStore(async (store) => {
      await scriptNight(store);
      const turn = await onlyTurn(store);
      expect(turn).toMatchObject({
        sessionId: "support-42",
        messageId: 259,
        verdict: "crashed",
        phase: "tool-running",
        startedAt: new Date(BEGAN),
        lastEventAt: new Date(BEGAN + 2600),
        silentMs: 7500,
        events: 5,
        deltas: 4,
        text: "Let me look where your parcel is. 📦",
        writer: { host: "agent-7", pid: 4242, label: "support agent", lastSeen: new Date(BEGAN + 10_100) },
      });
      expect(turn.prompt).toEqual([
        { role: "system", content: "You are brief." },
        { role: "user", content: "Hello" },
        { role: "user", content: "Why is my order late?" },
      ]);
      expect(turn.tools.map(({ name, verdict, ranMs }) => [name, verdict, ranMs])).toEqual([
        ["find_order", "finished", 340],
        ["ask_carrier", "outcome-unknown", 7500],
      ]);
      // The event before these ended 1,180 ms before the end, the first of these 980 ms.
      expect(turn.lastSecond.map(({ revision }) => revision)).toEqual([6, 7, 8]);
    }));

  it("counts the silence of a turn that is not dead until now", () =>
    withStore(async (store) => {
      const turn = await store.beginTurn("live", { user: "hi" });
      void turn.textDelta("so far");
      await turn.flush();
      const { lastEventAt } = await onlyTurn(store);
      const told = await onlyTurn(store, lastEventAt.getTime() + 4321);
      expect(told).toMatchObject({ verdict: "running", silentMs: 4321, text: "so far" });
      await turn.finish();
      expect((await autopsy(store)).turns).toEqual([]);
    }));

  it("tells a writer that is silent for too long from a dead one, by its process", () =>
    withStore(async (store) => {
      const here = { ...ownProcessFacts(), heartbeatMs: 10 };
      await scriptTurn(store, 1, here as JsonObject);
      expect(await onlyTurn(store)).toMatchObject({
        verdict: "unknown",
        writer: { verdict: "unknown", process: "running", pid: process.pid },
      });
    }));

  it("lists crashed turns first, then unknown ones, the newest of each first, and counts beyond its limit", () =>
    withStore(async (store) => {
      const elsewhere = { bootId: "another boot" };
      for (const index of [1, 2, 3]) await scriptTurn(store, index);
      for (const index of [4, 5]) await scriptTurn(store, index, elsewhere);
      const { turns } = await autopsy(store, { now: NOW });
      expect(turns.map(({ sessionId, verdict }) => [sessionId, verdict])).toEqual([
        ["s3", "crashed"],
        ["s2", "crashed"],
        ["s1", "crashed"],
        ["s5", "unknown"],
        ["s4", "unknown"],
      ]);
      const limited = await autopsy(store, { now: NOW, limit: 2 });
      expect(limited.turns.map(({ sessionId }) => sessionId)).toEqual(["s3", "s2"]);
      expect(limited.counts).toEqual({ crashed: 3, running: 0, unknown: 2 });
      const since = await autopsy(store, { now: NOW, since: BEGAN + 3000, limit: 1 });
      expect(since.counts).toEqual({ crashed: 1, running: 0, unknown: 2 });
      const one = await autopsy(store, { now: NOW, sessionId: "s4" });
      expect(one.turns.map(({ sessionId }) => sessionId)).toEqual(["s4"]);
    }));

  it("takes the time of a turn's last event, not of its beginning, for `since`", () =>
    withStore(async (store) => {
      await scriptNight(store);
      expect((await autopsy(store, { now: NOW, since: BEGAN + 2600 })).counts.crashed).toBe(1);
      expect((await autopsy(store, { now: NOW, since: BEGAN + 2601 })).counts.crashed).toBe(0);
    }));

  it("knows no safe branch where only unfinished answers were put aside", () =>
    withStore(async (store) => {
      const first = await store.beginTurn("s", { user: "hi" });
      void first.textDelta("half");
      await first.fail({ message: "no more" });
      const again = await store.regenerate("s");
      expect(await onlyTurn(store)).toMatchObject({ kind: "regenerate", safeBranch: null });
      await again.abort();
    }));

  it("tells what lies before an event that cannot be read, and never what it would have said", () =>
    withStore(async (store) => {
      await scriptNight(store);
      await scriptTurn(store, 1);
      const script = new EventScript(store, "00000000000080000fff");
      const data = { messageId: 259, content: [[0, 0, "INVENTED"]], length: 3 };
      await script.append("conversation-support-42", [
        script.event("BranchesUpdated", data, 5000, { turnId: "turn-2", cause: "delta" }),
      ]);
      const { turns, damage } = await autopsy(store, { now: NOW });
      expect(damage).toEqual([
        { sessionId: "support-42", message: expect.stringContaining("at revision 9") },
      ]);
      expect(turns.map(({ sessionId }) => sessionId)).toEqual(["s1", "support-42"]);
      expect(turns[1]).toMatchObject({ text: "Let me look where your parcel is. 📦", phase: "tool-running" });
      expect(JSON.stringify({ ...turns[1], lastSecond: [] })).not.toContain("INVENTED");
    }));

  it("tells how far it has read where there are no views", () =>
    withStore(async (store) => {
      for (let n = 0; n < 5100; n++) void store.saveMessage("s", "user", "x");
      await store.saveMessage("s", "user", "last");
      const told: number[] = [];
      await autopsy(store, { onProgress: ({ position, head }) => told.push(position / head) });
      expect(told.length).toBe(1);
      expect(told[0]).toBeGreaterThan(0.9);
    }));
});
