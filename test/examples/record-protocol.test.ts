import { readFileSync } from "node:fs";
import { join } from "node:path";
import { describe, expect, it } from "@jest/globals";
import { type TurnVerb, turnVerbSchema } from "../../src/recording/turn-verb.ts";
import { openConversationStore } from "../../src/store/open-conversation-store.ts";
import { Child, builtCli, root, withFolder } from "./child-process.ts";
import { RecordProcess } from "./record-process.ts";

const KILLS = process.env["TURNLOG_TEST_LONG"] === undefined ? 6 : 200;
const page = readFileSync(join(root, "docs/record-protocol.md"), "utf8");

/** The page's samples of input, block by block. */
const blocks = [...page.matchAll(/^```\w*\n(.*?)^```$/gms)].map(([, block = ""]) => block.split("\n"));
const samples = blocks.map((lines) => lines.filter((line) => line.startsWith('{"verb"')));
const documented: TurnVerb[] = samples.flat().map((line) => turnVerbSchema.parse(JSON.parse(line)));
/** An example of each verb that goes on or finishes, and of each that ends a turn in another way. */
const [, wholeTurn = [], otherEndings = []] = samples;

/** Runs a whole input and waits for the end. */
async function recordAll(input: string, use: (recording: RecordProcess) => Promise<void>): Promise<void> {
  await withFolder(async (folder) => {
    const recording = new RecordProcess(folder, "--ack");
    recording.child.write(input);
    recording.child.endInput();
    await use(recording);
  });
}

describe("docs/record-protocol.md", () => {
  it.each(turnVerbSchema.options.map(({ shape }) => [shape.verb.value, Object.keys(shape)] as const))(
    "has a row with all fields of %s, and a sample",
    (verb, fields) => {
      const row = page.split("\n").find((line) => line.startsWith(`| \`${verb}\``));
      const documentedFields = [...(row?.split("|")[2] ?? "").matchAll(/`(\w+)\??`/g)].map(
        ([, name]) => name,
      );
      expect(documentedFields.toSorted()).toEqual(fields.filter((name) => name !== "verb").toSorted());
      expect(documented.map((sample) => sample.verb)).toContain(verb);
    },
  );

  it("marks the fields that may be left out, and no others", () => {
    for (const { shape } of turnVerbSchema.options) {
      const row = page.split("\n").find((line) => line.startsWith(`| \`${shape.verb.value}\``)) ?? "";
      for (const [name, field] of Object.entries(shape)) {
        // Of data and url exactly one is needed, which the row says in words.
        if (name === "verb" || name === "data" || name === "url") continue;
        const isOptional = field.safeParse(undefined).success && name !== "output";
        expect(`${name}: ${row.includes(`\`${name}?\``)}`).toBe(`${name}: ${isOptional}`);
      }
    }
  });

  it("names every key of the lines that --ack prints", async () => {
    const input = ['{"verb":"tool-started","toolId":"none"}', ...wholeTurn].join("\n");
    await recordAll(input, async (recording) => {
      const { facts } = await recording.ended();
      expect(new Set(facts.map(({ type }) => type))).toEqual(new Set(["begin", "durable", "refused", "end"]));
      for (const { type, ...keys } of facts) {
        const row = page.split("\n").find((line) => line.startsWith(`| \`${type}\``)) ?? "";
        const names = type === "end" ? ["line", "outcome", "refused"] : Object.keys(keys);
        for (const name of names) expect(row).toContain(`\`${name}\``);
      }
    });
  });
});

describe("turnlog record --protocol turnlog", () => {
  it("records every verb as the turn's own method would", async () => {
    await recordAll(wholeTurn.join("\n"), async (recording) => {
      const { code, facts, stderr } = await recording.ended();
      expect({ code, stderr }).toEqual({ code: 0, stderr: "" });
      const message = await recording.readMessage();
      expect(message.status).toBe("finished");
      const turnId: unknown = expect.stringMatching(/^[0-9a-f-]{36}$/);
      expect(facts[0]).toEqual({ type: "begin", line: 0, sessionId: "s", messageId: message.id, turnId });
      expect(message.usage).toEqual({ inputTokens: 210, outputTokens: 34 });
      expect(message.parts).toEqual([
        { kind: "text", text: "Hello" },
        {
          kind: "reasoning",
          text: "The user greets me.",
          providerMetadata: { anthropic: { signature: "EqQB" } },
        },
        {
          kind: "tool",
          tool_id: "t1",
          name: "weather",
          input: '{"city":"Oslo"}',
          output: { rain: true },
          state: "output-available",
          started_at: expect.any(Number),
          duration_ms: 120,
          approval: { id: "a1", approved: true, reason: "it only reads" },
        },
        {
          kind: "tool",
          tool_id: "t2",
          name: "calendar",
          input: "{}",
          output: "no calendar is connected",
          state: "output-error",
        },
        { kind: "source", url: "https://weather.example/oslo", title: "Oslo" },
        {
          kind: "file",
          mediaType: "image/png",
          filename: "radar.png",
          url: "https://weather.example/radar.png",
        },
        { kind: "step", finishReason: "stop", usage: { inputTokens: 210, outputTokens: 34 } },
      ]);
      // Structural verbs and flush, in order; deltas, sources and files ride along; the end is told by `end`.
      const durable = facts.filter(({ type }) => type === "durable").map(({ line }) => line);
      expect(durable).toEqual([3, 5, 6, 7, 8, 9, 10, 13, 14]);
      expect(facts.at(-1)).toMatchObject({
        type: "end",
        line: 15,
        outcome: "finished",
        refused: 0,
        error: null,
      });
    });
  });

  it.each([
    ["fail", otherEndings[0], { message: "The provider is overloaded.", code: "overloaded", line: 1 }],
    ["abort", otherEndings[1], { message: "The user pressed stop." }],
  ])("ends the turn by %s with exit code 1 and reads no further", async (verb, line, error) => {
    await recordAll(`${line}\n{"verb":"text","text":"too late"}\n`, async (recording) => {
      const { code, facts } = await recording.ended();
      const outcome = verb === "fail" ? "failed" : "aborted";
      expect(facts.at(-1)).toMatchObject({ type: "end", line: 1, outcome, error });
      expect(code).toBe(1);
      expect(await recording.readMessage()).toMatchObject({ status: outcome, parts: [] });
    });
  });

  it("acknowledges while the input stays open, so that a runtime can wait before it runs a tool", async () => {
    await withFolder(async (folder) => {
      const recording = new RecordProcess(folder, "--ack", "--user", "Go on.");
      await recording.waitFor("begin");
      recording.write({ verb: "text", text: "I call it." }, { verb: "flush" });
      expect(await recording.waitFor("durable")).toEqual({ type: "durable", line: 2 });
      expect(await recording.readMessage()).toMatchObject({
        status: "open",
        parts: [{ text: "I call it." }],
      });
      recording.write({ verb: "tool-call", toolId: "t", name: "f" }, { verb: "tool-started", toolId: "t" });
      await recording.waitFor("durable", 4);
      expect((await recording.readMessage()).parts[1]).toMatchObject({ started_at: expect.any(Number) });
      recording.write({ verb: "finish" });
      expect(await recording.ended()).toMatchObject({ code: 0 });
    });
  });

  it("tells of a refused call with its line, goes on, and says so by its exit code", async () => {
    const input: TurnVerb[] = [
      { verb: "tool-call", toolId: "t", name: "f", input: "{}" },
      { verb: "tool-call", toolId: "t", name: "f", input: "{}" },
      { verb: "tool-input-delta", toolId: "t", text: "late" },
      { verb: "tool-result", toolId: "unknown", output: 1 },
      { verb: "text", text: "x".repeat(16 * 1024 * 1024 - 100) },
      { verb: "tool-result", toolId: "t", output: "ok" },
      { verb: "finish" },
    ];
    await recordAll(input.map((verb) => JSON.stringify(verb)).join("\n"), async (recording) => {
      const { code, facts, stderr } = await recording.ended();
      const told = facts.map(({ type, line, code: why }) => [
        type,
        line,
        ...(why === undefined ? [] : [why]),
      ]);
      expect(told).toEqual([
        ["begin", 0],
        ["durable", 1],
        ["refused", 2, "tool-call-exists"],
        ["refused", 3, "tool-input-complete"],
        ["refused", 4, "unknown-tool"],
        ["refused", 5, "event-too-large"],
        ["durable", 6],
        ["end", 7],
      ]);
      expect(facts.at(-1)).toMatchObject({ outcome: "finished", refused: 4 });
      expect(code).toBe(1);
      expect(stderr.trim().split("\n")).toHaveLength(4);
      expect(stderr).toMatch(/^turnlog: line 4 was refused: .*unknown.*\(unknown-tool\)$/m);
      expect(await recording.readMessage()).toMatchObject({
        status: "finished",
        parts: [{ kind: "tool", output: "ok" }],
      });
    });
  });

  it.each([
    ["is not JSON", "{oops", "malformed-line", /line 3 is not JSON/],
    [
      "names an unknown verb",
      '{"verb":"sing"}',
      "invalid-verb",
      /line 3 names an unknown verb "sing"; the verbs are text,/,
    ],
    ["names no verb", '{"text":"a"}', "invalid-verb", /line 3 names no verb/],
    ["is no object", "[]", "invalid-verb", /line 3 is no object with a verb but array/],
    [
      "lacks a field",
      '{"verb":"tool-started"}',
      "invalid-verb",
      /line 3 is no valid "tool-started": toolId: /,
    ],
    [
      "has a field too many",
      '{"verb":"tool-started","toolId":"t","tool_id":"t"}',
      "invalid-verb",
      /line 3 is no valid "tool-started": .*"tool_id"/,
    ],
  ])("fails the turn at a line that %s, and keeps what came before", async (_what, line, code, message) => {
    await recordAll(`{"verb":"text","text":"kept"}\n\n${line}\n{"verb":"finish"}\n`, async (recording) => {
      const ended = await recording.ended();
      expect(ended.code).toBe(1);
      expect(ended.stderr).toMatch(message);
      expect(ended.stderr.trim().split("\n")).toHaveLength(1);
      expect(ended.facts.at(-1)).toMatchObject({ type: "end", line: 3, outcome: "failed", error: { code } });
      expect(await recording.readMessage()).toMatchObject({ status: "failed", parts: [{ text: "kept" }] });
    });
  });

  it("fails the turn with stream-ended-early where the runtime is gone before its end", async () => {
    await recordAll('{"verb":"text","text":"half"}\n', async (recording) => {
      const { code, facts, stderr } = await recording.ended();
      expect(code).toBe(1);
      expect(stderr).toMatch(/\(stream-ended-early\)/);
      expect(facts.at(-1)).toMatchObject({ outcome: "failed", error: { code: "stream-ended-early" } });
      expect(await recording.readMessage()).toMatchObject({ status: "failed", parts: [{ text: "half" }] });
    });
  });

  it("prints a line for people without --ack, and refuses --ack for other protocols", async () => {
    await withFolder(async (folder) => {
      const recording = new RecordProcess(folder);
      recording.write({ verb: "text", text: "a" }, { verb: "finish" });
      expect((await recording.child.ended()).stdout).toMatch(/^finished: message #1 in "s", 1 part, 1 delta/);
      const store = join(folder, "other.db");
      const child = new Child(process.execPath, [builtCli, "record", "s", "--store", store, "--ack"]);
      expect(await child.ended()).toMatchObject({
        code: 2,
        stdout: "",
        stderr: expect.stringMatching(/^turnlog: --ack .*needs --protocol turnlog\.\n$/),
      });
    });
  });
});

describe("what was acknowledged", () => {
  it(
    `survives ${KILLS} kills of the recording process at random moments`,
    async () => {
      let acknowledgedDeltas = 0;
      for (let kill = 0; kill < KILLS; kill++) {
        await withFolder(async (folder) => {
          const recording = new RecordProcess(folder, "--ack");
          const lines: TurnVerb[] = Array.from({ length: 2000 }, (_, index) =>
            index % 7 === 6 ? { verb: "flush" } : { verb: "text", text: `${index};` },
          );
          recording.write(...lines);
          await recording.waitFor("durable", 1 + Math.floor(Math.random() * 1500));
          await recording.child.kill();
          // What had reached the pipe before the kill was promised too.
          const promised = Math.max(...recording.facts.map(({ line }) => line));
          const message = await recording.readMessage();
          const text = message.parts.map((part) => String(part["text" as never])).join("");
          const all = lines.flatMap((verb) => (verb.verb === "text" ? [verb.text] : []));
          const needed = lines
            .slice(0, promised)
            .flatMap((verb) => (verb.verb === "text" ? [verb.text] : []));
          acknowledgedDeltas += needed.length;
          expect(all.join("").startsWith(text)).toBe(true);
          expect(text.startsWith(needed.join(""))).toBe(true);
          expect(message.status).toBe("open");
        });
      }
      expect(acknowledgedDeltas).toBeGreaterThan(KILLS);
    },
    KILLS * 60_000,
  );
});

describe("the runtime in Python", () => {
  const runtime = join(root, "examples/python-runtime/runtime.py");

  it("is a page of at most 30 lines", () => {
    expect(readFileSync(runtime, "utf8").trimEnd().split("\n").length).toBeLessThanOrEqual(30);
  });

  it("logs its turn through the pipe", async () => {
    const python = new Child("python3", ["--version"]);
    const isThere = await python.ended().then(
      ({ code }) => code === 0,
      () => false,
    );
    if (!isThere) {
      process.stderr.write("python3 is not installed here: its example was not run.\n");
      return;
    }
    await withFolder(async (folder) => {
      const store = join(folder, "conversations.db");
      const child = new Child("python3", [runtime, "py", process.execPath, builtCli], {
        env: { TURNLOG_STORE: store },
      });
      expect(await child.ended()).toEqual({ code: 0, stdout: "finished turn, exit code 0\n", stderr: "" });
      const reader = await openConversationStore(store, { readOnly: true });
      try {
        expect(await reader.listMessages("py")).toMatchObject([
          { role: "user", content: "What is 6 * 7?" },
          {
            role: "assistant",
            status: "finished",
            parts: [
              { kind: "text", text: "I will calculate it." },
              {
                kind: "tool",
                name: "multiply",
                input: '{"a": 6, "b": 7}',
                output: 42,
                started_at: expect.any(Number),
              },
              { kind: "text", text: "It is 42." },
            ],
          },
        ]);
      } finally {
        await reader.close();
      }
    });
  });
});
