import { join } from "node:path";
import { describe, expect, it } from "@jest/globals";
import { openEventLog } from "../../src/log/open-event-log.ts";
import type { ConversationStore } from "../../src/store/conversation-store.ts";
import { ISO_TIME, fillChat, run, withFolder, withStoreFile } from "./cli-support.ts";

describe("turnlog sessions", () => {
  it("lists the sessions with what they take", async () => {
    await withStoreFile(fillChat, async (store) => {
      const { code, stdout, stderr } = await run(["sessions", "--store", store]);
      expect({ code, stderr }).toEqual({ code: 0, stderr: "" });
      expect(stdout).toMatch(
        /^SESSION  TITLE     MESSAGES  LAST ACTIVE           EVENTS   BYTES\nchat     An order         2  \S{20} +\d+  \d\.\d KB\n$/,
      );
    });
  });

  it("prints one JSON document whose keys are always there", async () => {
    const two = async (store: ConversationStore): Promise<void> => {
      await fillChat(store);
      await store.saveMessage("untitled", "user", "hi");
    };
    await withStoreFile(two, async (store) => {
      const { stdout } = await run(["sessions", "--store", store, "--json"]);
      const session = {
        lastActive: expect.stringMatching(ISO_TIME),
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

describe("turnlog events", () => {
  it("prints one line an event", async () => {
    await withStoreFile(fillChat, async (store) => {
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
    await withStoreFile(fillChat, async (store) => {
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
        time: expect.stringMatching(ISO_TIME),
        data: expect.objectContaining({ messageId: 2, outcome: "finished" }),
        metadata: expect.objectContaining({ v: 1, turnId: expect.any(String) }),
      });
    });
  });

  it("takes a range; behind the newest event there is nothing, which is no error", async () => {
    await withStoreFile(fillChat, async (store) => {
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
