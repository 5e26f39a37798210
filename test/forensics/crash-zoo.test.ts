import { join } from "node:path";
import { describe, expect, it } from "@jest/globals";
import { type CliResult, run, withFolder } from "../cli/cli-support.ts";
import { type ZooChild, type ZooFacts, startScenario, untilDead } from "./zoo-support.ts";

/**
 * Real processes die in every way that we know (`npm run build` first; `npm test` does), and the autopsy says exactly
 * what each had done.
 */

interface Told {
  turns: Record<string, unknown>[];
  counts: unknown;
  damage: unknown[];
}

const QUESTION = { role: "user", content: "What time is it?" };

/** The part of a turn that is the same however it dies. */
const crashed = (facts: Pick<ZooFacts, "turnId" | "messageId">, more: object): object => ({
  sessionId: "zoo",
  messageId: facts.messageId,
  turnId: facts.turnId,
  kind: "new",
  verdict: "crashed",
  superseded: false,
  reasoning: "",
  tools: [],
  safeBranch: null,
  ...more,
});

async function autopsyOf(path: string): Promise<CliResult & { told: Told }> {
  const result = await run(["autopsy", "--json", "--store", path]);
  return { ...result, told: JSON.parse(result.stdout) as Told };
}

/** Lets a scenario die and hands over what the autopsy says. */
async function autopsyAfter(
  scenario: string,
  end: { signal?: NodeJS.Signals; nodeOptions?: string[] },
  check: (
    told: Told,
    facts: ZooFacts,
    code: number | null,
    zoo: ZooChild,
    path: string,
  ) => Promise<void> | void,
): Promise<void> {
  await withFolder(async (folder) => {
    const path = join(folder, "store.db");
    const zoo = await startScenario(path, scenario, end.nodeOptions);
    await untilDead(zoo, end.signal);
    const { told, code } = await autopsyOf(path);
    expect(told.damage).toEqual([]);
    for (const turn of told.turns) {
      expect(turn["writer"]).toMatchObject({
        verdict: "dead",
        pid: zoo.child.pid,
        label: "zoo",
        process: "gone",
      });
    }
    await check(told, zoo.facts, code, zoo, path);
  });
}

const killed = { signal: "SIGKILL" } as const;

describe("autopsy of a process that was killed", () => {
  it("in mid text", () =>
    autopsyAfter("mid-text", killed, ({ turns, counts }, facts, code) => {
      expect(code).toBe(1);
      expect(counts).toEqual({ crashed: 1, running: 0, unknown: 0 });
      expect(turns).toEqual([
        expect.objectContaining(
          crashed(facts, {
            phase: "text",
            model: "zoo-1",
            text: "It is half past ",
            prompt: [QUESTION],
            deltas: 4,
            lastEvent: expect.objectContaining({ type: "BranchesUpdated", cause: "delta" }),
          }),
        ),
      ]);
    }));

  it("in the middle of its reasoning", () =>
    autopsyAfter("mid-reasoning", killed, ({ turns }, facts) => {
      expect(turns).toEqual([
        expect.objectContaining(crashed(facts, { phase: "reasoning", reasoning: "Well, ", text: "" })),
      ]);
    }));

  it("between a tool's start and its result", () =>
    autopsyAfter("tool-running", killed, ({ turns }, facts) => {
      expect(turns).toEqual([
        expect.objectContaining(
          crashed(facts, {
            phase: "tool-running",
            text: "Let me look. ",
            tools: [
              {
                tool_id: "c1",
                name: "clock",
                input: '{"zone":"UTC"}',
                verdict: "finished",
                state: "output-available",
                startedAt: expect.any(String),
                ranMs: expect.any(Number),
              },
              {
                tool_id: "c2",
                name: "run_command",
                input: '{"cmd":"date"}',
                verdict: "outcome-unknown",
                state: "input-available",
                startedAt: expect.any(String),
                ranMs: expect.any(Number),
              },
            ],
            lastEvent: expect.objectContaining({ cause: "tool-started" }),
          }),
        ),
      ]);
    }));

  it("between a tool's call and its start", () =>
    autopsyAfter("tool-pending", killed, ({ turns }, facts) => {
      const tool = {
        tool_id: "c1",
        verdict: "not-started",
        state: "input-available",
        startedAt: null,
        ranMs: null,
      };
      expect(turns).toMatchObject([{ turnId: facts.turnId, phase: "tool-pending", tools: [tool] }]);
    }));

  it("during a tool's arguments", () =>
    autopsyAfter("tool-input", killed, ({ turns }, facts) => {
      const tool = { input: '{"path":"/tmp/a","te', verdict: "not-started", state: "input-streaming" };
      expect(turns).toMatchObject([{ turnId: facts.turnId, phase: "tool-input", tools: [tool] }]);
    }));

  it("while a human was asked", () =>
    autopsyAfter("approval", killed, ({ turns }, facts) => {
      const tool = { name: "rm", verdict: "not-started", state: "approval-requested" };
      expect(turns).toMatchObject([{ turnId: facts.turnId, phase: "approval", tools: [tool] }]);
    }));

  it("in a regenerate, before the first delta", () =>
    autopsyAfter("regenerate", killed, ({ turns }, facts) => {
      expect(turns).toEqual([
        expect.objectContaining(
          crashed(facts, {
            kind: "regenerate",
            phase: "model",
            model: "zoo-2",
            text: "",
            deltas: 0,
            safeBranch: 0,
            prompt: [QUESTION],
          }),
        ),
      ]);
    }));

  it("during compaction, which leaves no trace", () =>
    autopsyAfter("compaction", killed, async ({ turns }, facts, _code, _zoo, path) => {
      expect(turns).toEqual([
        expect.objectContaining(crashed(facts, { phase: "text", text: "Working on it" })),
      ]);
      expect(turns[0]?.["prompt"]).toHaveLength(7);
      const { stdout } = await run(["events", "zoo", "--store", path]);
      expect(stdout).not.toContain("MessagesReplaced");
    }));

  it("during saveMessage: no turn had begun, and what was acknowledged is there", () =>
    autopsyAfter("save-message", killed, async ({ turns, counts }, facts, code, _zoo, path) => {
      expect({ code, turns, counts }).toEqual({
        code: 0,
        turns: [],
        counts: { crashed: 0, running: 0, unknown: 0 },
      });
      const { stdout } = await run(["show", "zoo", "--json", "--store", path]);
      const { messages } = JSON.parse(stdout) as { messages: { content: string }[] };
      expect(messages.length).toBeGreaterThanOrEqual(facts.saved);
      expect(messages.map(({ content }) => content)).toEqual(messages.map((_, n) => `saved ${n}`));
    }));

  it("after the user had typed on: the superseded turn is told", () =>
    autopsyAfter("superseded", killed, ({ turns }, facts, code) => {
      expect(code).toBe(1);
      expect(turns).toEqual([
        expect.objectContaining(crashed(facts, { superseded: true, phase: "text", text: "The first att" })),
      ]);
    }));

  it("in the second of two regenerates: each has its own text, and the whole answer is the safe branch", () =>
    autopsyAfter("regenerate-twice", killed, ({ turns }, facts) => {
      const [second, third] = facts.turns;
      expect(turns).toMatchObject([
        { ...third, superseded: false, text: "A third", safeBranch: 0 },
        { ...second, superseded: true, text: "Half an ans", safeBranch: 0 },
      ]);
    }));
});

describe("autopsy of a process that died by itself", () => {
  it("out of memory, while a tool ran", () =>
    autopsyAfter(
      "out-of-memory",
      { nodeOptions: ["--max-old-space-size=48"] },
      ({ turns }, facts, code, { child }) => {
        expect({ code, signal: child.signalCode }).toEqual({ code: 1, signal: "SIGABRT" });
        const tool = { tool_id: "c1", name: "count", verdict: "outcome-unknown" };
        expect(turns).toMatchObject([
          { turnId: facts.turnId, phase: "tool-running", text: "Let me count. ", tools: [tool] },
        ]);
      },
    ));

  it.each([
    ["process-exit", 7],
    ["uncaught-exception", 1],
  ])("by %s: what its last callback wrote is there", (scenario, exitCode) =>
    autopsyAfter(scenario, {}, ({ turns }, facts, code, { child }) => {
      expect({ code, exitCode: child.exitCode }).toEqual({ code: 1, exitCode });
      expect(turns).toEqual([
        expect.objectContaining(crashed(facts, { phase: "text", text: "Before the callback, inside of it" })),
      ]);
    }),
  );
});

describe("autopsy of a process that is not dead", () => {
  it("says of one stopped by SIGSTOP that it is not, does not repair it, and tells how to let it go on", async () => {
    await withFolder(async (folder) => {
      const path = join(folder, "store.db");
      const zoo = await startScenario(path, "mid-text");
      try {
        zoo.child.kill("SIGSTOP");
        await untilStopped(zoo.child.pid ?? 0);
        const { told, code } = await autopsyOf(path);
        expect(code).toBe(0);
        expect(told).toMatchObject({
          counts: { crashed: 0, running: 1, unknown: 0 },
          turns: [
            {
              turnId: zoo.facts.turnId,
              verdict: "running",
              phase: "text",
              text: "It is half past ",
              writer: { verdict: "alive", process: "stopped", pid: zoo.child.pid },
            },
          ],
        });
        const { stdout } = await run(["autopsy", "zoo", "--store", path]);
        expect(stdout).toContain("not dead: its process is stopped");
        expect(stdout.trimEnd().split("\n").at(-1)).toBe(`  kill -CONT ${zoo.child.pid}`);
        const repair = await run(["repair", "zoo", "--force", "--store", path]);
        expect(repair).toMatchObject({ code: 1, stdout: expect.stringContaining("its writer lives") });
        expect((await autopsyOf(path)).told.counts).toMatchObject({ running: 1 });
      } finally {
        await untilDead(zoo, "SIGKILL");
      }
    });
  });
});

/** The signal takes its time; the test's own limit ends the wait. */
async function untilStopped(pid: number): Promise<void> {
  const { processStatus } = await import("../../src/store/process-facts.ts");
  while (processStatus(pid)?.isStopped !== true) await new Promise(setImmediate);
}
