import { spawn } from "node:child_process";
import { randomUUID } from "node:crypto";
import { readFileSync } from "node:fs";
import { hostname } from "node:os";
import { createInterface } from "node:readline";
import { describe, expect, it } from "@jest/globals";
import { openEventLog } from "../../src/log/open-event-log.ts";
import { ownProcessFacts, processStart } from "../../src/store/process-facts.ts";
import { WriterLiveness } from "../../src/store/writer-liveness.ts";
import { withStore, withStores } from "../support/memory-store.ts";

describe("recovering interrupted turns", () => {
  it("ends the turn of a writer that has gone, once, and tells what it left", () =>
    withStores(3, async (dying, one, two) => {
      const turn = await dying.beginTurn("s", { user: "q", model: "m" });
      void turn.textDelta("I will ");
      void turn.textDelta("look.");
      void turn.toolCall({ toolId: "a", name: "read", input: '{"path":1}' });
      void turn.toolCall({ toolId: "b", name: "delete", input: "{}" });
      void turn.toolStarted("b");
      await turn.toolCall({ toolId: "c", name: "done", input: "{}" });
      await turn.toolResult("c", 1);
      expect(await one.recoverInterruptedTurns()).toEqual([]);
      await dying.close();
      const results = await Promise.all([one.recoverInterruptedTurns(), two.recoverInterruptedTurns()]);
      expect(results.flat()).toMatchObject([
        {
          sessionId: "s",
          messageId: turn.messageId,
          turnId: turn.turnId,
          kind: "new",
          model: "m",
          text: "I will look.",
          isSuperseded: false,
          writer: { verdict: "dead", description: { host: hostname(), pid: process.pid } },
          tools: [
            { tool_id: "a", name: "read", input: '{"path":1}', verdict: "not-started" },
            { tool_id: "b", name: "delete", verdict: "outcome-unknown", started_at: expect.any(Number) },
          ],
        },
      ]);
      expect(await one.lastAssistantMessage("s")).toMatchObject({ status: "interrupted" });
      expect(await two.recoverInterruptedTurns()).toEqual([]);
    }));

  it("lets several processes recover at once: one TurnEnded each, 50 times", async () => {
    for (let round = 0; round < 50; round++) {
      await withStores(3, async (dying, one, two) => {
        await dying.beginTurn("s");
        await dying.close();
        const recovered = await Promise.all([one, two].map((store) => store.recoverInterruptedTurns()));
        expect(recovered.flat()).toHaveLength(1);
        const ended = [];
        for await (const { type, metadata } of one.log.readStream("conversation-s")) {
          if (type === "TurnEnded") ended.push(metadata["cause"]);
        }
        expect(ended).toEqual(["repair"]);
      });
    }
  });

  it("ends a superseded turn too, and leaves the message of a later turn alone", () =>
    withStores(2, async (dying, store) => {
      const first = await dying.beginTurn("s");
      void first.textDelta("half");
      await first.flush();
      await dying.close();
      const second = await store.regenerate("s");
      expect(second.messageId).toBe(first.messageId);
      expect(await store.recoverInterruptedTurns()).toMatchObject([
        { turnId: first.turnId, isSuperseded: true, text: "" },
      ]);
      expect(await store.lastAssistantMessage("s")).toMatchObject({
        status: "open",
        branchesJson: '[[{"kind":"text","text":"half"}]]',
      });
      await second.finish();
      expect(await store.lastAssistantMessage("s")).toMatchObject({ status: "finished" });
    }));

  it("takes a turn from a writer that was wrongly thought dead, without overwriting", () =>
    withStores(2, async (alive, hasty) => {
      const turn = await alive.beginTurn("s");
      void turn.textDelta("kept");
      await turn.flush();
      await hasty.endTurn(turn.messageId, "interrupted");
      await expect(turn.textDelta(" lost").then(() => turn.flush())).rejects.toMatchObject({
        code: "turn-lost",
      });
      expect(await hasty.lastAssistantMessage("s")).toMatchObject({
        status: "interrupted",
        parts: [{ kind: "text", text: "kept" }],
      });
    }));

  it("leaves a turn alone whose writer may live elsewhere, unless it is told to end it", () =>
    withStore(async (store) => {
      const facts = { v: 1, writer: "far", time: Date.now() };
      const append = (stream: string, ...drafts: [type: string, data: object][]) =>
        store.log.append(
          stream,
          drafts.map(([type, data], n) => ({
            id: randomUUID(),
            type,
            data: data as never,
            metadata: { ...facts, n, turnId: "t" },
          })),
          "no-stream",
        );
      await append("writer-far", [
        "WriterStarted",
        { ...ownProcessFacts(), bootId: "another boot", heartbeatMs: 60_000, library: "test" },
      ]);
      await append(
        "conversation-s",
        ["AssistantStubAppended", { messageId: 1, content: "[]" }],
        ["TurnStarted", { turnId: "t", messageId: 1, kind: "new" }],
      );
      expect(await store.unendedTurns()).toMatchObject([{ writer: { verdict: "unknown" } }]);
      expect(await store.recoverInterruptedTurns()).toEqual([]);
      expect(await store.recoverInterruptedTurns({ includeUnknown: true })).toMatchObject([{ turnId: "t" }]);
      expect(await store.unendedTurns()).toEqual([]);
    }));

  it("looks at one session only where asked", () =>
    withStores(2, async (dying, store) => {
      await dying.beginTurn("a");
      await dying.beginTurn("b");
      await dying.close();
      expect(await store.recoverInterruptedTurns({ sessionId: "b" })).toMatchObject([{ sessionId: "b" }]);
      expect(await store.unendedTurns()).toMatchObject([{ sessionId: "a" }]);
    }));
});

describe("judging writers", () => {
  const here = ownProcessFacts();
  const started = { heartbeatMs: 60_000, library: "test", ...here };

  interface Judged {
    /** By this reader's clock. */
    passMs(ms: number): void;
    judge(): Promise<string>;
    beat(): Promise<void>;
    stop(): Promise<void>;
  }

  /** A log that holds a writer of this description. */
  async function judged(description: object, use: (writer: Judged) => Promise<void>) {
    const log = await openEventLog("memory:");
    let n = 0;
    let now = 1000;
    const append = async (type: string, data: object): Promise<void> => {
      const id = `00000000-0000-8000-8000-${String(n).padStart(12, "0")}`;
      await log.append(
        "writer-w",
        [{ id, type, data: data as never, metadata: { v: 1, writer: "w", n: n++, time: Date.now() } }],
        "any",
      );
    };
    await append("WriterStarted", { ...started, ...description });
    const liveness = new WriterLiveness(log, undefined, { now: () => now });
    await use({
      passMs: (ms) => void (now += ms),
      judge: async () => (await liveness.judge("w")).verdict,
      beat: () => append("WriterHeartbeat", { ...started, ...description }),
      stop: () => append("WriterStopped", {}),
    });
    await log.close();
  }

  it("finds its own process alive", () =>
    judged({}, async ({ judge }) => expect(await judge()).toBe("alive")));

  it("finds a process dead that is no more", () =>
    judged({ pid: 4_194_305 }, async ({ judge }) => expect(await judge()).toBe("dead")));

  it("is not taken in by a process that got the same pid", () =>
    judged({ pidStart: "1" }, async ({ judge }) => expect(await judge()).toBe("dead")));

  it("takes a zombie for what it is: its parent has not noticed, but it runs nothing any more", async () => {
    // The shell starts a child that ends with our input, and becomes a program that never waits for it.
    const parent = spawn("sh", ["-c", "exec 3<&0; cat <&3 >&2 & echo $!; exec sleep 600"], {
      stdio: ["pipe", "pipe", "inherit"],
    });
    try {
      let zombie = 0;
      for await (const line of createInterface({ input: parent.stdout })) {
        zombie = Number(line);
        break;
      }
      const until = async (isSo: () => boolean): Promise<void> => {
        while (!isSo()) await new Promise((resolve) => setImmediate(resolve));
      };
      // A child that ended before would have been waited for by the shell.
      await until(() => readFileSync(`/proc/${parent.pid}/comm`, "utf8") === "sleep\n");
      parent.stdin.end();
      await until(() => /\) Z/.test(readFileSync(`/proc/${zombie}/stat`, "utf8")));
      expect(processStart(zombie)).toBeUndefined();
    } finally {
      parent.kill("SIGKILL");
    }
  });

  it("believes a writer that says it stopped", () =>
    judged({}, async ({ judge, stop }) => {
      await stop();
      expect(await judge()).toBe("dead");
    }));

  it("does not know what to think of a process that is there and does not beat", () =>
    judged({ heartbeatMs: -1 }, async ({ judge }) => expect(await judge()).toBe("unknown")));

  it("knows nothing of a writer without a stream", () =>
    withStore(async (store) =>
      expect(await new WriterLiveness(store.log).judge("nobody")).toEqual({
        id: "nobody",
        verdict: "unknown",
      }),
    ));

  it("takes the writer that asks for alive, however long it has been silent", () =>
    withStore(async (store) => {
      await store.saveMessage("s", "user", "q");
      const turn = await store.beginTurn("s");
      const [{ writer } = { writer: undefined }] = await store.unendedTurns();
      const asOf = async (ownWriter: string | undefined): Promise<string> => {
        // Seen from another machine, and after a long silence: only the id tells.
        const own = { ...here, bootId: "another boot" };
        let now = 0;
        const liveness = new WriterLiveness(store.log, ownWriter, { own, now: () => now });
        await liveness.judge(writer!.id);
        now = 1_000_000;
        return (await liveness.judge(writer!.id)).verdict;
      };
      expect(await asOf(undefined)).toBe("dead");
      expect(await asOf(writer!.id)).toBe("alive");
      await turn.finish();
    }));

  // The same pid and start time mean nothing there: only its heartbeats do.
  it.each([
    ["on another machine, or before this one was started anew", { bootId: "another boot" }],
    ["in another container of this machine", { pidNamespace: "pid:[1]" }],
    ["on a system that does not tell of boots", { bootId: undefined }],
    ["on a system that does not tell of processes", { pidStart: undefined }],
  ])("judges a writer %s by newer heartbeats, and by silence for three intervals", (_where, elsewhere) =>
    judged({ ...elsewhere, heartbeatMs: 1000 }, async ({ judge, beat, passMs }) => {
      expect(await judge()).toBe("unknown");
      passMs(2999);
      expect(await judge()).toBe("unknown");
      await beat();
      expect(await judge()).toBe("alive");
      passMs(2999);
      expect(await judge()).toBe("alive");
      passMs(1);
      expect(await judge()).toBe("dead");
      await beat();
      expect(await judge()).toBe("alive");
    }),
  );

  it("calls a writer elsewhere dead that was never seen to beat, once three intervals have passed", () =>
    judged({ bootId: "another boot", heartbeatMs: 1000 }, async ({ judge, passMs }) => {
      expect(await judge()).toBe("unknown");
      passMs(3000);
      expect(await judge()).toBe("dead");
    }));
});
