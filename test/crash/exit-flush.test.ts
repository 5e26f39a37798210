import { spawn } from "node:child_process";
import { mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { text } from "node:stream/consumers";
import { fileURLToPath } from "node:url";
import { afterEach, beforeEach, describe, expect, it } from "@jest/globals";
import type { StoredMessage } from "../../src/projections/stored-message.ts";
import { openConversationStore } from "../../src/store/open-conversation-store.ts";

const CHILD = fileURLToPath(new URL("exit-child.js", import.meta.url));
const BUFFERED = [{ kind: "text", text: "buffered" }];

let folder: string;
beforeEach(() => {
  folder = mkdtempSync(join(tmpdir(), "turnlog-exit-"));
});
afterEach(() => rmSync(folder, { recursive: true, force: true }));

interface Ending {
  code: number | null;
  stdout: string;
  stderr: string;
}

/** Runs the child to its own end. */
async function endsBy(way: string, ...names: string[]): Promise<Ending> {
  const child = spawn(process.execPath, [CHILD, way, ...names.map((name) => join(folder, name))]);
  const [stdout, stderr, code] = await Promise.all([
    text(child.stdout),
    text(child.stderr),
    new Promise<number | null>((resolve) => child.once("exit", resolve)),
  ]);
  return { code, stdout, stderr };
}

async function answerIn(name: string): Promise<StoredMessage> {
  const store = await openConversationStore(join(folder, name));
  try {
    return await store.lastAssistantMessage("s");
  } finally {
    await store.close();
  }
}

describe("a process that ends with deltas in the buffer", () => {
  it.each([
    ["calls process.exit", "exit", 0],
    ["throws what nobody catches", "throw", 1],
    ["rejects what nobody handles", "rejection", 1],
    ["simply ends", "end", 0],
  ])("has them in the log when it %s", async (_what, way, code) => {
    const ending = await endsBy(way, "log.db");
    expect(ending.code).toBe(code);
    if (code === 0) expect(ending.stderr).toBe("");
    expect(await answerIn("log.db")).toMatchObject({ parts: BUFFERED, status: "open" });
  });

  it("has them in the logs of all its stores", async () => {
    await endsBy("exit", "one.db", "two.db");
    expect((await answerIn("one.db")).parts).toEqual(BUFFERED);
    expect((await answerIn("two.db")).parts).toEqual(BUFFERED);
  });

  it.each([
    ["on its way to the session", "flushing", BUFFERED],
    ["behind a command that is not done", "behind", [{ kind: "text", text: "buffered more" }]],
    [
      "around a tool call",
      "structural",
      [{ text: "before" }, { tool_id: "t", state: "input-available" }, { text: "after" }],
    ],
  ])("has what was %s, too", async (_what, way, parts) => {
    expect(await endsBy(way, "log.db")).toEqual({ code: 0, stdout: "", stderr: "" });
    expect(await answerIn("log.db")).toMatchObject({ parts, status: "open" });
  });

  it("has the end of a turn that was not awaited", async () => {
    await endsBy("finishing", "log.db");
    expect(await answerIn("log.db")).toMatchObject({
      parts: BUFFERED,
      status: "finished",
      finishReason: "stop",
    });
  });

  it("has them once, wherever on the way of the append it ends", async () => {
    const ways = [
      ...[0, 1, 2, 3, 5, 8, 20, 100].map((ticks) => `ticks-${ticks}`),
      ...[0, 1, 2, 3, 4, 5, 6, 8, 10, 15].map((microtasks) => `answered-${microtasks}`),
    ];
    while (ways.length > 0) {
      const batch = ways.splice(0, 3);
      const endings = await Promise.all(batch.map((way) => endsBy(way, `${way}.db`)));
      expect(endings).toEqual(batch.map(() => ({ code: 0, stdout: "", stderr: "" })));
      for (const way of batch) {
        expect({ way, parts: (await answerIn(`${way}.db`)).parts }).toEqual({ way, parts: BUFFERED });
      }
    }
  });
});

describe("an open store", () => {
  it("does not keep a process from ending, not with an open turn either", async () => {
    expect(await endsBy("idle", "log.db")).toEqual({ code: 0, stdout: "", stderr: "" });
    expect(await answerIn("log.db")).toMatchObject({ status: "open", content: "[]" });
  });

  it("leaves nothing behind that keeps it, once it is closed", async () => {
    expect(await endsBy("closed", "log.db")).toEqual({ code: 0, stdout: "", stderr: "" });
    expect(await answerIn("log.db")).toMatchObject({ status: "open", parts: BUFFERED });
  });

  it("keeps it until what is buffered has been flushed", async () => {
    expect(await endsBy("window", "log.db")).toEqual({
      code: 0,
      stdout: JSON.stringify(BUFFERED),
      stderr: "",
    });
  });
});
