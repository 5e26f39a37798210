import { describe, expect, it } from "@jest/globals";
import { hostname } from "node:os";
import { openEventLog } from "../../src/log/open-event-log.ts";
import { ownProcessFacts } from "../../src/store/process-facts.ts";
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
  const started = { heartbeatMs: 30, library: "test", ...here };

  /** A log that holds a writer of this description. */
  async function judged(
    description: object,
    use: (
      judge: () => Promise<string>,
      beat: () => Promise<void>,
      stop: () => Promise<void>,
    ) => Promise<void>,
  ) {
    const log = await openEventLog("memory:");
    let n = 0;
    const append = async (type: string, data: object): Promise<void> => {
      const id = `00000000-0000-8000-8000-${String(n).padStart(12, "0")}`;
      await log.append(
        "writer-w",
        [{ id, type, data: data as never, metadata: { v: 1, writer: "w", n: n++, time: Date.now() } }],
        "any",
      );
    };
    await append("WriterStarted", { ...started, ...description });
    const liveness = new WriterLiveness(log);
    await use(
      async () => (await liveness.judge("w")).verdict,
      () => append("WriterHeartbeat", { ...started, ...description }),
      () => append("WriterStopped", {}),
    );
    await log.close();
  }

  it("finds its own process alive", () =>
    judged({ heartbeatMs: 60_000 }, async (judge) => expect(await judge()).toBe("alive")));

  it("finds a process dead that is no more", () =>
    judged({ pid: 4_194_305 }, async (judge) => expect(await judge()).toBe("dead")));

  it("is not taken in by a process that got the same pid", () =>
    judged({ pidStart: "1" }, async (judge) => expect(await judge()).toBe("dead")));

  it("believes a writer that says it stopped", () =>
    judged({}, async (judge, _beat, stop) => {
      await stop();
      expect(await judge()).toBe("dead");
    }));

  it("does not know what to think of a process that is there and does not beat", () =>
    judged({ heartbeatMs: -1 }, async (judge) => expect(await judge()).toBe("unknown")));

  it("knows nothing of a writer without a stream", () =>
    withStore(async (store) =>
      expect(await new WriterLiveness(store.log).judge("nobody")).toEqual({
        id: "nobody",
        verdict: "unknown",
      }),
    ));

  it("judges a writer elsewhere by newer heartbeats, and by their absence for three intervals", () =>
    judged({ bootId: "another machine", heartbeatMs: 30 }, async (judge, beat) => {
      expect(await judge()).toBe("unknown");
      await beat();
      expect(await judge()).toBe("alive");
      // Its silence can only be told by time passing: asked again until it is called dead.
      const verdicts = new Set<string>();
      while (!verdicts.has("dead"))
        verdicts.add(await judge().then((verdict) => new Promise((done) => setImmediate(done, verdict))));
      expect([...verdicts]).toEqual(["alive", "dead"]);
      await beat();
      expect(await judge()).toBe("alive");
    }));
});
