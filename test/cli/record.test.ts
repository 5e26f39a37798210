import { readdir } from "node:fs/promises";
import { join } from "node:path";
import { describe, expect, it } from "@jest/globals";
import { jsonLines, run, streamOf, withFolder } from "./cli-support.ts";

describe("turnlog record", () => {
  it("records stdin as a turn and says what came", async () => {
    await withFolder(async (folder) => {
      const store = join(folder, "new.db");
      const args = ["record", "r", "--store", store, "--user", "Hello?", "--model", "m"];
      const recorded = await run(args, { input: streamOf("Hi there, you.") });
      expect(recorded).toEqual({
        code: 0,
        stdout: 'finished: message #2 in "r", 2 parts, 3 deltas, 0 tool calls, 3 tokens in, 3 out, stop\n',
        stderr: "",
      });
      const { stdout } = await run(["show", "r", "--store", store, "--json"]);
      expect(JSON.parse(stdout)).toMatchObject({
        messages: [
          { role: "user", content: "Hello?" },
          { role: "assistant", status: "finished", parts: [{ kind: "text", text: "Hi there, you." }, {}] },
        ],
      });
    });
  });

  it("prints its summary as one JSON document whose keys are always there", async () => {
    await withFolder(async (folder) => {
      const args = ["record", "r", "--store", join(folder, "new.db"), "--json"];
      const { stdout } = await run(args, { input: streamOf("Hi.") + jsonLines({ type: "telepathy" }) });
      expect(JSON.parse(stdout)).toEqual({
        sessionId: "r",
        messageId: 1,
        turnId: expect.any(String),
        outcome: "finished",
        protocol: "anthropic",
        chunks: 7,
        parts: 2,
        deltas: 1,
        toolCalls: 0,
        unknownKinds: { telepathy: 1 },
        finishReason: "stop",
        usage: expect.objectContaining({ inputTokens: 3, outputTokens: 1 }),
        error: null,
      });
    });
  });

  it.each([
    [
      "a malformed line",
      `${streamOf("Hi you.").split("\n").slice(0, 3).join("\n")}\n{oops\n`,
      /^turnlog: line 4 is not JSON/,
      "malformed-line",
    ],
    [
      "an input that ends early",
      streamOf("Hi you.").split("\n").slice(0, 3).join("\n"),
      /ended before the model's message did/,
      "stream-ended-early",
    ],
    ["no input", "", /ended before a message began/, "stream-ended-early"],
    [
      "a provider's error",
      jsonLines(
        { type: "message_start", message: {} },
        { type: "error", error: { type: "overloaded_error", message: "Over\u001bloaded" } },
      ),
      /^turnlog: Over\\x1bloaded \(overloaded_error\)\n$/,
      "overloaded_error",
    ],
  ])(
    "exits 1 with one line on %s, keeps everything before, and the turn has failed",
    async (_, input, line, code) => {
      await withFolder(async (folder) => {
        const store = join(folder, "new.db");
        const recorded = await run(["record", "r", "--store", store], { input });
        expect(recorded).toMatchObject({ code: 1, stderr: expect.stringMatching(line) });
        expect(recorded.stderr.trimEnd()).not.toContain("\n");
        const { stdout } = await run(["show", "r", "--store", store, "--json"]);
        const kept = input.includes('"Hi "') ? [{ kind: "text", text: "Hi " }] : [];
        expect(JSON.parse(stdout)).toMatchObject({
          messages: [{ status: "failed", error: { code }, parts: kept }],
        });
      });
    },
  );

  it("reads $TURNLOG_STORE where --store is not given", async () => {
    await withFolder(async (folder) => {
      const env = { TURNLOG_STORE: join(folder, "env.db") };
      expect(await run(["record", "r"], { input: streamOf("Hi."), env })).toMatchObject({ code: 0 });
      expect(await run(["show", "r"], { env })).toMatchObject({ code: 0 });
      expect(await run(["show", "r", "--store", join(folder, "other.db")], { env })).toMatchObject({
        code: 3,
      });
    });
  });

  it("makes no store for a session that cannot be", async () => {
    await withFolder(async (folder) => {
      const recorded = await run(["record", "a\u0007b", "--store", join(folder, "new.db")]);
      expect(recorded).toMatchObject({ code: 2, stderr: expect.stringContaining("A session id is") });
      expect(await readdir(folder)).toEqual([]);
    });
  });

  it("says what it waits for where stdin is a terminal", async () => {
    await withFolder(async (folder) => {
      const args = ["record", "r", "--store", join(folder, "new.db")];
      const { code, stderr } = await run(args, { input: streamOf("Hi."), isTerminal: true });
      expect({ code, stderr }).toEqual({
        code: 0,
        stderr: expect.stringMatching(/^turnlog: reading chunks from the terminal.*Ctrl-D.*\n$/),
      });
    });
  });
});
