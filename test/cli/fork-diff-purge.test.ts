import { readFileSync, readdirSync } from "node:fs";
import { dirname, join } from "node:path";
import { describe, expect, it } from "@jest/globals";
import { openConversationStore } from "../../src/store/open-conversation-store.ts";
import { fillChat, run, withFolder, withStoreFile } from "./cli-support.ts";

/** Database and WAL of log and views, as they lie on disk while nothing is open. */
function bytesOf(store: string): Map<string, string> {
  const folder = dirname(store);
  const names = readdirSync(folder).filter((name) => !name.endsWith("-shm") && !name.endsWith("-projector"));
  return new Map(names.map((name) => [name, readFileSync(join(folder, name)).toString("base64")]));
}

const isJson = (text: string): unknown => JSON.parse(text) as unknown;

describe("turnlog diff", () => {
  it("prints what changed between two points: text, tools, status, title", () =>
    withStoreFile(fillChat, async (store) => {
      const { code, stdout, stderr } = await run(["diff", "chat", "2", "8", "--store", store]);
      expect({ code, stderr }).toEqual({ code: 0, stderr: "" });
      expect(stdout).toMatch(/^chat {2}2 → 8\n/);
      for (const line of ["message #2", "    + ", "find_order", "Let me look."])
        expect(stdout).toContain(line);
    }));

  it("prints one document with --json", () =>
    withStoreFile(fillChat, async (store) => {
      const { stdout } = await run(["diff", "last", "0", "1", "--json", "--store", store]);
      expect(isJson(stdout)).toEqual({
        sessionId: "chat",
        from: { point: "0", revision: 0 },
        to: { point: "1", revision: 1 },
        changes: [expect.objectContaining({ kind: "message-added", messageId: 2, after: 1 })],
      });
    }));

  it("says that there is no difference", () =>
    withStoreFile(fillChat, async (store) => {
      expect((await run(["diff", "chat", "2", "2", "--store", store])).stdout).toMatch(/No difference\.\n$/);
    }));

  it("changes neither log nor views", () =>
    withStoreFile(fillChat, async (store) => {
      const before = bytesOf(store);
      await run(["diff", "chat", "0", "4", "--store", store]);
      expect(bytesOf(store)).toEqual(before);
    }));

  it.each([
    [["diff", "chat", "0"], 2, /missing required argument 'to'/],
    [["diff", "chat", "0", "noon"], 2, /"noon" is no point/],
    [["diff", "chat", "0", "99"], 3, /no revision 99/],
    [["diff", "none", "0", "1"], 3, /has no session "none"/],
  ])("%j: exit %i", (args, code, stderr) =>
    withStoreFile(fillChat, async (store) => {
      const result = await run([...args, "--store", store]);
      expect(result).toMatchObject({ code, stdout: "", stderr: expect.stringMatching(stderr) });
    }),
  );
});

describe("turnlog fork", () => {
  it("makes a session of another's beginning, and says how to look at it", () =>
    withStoreFile(fillChat, async (store) => {
      const { code, stdout, stderr } = await run(["fork", "chat", "--at", "3", "--store", store]);
      expect({ code, stderr }).toEqual({ code: 0, stderr: "" });
      expect(stdout).toMatch(/^Forked chat at 3: chat-fork-3 {2}2 messages · 5 events\n/);
      expect(stdout).toContain(`turnlog show chat-fork-3 --store ${store}`);
      const shown = await run(["show", "chat-fork-3", "--store", store]);
      expect(shown.stdout).toContain("Where is my order?");
      expect(shown.stdout).toContain("interrupted");
    }));

  it("prints one document with --json, and says when the fork was there already", () =>
    withStoreFile(fillChat, async (store) => {
      const made = await run(["fork", "last", "--at", "0", "--as", "f", "--json", "--store", store]);
      const report = {
        sessionId: "f",
        origin: { logId: expect.any(String), sessionId: "chat", revision: 0, marks: null },
        point: "0",
        events: 1,
        messages: 1,
        outcome: "made",
      };
      expect(isJson(made.stdout)).toEqual(report);
      const found = await run(["fork", "chat", "--at", "0", "--as", "f", "--store", store]);
      expect(found).toMatchObject({
        code: 0,
        stdout: expect.stringMatching(/already.*Nothing was written/s),
      });
    }));

  it.each([
    [["fork", "chat"], 2, /required option '--at <point>' not specified/],
    [["fork", "chat", "--at", "noon"], 2, /"noon" is no point/],
    [["fork", "chat", "--at", "99"], 3, /no revision 99/],
    [["fork", "chat", "--at", "0", "--as", "chat"], 1, /exists already/],
  ])("%j: exit %i", (args, code, stderr) =>
    withStoreFile(fillChat, async (store) => {
      const result = await run([...args, "--store", store]);
      expect(result).toMatchObject({ code, stdout: "", stderr: expect.stringMatching(stderr) });
    }),
  );
});

describe("turnlog delete", () => {
  it("takes a session off the list, leaves its history, and may be said twice", () =>
    withStoreFile(fillChat, async (store) => {
      const { code, stdout } = await run(["delete", "chat", "--store", store]);
      expect({ code, stdout }).toMatchObject({
        code: 0,
        stdout: expect.stringMatching(/^Deleted chat\..*--at \d+/),
      });
      expect((await run(["sessions", "--json", "--store", store])).stdout).toBe('{"sessions":[]}\n');
      const [, revision] = /--at (\d+)/.exec(stdout) ?? [];
      expect((await run(["show", "chat", "--at", revision!, "--store", store])).stdout).toContain(
        "It has been shipped.",
      );
      expect(await run(["delete", "chat", "--json", "--store", store])).toEqual({
        code: 0,
        stdout: '{"sessionId":"chat","deleted":false}\n',
        stderr: "",
      });
    }));
});

describe("turnlog purge", () => {
  const purge = ["purge", "chat", "--store"];

  it("leaves the text in no file of the store", () =>
    withStoreFile(fillChat, async (store) => {
      const { code, stdout } = await run([...purge, store, "--yes", "--json"]);
      expect({ code, report: isJson(stdout) }).toEqual({
        code: 0,
        report: { sessionId: "chat", events: expect.any(Number), erased: true },
      });
      for (const [name, bytes] of bytesOf(store)) {
        const text = Buffer.from(bytes, "base64");
        for (const word of ["Where is my", "An order", "find_order"])
          expect({ name, has: text.includes(word) }).toEqual({ name, has: false });
      }
      expect(await run(["show", "chat", "--store", store])).toMatchObject({ code: 3 });
      expect(await run([...purge, store, "--yes"])).toMatchObject({
        code: 0,
        stdout: expect.stringMatching(/0 events removed/),
      });
    }));

  it.each([
    ["y\n", 0, /^Purged chat: \d+ events removed\. Its text is in none/],
    ["yes\n", 0, /^Purged chat/],
    ["n\n", 1, /^Nothing was purged\.\n$/],
    ["\n", 1, /^Nothing was purged\.\n$/],
    ["", 1, /^Nothing was purged\.\n$/],
  ])("asks on a terminal: %j gives exit %i", (input, code, stdout) =>
    withStoreFile(fillChat, async (store) => {
      const result = await run([...purge, store], { input, isTerminal: true });
      expect(result).toMatchObject({ code, stdout: expect.stringMatching(stdout) });
      expect(result.stderr).toMatch(/^Purge "chat", 2 messages and \d+ events, for good\? \[y\/N\] /);
      const isThere = (await run(["show", "chat", "--store", store])).code === 0;
      expect(isThere).toBe(code !== 0);
    }),
  );

  it("needs --yes where nobody can be asked, and writes nothing without", () =>
    withStoreFile(fillChat, async (store) => {
      const before = bytesOf(store);
      expect(await run([...purge, store], { input: "y\n" })).toEqual({
        code: 2,
        stdout: "",
        stderr: "turnlog: There is nobody to ask whether to purge: say --yes.\n",
      });
      expect(bytesOf(store)).toEqual(before);
    }));
});

describe("commands that write", () => {
  it.each([
    ["fork", "s", "--at", "0"],
    ["delete", "s"],
    ["purge", "s", "--yes"],
  ])("%s makes no store where there is none", (...args) =>
    withFolder(async (folder) => {
      const result = await run([...args, "--store", join(folder, "none.db")]);
      expect(result).toMatchObject({ code: 3, stdout: "", stderr: expect.stringMatching(/no store at/) });
      expect(readdirSync(folder)).toEqual([]);
    }),
  );

  it("never let strangers' text act on a terminal", () => {
    const evil = "\u001b]0;owned\u0007\u009b31m\u202e";
    return withStoreFile(
      async (store) => {
        await store.saveMessage(`s\u202e`, "user", "harmless");
        const turn = await store.beginTurn(`s\u202e`, { user: evil });
        void turn.textDelta(evil);
        void turn.toolCall({ toolId: evil, name: evil, input: evil });
        void turn.toolError(evil, evil);
        await turn.fail({ message: evil });
      },
      async (store) => {
        for (const args of [
          ["diff", "last", "0", "7"],
          ["diff", "last", "7", "0"],
          ["diff", "last", "3", "7"],
          ["diff", "last", "3", "7", "--json"],
          ["fork", "last", "--at", "7"],
          ["fork", "last", "--at", "4", "--as", `f\u202e`, "--json"],
          ["delete", `s\u202e`],
          ["purge", `s\u202e`, "--yes"],
        ]) {
          const { code, stdout, stderr } = await run([...args, "--store", store]);
          expect({ args, code }).toEqual({ args, code: 0 });
          expect(stdout + stderr).not.toMatch(/[\u0000-\u0009\u000b-\u001f\u007f-\u009f\u202e]/);
        }
        const left = await openConversationStore(store);
        expect((await left.listSessions()).map(({ id }) => id)).toHaveLength(2);
        await left.close();
      },
    );
  });
});
