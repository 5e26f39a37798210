import { mkdtempSync, readFileSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterAll, beforeAll, describe, expect, it } from "@jest/globals";
import { openConversationStore } from "../../src/store/open-conversation-store.ts";
import { copyStore } from "../forensics/damaged-file-support.ts";
import { StoreUrls } from "../forensics/transfer-support.ts";
import { FixtureNode } from "../support/eventstoredb-fixture/fixture-node.ts";
import { fillRichly } from "../support/rich-session.ts";
import { run } from "./cli-support.ts";

/** Every command works on every kind of store, and those that read change nothing. */

let folder: string;
let node: FixtureNode;
let urls: StoreUrls;

beforeAll(async () => {
  folder = mkdtempSync(join(tmpdir(), "turnlog-every-"));
  node = await FixtureNode.start({ countsEverything: true });
  urls = new StoreUrls(folder, node);
});
afterAll(async () => {
  await urls.close();
  await node.close();
  rmSync(folder, { recursive: true, force: true });
});

const READING: readonly string[][] = [
  ["sessions"],
  ["show", "rich"],
  ["show", "rich", "--at", "9"],
  ["events", "rich"],
  ["autopsy"],
  ["autopsy", "last"],
  ["repair", "--all", "--dry-run"],
  ["replay", "rich"],
  ["diff", "rich", "4", "12"],
  ["stats"],
  ["verify"],
  ["export"],
];

describe.each(["memory", "file", "server"] as const)("on a %s store", (kind) => {
  it("each command does what it is for", async () => {
    const url = urls.next(kind);
    const store = await openConversationStore(url, { durability: "process", flushIntervalMs: 0 });
    await fillRichly(store, "rich");
    await store.close();
    // The turn that was left open is found: that is no failure.
    const finds = new Set(["autopsy", "repair"]);
    for (const args of READING) {
      const result = await run([...args, "--store", url]);
      expect({ args, ...result }).toMatchObject({ args, code: finds.has(args[0] ?? "") ? 1 : 0, stderr: "" });
      expect(result.stdout).not.toBe("");
    }
    const exported = await run(["export", "--store", url]);
    const copy = urls.next(kind);
    for (const [args, input] of [
      [["record", "new", "--store", url, "--protocol", "anthropic"], RECORDED],
      [["fork", "rich", "--at", "9", "--as", "forked", "--store", url], ""],
      [["repair", "--all", "--store", url], ""],
      [["import", "--store", urls.next(kind)], exported.stdout],
      [["copy", url, copy], ""],
      [["verify", "--store", copy], ""],
      [["delete", "forked", "--store", url], ""],
      [["purge", "forked", "--yes", "--store", url], ""],
      [["verify", "--store", url], ""],
      [["autopsy", "--store", url], ""],
    ] as const) {
      expect({ args, ...(await run(args, { input })) }).toMatchObject({ args, code: 0, stderr: "" });
    }
  });
});

const RECORDED = readFileSync(new URL("../samples/anthropic.jsonl", import.meta.url), "utf8");

describe("commands that read", () => {
  it("leave database and write-ahead log of a writer that died byte for byte as they were", async () => {
    const [live, path] = [join(folder, "live.db"), join(folder, "died.db")];
    const store = await openConversationStore(live, { durability: "process", flushIntervalMs: 0 });
    await fillRichly(store, "rich");
    copyStore(live, path); // As kill -9 leaves it: nothing is in the database yet.
    await store.close();
    const contentOf = (): Buffer[] => [readFileSync(path), readFileSync(`${path}-wal`)];
    const before = contentOf();
    expect(before[1]?.length).toBeGreaterThan(0);
    const others = [
      ["copy", path, join(folder, "copied.db")],
      ["salvage", path, "--to", join(folder, "salvaged.db")],
    ];
    for (const args of [...READING.map((each) => [...each, "--store", path]), ...others]) {
      const { code } = await run(args);
      expect({ args, code }).toEqual({ args, code: code === 1 ? 1 : 0 });
      expect({
        args,
        isSame: contentOf().every((bytes, index) => bytes.equals(before[index] ?? bytes.subarray(1))),
      }).toEqual({
        args,
        isSame: true,
      });
    }
  });
});
