import { describe, expect, it } from "@jest/globals";
import { logStats } from "../../src/forensics/log-stats.ts";
import type { JsonObject } from "../../src/log/event-log.ts";
import { run, withStoreFile } from "../cli/cli-support.ts";
import { withStore } from "../support/memory-store.ts";
import { EventScript } from "./autopsy-support.ts";

const DAY_MS = 86_400_000;

describe("the counts of a log", () => {
  it("are those of its events: bytes of JSON, deltas by their marks, sessions, days by the writers' clocks", () =>
    withStore(async (store) => {
      const script = new EventScript(store);
      const delta = (data: JsonObject, atMs: number) =>
        script.event("BranchesUpdated", { messageId: 1, ...data }, atMs, { cause: "delta" });
      const small = [
        script.event("AssistantStubAppended", { messageId: 1, content: "[]" }, 0),
        script.event("TurnStarted", { turnId: "t", messageId: 1, kind: "new" }, 0),
        delta(
          {
            content: [[0, 2, "a😀c"]],
            marks: [
              [0, 1],
              [20, 2],
              [20, 1],
            ],
          },
          10,
        ),
        delta({ content: [[4, 0, "d"]] }, DAY_MS),
      ];
      const big = [
        script.event(
          "MessageSaved",
          { messageId: 257, role: "user", format: "text", content: "x".repeat(999) },
          5,
        ),
      ];
      const gone = [script.event("SessionDeleted", {}, DAY_MS)];
      await script.append("conversation-small", small);
      await script.append("conversation-big", big);
      await script.append("conversation-gone", gone);
      await script.writerStarted(-1000);

      const bytesOf = (events: typeof small): number =>
        events.reduce(
          (sum, { data, metadata }) =>
            sum + Buffer.byteLength(JSON.stringify(data) + JSON.stringify(metadata)),
          0,
        );
      const stats = await logStats(store.log, { top: 2 });
      expect(stats).toMatchObject({
        events: 7,
        sessions: 2,
        deletedSessions: 1,
        turns: 1,
        deltas: 4,
        deltaEvents: 2,
        oldest: new Date("2026-11-24T02:12:59.000Z"),
        newest: new Date("2026-11-25T02:13:00.000Z"),
      });
      expect(stats.biggestSessions).toEqual([
        { sessionId: "big", events: 1, bytes: bytesOf(big), deltas: 0 },
        { sessionId: "small", events: 4, bytes: bytesOf(small), deltas: 4 },
      ]);
      expect(stats.days.map(({ day, events, deltas }) => [day, events, deltas])).toEqual([
        ["2026-11-24", 5, 3],
        ["2026-11-25", 2, 1],
      ]);
      expect(stats.days.reduce((sum, { bytes }) => sum + bytes, 0)).toBe(stats.bytes);
    }));

  it("are nothing for an empty log", () =>
    withStore(async (store) => {
      expect(await logStats(store.log)).toEqual({
        events: 0,
        bytes: 0,
        deltas: 0,
        sessions: 0,
        deletedSessions: 0,
        turns: 0,
        deltaEvents: 0,
        oldest: null,
        newest: null,
        biggestSessions: [],
        days: [],
      });
    }));
});

describe("turnlog stats", () => {
  it("agrees with the sessions' own counts, as a table and as one document", async () => {
    await withStoreFile(
      async (store) => {
        for (const session of ["a", "b\u202e"]) {
          const turn = await store.beginTurn(session, { user: "hi" });
          void turn.textDelta("one ");
          void turn.textDelta("two");
          await turn.finish();
        }
      },
      async (path) => {
        const stats = JSON.parse((await run(["stats", "--json", "--store", path])).stdout) as {
          biggestSessions: { sessionId: string; events: number; bytes: number }[];
          files: { log: number; views: number };
        };
        const { sessions } = JSON.parse((await run(["sessions", "--json", "--store", path])).stdout) as {
          sessions: { id: string; events: number; bytes: number }[];
        };
        const byId = (sizes: { events: number; bytes: number }[], ids: string[]): object[] =>
          ids
            .map((id, index) => ({ id, events: sizes[index]?.events, bytes: sizes[index]?.bytes }))
            .toSorted((a, b) => (a.id < b.id ? -1 : 1));
        expect(
          byId(
            stats.biggestSessions,
            stats.biggestSessions.map(({ sessionId }) => sessionId),
          ),
        ).toEqual(
          byId(
            sessions,
            sessions.map(({ id }) => id),
          ),
        );
        expect(stats.files.log).toBeGreaterThan(0);
        const { stdout, code } = await run(["stats", "--top", "1", "--store", path]);
        expect(code).toBe(0);
        expect(stdout).toMatch(
          /^\d+ events of .* in 2 sessions\n2 turns, 4 deltas, \d\.\d deltas per event\n/,
        );
        expect(stdout).toContain("BIGGEST SESSIONS");
        expect(stdout).not.toContain("\u202e");
      },
    );
  });
});
