import { readdir, stat, writeFile } from "node:fs/promises";
import { join } from "node:path";
import { describe, expect, it } from "@jest/globals";
import { openEventLog } from "../../src/log/open-event-log.ts";
import type { ConversationStore } from "../../src/store/conversation-store.ts";
import { jsonLines, run, streamOf, withFolder, withStoreFile } from "./cli-support.ts";

const ISO = /^\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{3}Z$/;

/** A user's message, an answer with a tool call, and a title. */
async function fill(store: ConversationStore): Promise<void> {
  const turn = await store.beginTurn("chat", { user: "Where is my order?", model: "m-1" });
  void turn.reasoningDelta("The user wants the order.");
  void turn.textDelta("Let me look.");
  void turn.toolCall({ toolId: "t1", name: "find_order", input: '{"id":7}' });
  void turn.toolResult("t1", [{ type: "text", text: "shipped" }]);
  void turn.textDelta("It has been shipped.");
  await turn.finish({ finishReason: "stop", usage: { inputTokens: 1200, outputTokens: 34 } });
  await store.updateSession("chat", { title: "An order" });
}

describe("turnlog sessions", () => {
  it("lists the sessions with what they take", async () => {
    await withStoreFile(fill, async (store) => {
      const { code, stdout, stderr } = await run(["sessions", "--store", store]);
      expect({ code, stderr }).toEqual({ code: 0, stderr: "" });
      expect(stdout).toMatch(
        /^SESSION  TITLE     MESSAGES  LAST ACTIVE           EVENTS   BYTES\nchat     An order         2  \S{20} +\d+  \d\.\d KB\n$/,
      );
    });
  });

  it("prints one JSON document whose keys are always there", async () => {
    const two = async (store: ConversationStore): Promise<void> => {
      await fill(store);
      await store.saveMessage("untitled", "user", "hi");
    };
    await withStoreFile(two, async (store) => {
      const { stdout } = await run(["sessions", "--store", store, "--json"]);
      const session = {
        lastActive: expect.stringMatching(ISO),
        events: expect.any(Number),
        bytes: expect.any(Number),
      };
      expect(JSON.parse(stdout)).toEqual({
        sessions: expect.arrayContaining([
          { ...session, id: "chat", title: "An order", messageCount: 2 },
          { ...session, id: "untitled", title: null, messageCount: 1, events: 1 },
        ]),
      });
    });
  });

  it("limits, says so, and takes a prefix", async () => {
    const many = async (store: ConversationStore): Promise<void> => {
      for (const id of ["a-1", "a-2", "b-1"]) await store.saveMessage(id, "user", id);
    };
    await withStoreFile(many, async (store) => {
      const ids = async (...args: string[]): Promise<string[]> => {
        const { stdout } = await run(["sessions", "--store", store, "--json", ...args]);
        return (JSON.parse(stdout) as { sessions: { id: string }[] }).sessions.map(({ id }) => id);
      };
      expect((await ids()).toSorted()).toEqual(["a-1", "a-2", "b-1"]);
      expect((await ids("--prefix", "a-")).toSorted()).toEqual(["a-1", "a-2"]);
      expect(await ids("--limit", "1")).toHaveLength(1);
      expect(await ids("--limit", "1", "--all")).toHaveLength(3);
      const limited = await run(["sessions", "--store", store, "--limit", "2"]);
      expect(limited.stderr).toMatch(/only the newest 2 are listed/);
      expect(limited.stdout.trimEnd().split("\n")).toHaveLength(3);
    });
  });
});

describe("turnlog show", () => {
  it("prints the conversation: roles, times, tool calls, usage; reasoning folded", async () => {
    await withStoreFile(fill, async (store) => {
      const { code, stdout } = await run(["show", "chat", "--store", store]);
      expect(code).toBe(0);
      expect(stdout.replaceAll(/ \d{4}-\S+Z( · took .*)?/g, " TIME").replaceAll(/ · \d+ ms/g, "")).toBe(
        [
          "chat: An order  2 messages · revision 8",
          "",
          "user  #1 · TIME",
          "  Where is my order?",
          "",
          "assistant finished  #2 · TIME",
          "  ┊ reasoning, 25 characters (--reasoning shows it)",
          "  Let me look.",
          "  ▸ find_order output-available",
          '    in  {"id":7}',
          "    out shipped",
          "  It has been shipped.",
          "  1,200 tokens in · 34 out · stop",
          "",
        ].join("\n"),
      );
    });
  });

  it("shows reasoning when asked", async () => {
    await withStoreFile(fill, async (store) => {
      const { stdout } = await run(["show", "chat", "--store", store, "--reasoning"]);
      expect(stdout).toContain("  ┊ The user wants the order.\n");
    });
  });

  it("prints one JSON document: session, revision, messages as the library returns them", async () => {
    await withStoreFile(fill, async (store) => {
      const { stdout } = await run(["show", "chat", "--store", store, "--json"]);
      expect(JSON.parse(stdout)).toEqual({
        sessionId: "chat",
        revision: 8,
        messages: [
          expect.objectContaining({ id: 1, role: "user", content: "Where is my order?", status: "saved" }),
          expect.objectContaining({
            id: 2,
            role: "assistant",
            status: "finished",
            createdAt: expect.stringMatching(ISO),
            parts: [
              { kind: "reasoning", text: "The user wants the order." },
              { kind: "text", text: "Let me look." },
              expect.objectContaining({ kind: "tool", name: "find_order", input: '{"id":7}' }),
              { kind: "text", text: "It has been shipped." },
            ],
          }),
        ],
      });
    });
  });

  it("shows the newest 50 messages, or as many as asked for; JSON has all", async () => {
    const many = async (store: ConversationStore): Promise<void> => {
      for (let n = 1; n <= 53; n++) void store.saveMessage("s", "user", `message ${n}.`);
    };
    await withStoreFile(many, async (store) => {
      const shown = async (...args: string[]): Promise<string[]> =>
        (await run(["show", "s", "--store", store, ...args])).stdout.match(/message \d+\./g) ?? [];
      expect(await shown()).toHaveLength(50);
      expect((await shown())[0]).toBe("message 4.");
      expect(await shown("--limit", "2")).toEqual(["message 52.", "message 53."]);
      expect(await shown("--limit", "0")).toEqual([]);
      expect(await shown("--all")).toHaveLength(53);
      const { stdout } = await run(["show", "s", "--store", store, "--json"]);
      expect((JSON.parse(stdout) as { messages: unknown[] }).messages).toHaveLength(53);
      expect((await run(["show", "s", "--store", store])).stdout).toContain("… 3 earlier messages; --all");
    });
  });

  it("hints at branches and shows the active one", async () => {
    const regenerate = async (store: ConversationStore): Promise<void> => {
      const first = await store.beginTurn("s", { user: "hi" });
      void first.textDelta("first answer");
      await first.finish();
      const second = await store.regenerate("s");
      void second.textDelta("second answer");
      await second.finish();
      await store.selectBranch(second.messageId, 0);
    };
    await withStoreFile(regenerate, async (store) => {
      const { stdout } = await run(["show", "s", "--store", store]);
      expect(stdout).toContain("variant 1 of 2");
      expect(stdout).toContain("first answer");
      expect(stdout).not.toContain("second answer");
    });
  });

  it("takes a session back to a point", async () => {
    await withStoreFile(fill, async (store) => {
      const at = async (point: string): Promise<{ revision: number; parts: number; status?: string }> => {
        const { stdout } = await run(["show", "chat", "--store", store, "--at", point, "--json"]);
        const { revision, messages } = JSON.parse(stdout) as {
          revision: number;
          messages: { parts: unknown[]; status: string }[];
        };
        const answer = messages[1];
        return { revision, parts: answer?.parts.length ?? 0, ...(answer && { status: answer.status }) };
      };
      expect(await at("0")).toEqual({ revision: 0, parts: 0 });
      expect(await at("2")).toEqual({ revision: 2, parts: 0, status: "open" });
      // Reasoning and text came in one window: one event with two marks.
      expect(await at("3+1")).toEqual({ revision: 3, parts: 1, status: "open" });
      expect(await at("3")).toEqual({ revision: 3, parts: 2, status: "open" });
      expect(await at("0s-ago")).toEqual({ revision: 8, parts: 4, status: "finished" });
      expect(await at("1d-ago")).toEqual({ revision: -1, parts: 0 });
      const beyond = await run(["show", "chat", "--store", store, "--at", "99"]);
      expect(beyond).toMatchObject({ code: 3, stdout: "", stderr: expect.stringContaining("newest is 8") });
    });
  });

  it("takes last for the session of the newest event, not of a deleted one", async () => {
    const three = async (store: ConversationStore): Promise<void> => {
      await store.saveMessage("first", "user", "a");
      await store.saveMessage("second", "user", "b");
      await store.saveMessage("third", "user", "c");
      await store.saveMessage("second", "user", "d");
      await store.deleteSession("third");
    };
    await withStoreFile(three, async (store) => {
      const { stdout } = await run(["show", "last", "--store", store, "--json"]);
      expect(JSON.parse(stdout)).toMatchObject({ sessionId: "second" });
      expect((await run(["show", "third", "--store", store])).code).toBe(3);
    });
    await withStoreFile(
      (store) => store.deleteSession("never"),
      async (store) => {
        const { code, stderr } = await run(["show", "last", "--store", store]);
        expect({ code, stderr }).toEqual({ code: 3, stderr: expect.stringMatching(/no sessions|no store/) });
      },
    );
  });

  it("finds last also far behind other sessions' deletions", async () => {
    const deletions = async (store: ConversationStore): Promise<void> => {
      await store.saveMessage("kept", "user", "a");
      for (let n = 0; n < 150; n++) {
        void store.saveMessage(`gone-${n}`, "user", "b");
        void store.deleteSession(`gone-${n}`);
      }
    };
    await withStoreFile(deletions, async (store) => {
      const { stdout } = await run(["show", "last", "--store", store, "--json"]);
      expect(JSON.parse(stdout)).toMatchObject({ sessionId: "kept" });
    });
  });
});

describe("turnlog events", () => {
  it("prints one line an event", async () => {
    await withStoreFile(fill, async (store) => {
      const { code, stdout } = await run(["events", "chat", "--store", store]);
      const lines = stdout.trimEnd().split("\n");
      expect(code).toBe(0);
      expect(lines).toHaveLength(9);
      expect(lines[0]).toMatch(/^ +\d+ +0 \S{23}Z MessageSaved +- +#1 user “Where is my order\?”$/);
      expect(lines[3]).toMatch(/ BranchesUpdated +delta +#2 \+\d+ in 2 deltas “/);
      expect(lines[4]).toMatch(/ BranchesUpdated +tool-call +#2 /);
      expect(lines[7]).toMatch(/ TurnEnded +- +#2 finished stop$/);
    });
  });

  it("prints JSON lines, data and metadata as stored", async () => {
    await withStoreFile(fill, async (store) => {
      const { stdout } = await run([
        "events",
        "chat",
        "--store",
        store,
        "--json",
        "--from",
        "7",
        "--limit",
        "1",
      ]);
      expect(JSON.parse(stdout)).toEqual({
        position: expect.any(Number),
        revision: 7,
        id: expect.stringMatching(/^[0-9a-f-]{36}$/),
        type: "TurnEnded",
        time: expect.stringMatching(ISO),
        data: expect.objectContaining({ messageId: 2, outcome: "finished" }),
        metadata: expect.objectContaining({ v: 1, turnId: expect.any(String) }),
      });
    });
  });

  it("takes a range; behind the newest event there is nothing, which is no error", async () => {
    await withStoreFile(fill, async (store) => {
      const revisions = async (...args: string[]): Promise<number[]> => {
        const { stdout } = await run(["events", "chat", "--store", store, "--json", ...args]);
        return stdout
          .split("\n")
          .filter(Boolean)
          .map((line) => (JSON.parse(line) as { revision: number }).revision);
      };
      expect(await revisions("--from", "6")).toEqual([6, 7, 8]);
      expect(await revisions("--limit", "2")).toEqual([0, 1]);
      expect(await run(["events", "chat", "--store", store, "--from", "9"])).toEqual({
        code: 0,
        stdout: "",
        stderr: "",
      });
    });
  });

  it("shows events that this version does not know", async () => {
    await withFolder(async (folder) => {
      const store = join(folder, "store.db");
      const log = await openEventLog(store);
      const id = "00000000-0000-8000-8000-000000000001";
      await log.append("conversation-s", [{ id, type: "\u001bNew", data: ["x"], metadata: {} }], "any");
      await log.close();
      expect((await run(["events", "s", "--store", store])).stdout).toMatch(/ 0 \? +\\x1bNew +- +\["x"\]\n$/);
      const shown = await run(["show", "s", "--store", store]);
      expect(shown).toMatchObject({ code: 1, stderr: expect.stringMatching(/^turnlog: .*revision 0.*\n$/) });
    });
  });
});

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
});

describe("bad stores", () => {
  const reading = [["sessions"], ["show", "last"], ["events", "last"]];

  it.each(reading)("%s makes no store where there is none", async (...args) => {
    await withFolder(async (folder) => {
      const { code, stdout, stderr } = await run([...args, "--store", join(folder, "none.db")]);
      expect({ code, stdout }).toEqual({ code: 3, stdout: "" });
      expect(stderr).toMatch(/^turnlog: There is no store at .*none\.db.*\n$/);
      expect(await readdir(folder)).toEqual([]);
    });
  });

  it.each([...reading, ["record", "s"]])(
    "%s refuses a folder and a text file, and leaves them alone",
    async (...args) => {
      await withFolder(async (folder) => {
        const file = join(folder, "notes.txt");
        await writeFile(file, "not a store\n".repeat(500));
        const { mtimeMs } = await stat(file);
        for (const store of [folder, file]) {
          const { code, stderr } = await run([...args, "--store", store]);
          expect({ code, stderr }).toEqual({
            code: 3,
            stderr: expect.stringMatching(/^turnlog: .* is no turnlog store.*\n$/),
          });
        }
        expect((await stat(file)).mtimeMs).toBe(mtimeMs);
        expect(await readdir(folder)).toEqual(["notes.txt"]);
      });
    },
  );

  it("says which URLs there are", async () => {
    const { code, stderr } = await run(["sessions", "--store", "http://example.org/"]);
    expect({ code, stderr }).toEqual({
      code: 2,
      stderr: expect.stringMatching(/scheme http: is unknown.*esdb/),
    });
  });
});

describe("what a command prints of strangers' text", () => {
  const evil = "\u001b]0;owned\u0007\u009b31m\u202e\r\u2028\u200b";

  it("never acts on a terminal: contents, names, titles, errors, JSON", async () => {
    const fillEvil = async (store: ConversationStore): Promise<void> => {
      await store.saveMessage("s\u202e", "user", `text ${evil}`);
      await store.updateSession("s\u202e", { title: `title ${evil}` });
      const turn = await store.beginTurn("s\u202e", { model: evil });
      void turn.reasoningDelta(evil);
      void turn.toolCall({ toolId: "t", name: `tool ${evil}`, input: evil });
      void turn.toolError("t", evil);
      void turn.source({ url: `https://x/${evil}` });
      await turn.fail({ message: evil, code: evil });
    };
    await withStoreFile(fillEvil, async (store) => {
      for (const args of [
        ["sessions"],
        ["sessions", "--json"],
        ["show", "last", "--reasoning"],
        ["show", "last", "--json"],
        ["events", "last"],
        ["events", "last", "--json"],
        ["show", `no\u202esuch`],
        ["show", "last", "--at", evil],
        ["sho\u001bw"],
        ["show", "last", `--\u009bx`],
      ]) {
        const { stdout, stderr } = await run([...args, "--store", store]);
        expect(stdout + stderr).not.toBe("");
        expect(stdout + stderr).not.toMatch(/[\u0000-\u0009\u000b-\u001f\u007f-\u009f\u200b\u2028-\u202e]/);
      }
    });
  });
});

describe("usage", () => {
  it.each([
    [["shwo"], "turnlog: unknown command 'shwo' (Did you mean show?)\n"],
    [["show", "s", "--stoer", "x"], "turnlog: unknown option '--stoer' (Did you mean --store?)\n"],
    [["show"], "turnlog: missing required argument 'session' (turnlog --help shows what there is)\n"],
    [
      ["sessions", "--limit", "many"],
      "turnlog: option '--limit <n>' argument 'many' is invalid. It must be an integer from 0. (turnlog --help shows what there is)\n",
    ],
    [["record", "s", "--pace", "-1"], expect.stringMatching(/--pace.*milliseconds/)],
    [["record", "s", "--protocol", "smtp"], expect.stringMatching(/Allowed choices are auto, openai-chat/)],
    [["show", "s", "--at", "noon"], expect.stringMatching(/"noon" is no point/)],
    [["show", "s", "extra"], expect.stringMatching(/too many arguments/)],
    [["demo", "--store", "memory:"], expect.stringMatching(/two processes/)],
  ])("%j is refused in one line with exit 2", async (args, stderr) => {
    const result = await run(args);
    expect(result).toEqual({ code: 2, stdout: "", stderr });
    expect(result.stderr.trimEnd()).not.toContain("\n");
  });

  it("prints help and the version on stdout", async () => {
    const { version } = (await import("../../package.json", { with: { type: "json" } })).default as {
      version: string;
    };
    expect(await run(["--version"])).toEqual({ code: 0, stdout: `${version}\n`, stderr: "" });
    for (const command of ["record", "sessions", "show", "events", "demo"]) {
      const help = await run([command, "--help"]);
      expect(help).toMatchObject({ code: 0, stderr: "" });
      expect(help.stdout).toMatch(new RegExp(`^Usage: turnlog ${command} `));
      expect(help.stdout).toMatch(new RegExp(`Examples?:\\n( +\\$ .*\\n)* +\\$ .*turnlog ${command} `));
      expect((await run(["help", command])).stdout).toBe(help.stdout);
      expect((await run(["--help"])).stdout).toMatch(new RegExp(`^  ${command} `, "m"));
    }
  });

  it("without a command shows help on stderr and exits 2", async () => {
    expect(await run([])).toMatchObject({ code: 2, stdout: "", stderr: expect.stringMatching(/^Usage: /) });
  });
});
