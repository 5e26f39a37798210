import { execFileSync } from "node:child_process";
import { join } from "node:path";
import { describe, expect, it } from "@jest/globals";
import { openProjection, rebuildProjection } from "../../src/projections/open-projection.ts";
import { defineProjection } from "../../src/projections/own-projection.ts";
import { openConversationStore } from "../../src/store/open-conversation-store.ts";
import { query } from "../log/sqlite/sample-log.ts";
import { tempFolders } from "../log/sqlite/temp-folder.ts";
import { asForeign } from "../support/faulty-store.ts";
import { until } from "./support/until.ts";

const newFolder = tempFolders();
const ROOT = join(import.meta.dirname, "../..");

/** Messages saved per session. */
const savedMessages = (version = 1, evolved: { events: number } = { events: 0 }) =>
  defineProjection<Record<string, number>>({
    name: "saved-messages",
    version,
    init: () => ({}),
    evolve(state, { type, sessionId }) {
      evolved.events++;
      return type === "MessageSaved" ? { ...state, [sessionId]: (state[sessionId] ?? 0) + version } : state;
    },
  });

async function newStore() {
  const path = join(await newFolder(), "log.db");
  return { path, store: await openConversationStore(path, { durability: "process", flushIntervalMs: 0 }) };
}

describe("a projection of one's own", () => {
  it.each([{ live: false }, { live: true, intervalMs: 1 }])(
    "sees each append acknowledged before it is read (%j)",
    async (options) => {
      const { path, store } = await newStore();
      const projection = await openProjection(path, savedMessages(), options);
      for (let round = 1; round <= 50; round++) {
        await store.saveMessage("a", "user", "hello");
        expect(await projection.read()).toEqual({ a: round });
      }
      await projection.close();
      await store.close();
    },
  );

  it("goes on from what it has kept, and from the start where its version has changed", async () => {
    const { path, store } = await newStore();
    await store.saveMessage("a", "user", "hello");
    const first = await openProjection(path, savedMessages());
    expect(await first.read()).toEqual({ a: 1 });
    await first.close();
    await store.saveMessage("b", "user", "hello");

    const evolved = { events: 0 };
    const second = await openProjection(path, savedMessages(1, evolved));
    expect(await second.read()).toEqual({ a: 1, b: 1 });
    expect(evolved.events).toBe(1);
    await second.close();

    const raised = await openProjection(path, savedMessages(2));
    expect(await raised.read()).toEqual({ a: 2, b: 2 });
    await raised.close();
    // An older process must not put its state in the place of a newer one's.
    const older = await openProjection(path, savedMessages(1));
    expect(await older.read()).toEqual({ a: 1, b: 1 });
    await older.close();
    expect(query(`${path}.views`, "SELECT version FROM projections")).toEqual([[2]]);
    await store.close();
  });

  it("keeps its state while it is live", async () => {
    const { path, store } = await newStore();
    const projection = await openProjection(path, savedMessages(), { live: true, intervalMs: 1 });
    await store.saveMessage("a", "user", "hello");
    const kept = (): unknown => query(`${path}.views`, "SELECT state FROM projections")[0]?.[0];
    await until(() => kept() === '{"a":1}');
    await projection.close();
    await store.close();
  });

  it("hands out a copy of its state", async () => {
    const { path, store } = await newStore();
    const projection = await openProjection(path, savedMessages());
    await store.saveMessage("a", "user", "hello");
    (await projection.read())["a"] = 99;
    expect(await projection.read()).toEqual({ a: 1 });
    await projection.close();
    await expect(projection.read()).rejects.toMatchObject({ code: "projection-closed" });
    await store.close();
  });

  it("says on which event it failed, and keeps what it had", async () => {
    const { path, store } = await newStore();
    const fragile = defineProjection<{ seen: number }>({
      name: "fragile",
      version: 1,
      init: () => ({ seen: 0 }),
      evolve(state, { type }) {
        if (type === "SessionUpdated") throw new Error("titles are not for me");
        return { seen: state.seen + 1 };
      },
    });
    await store.saveMessage("a", "user", "hello");
    const before = await openProjection(path, fragile);
    await before.read();
    await before.close();
    await store.updateSession("a", { title: "a title" });
    const projection = await openProjection(path, fragile);
    await expect(projection.read()).rejects.toMatchObject({
      code: "projection-failed",
      message: expect.stringMatching(
        /fragile failed on SessionUpdated at revision 1 .*titles are not for me/,
      ),
    });
    await projection.close();
    expect(query(`${path}.views`, "SELECT state FROM projections")).toEqual([['{"seen":1}']]);
    await store.close();
  });

  it("stops at an event that cannot be decoded", async () => {
    const { path, store } = await newStore();
    await store.log.append("conversation-a", asForeign({ type: "MessageSaved", data: {} as never }), "any");
    const projection = await openProjection(path, savedMessages());
    await expect(projection.read()).rejects.toMatchObject({ code: "invalid-event" });
    await projection.close();
    await store.close();
  });

  it("is rebuilt from the log's start, and compared with what was kept", async () => {
    const { path, store } = await newStore();
    for (let index = 0; index < 3; index++) await store.saveMessage("a", "user", "hello");
    await store.close();
    expect(await rebuildProjection(path, savedMessages())).toMatchObject({ comparison: undefined });
    expect(await rebuildProjection(path, savedMessages())).toMatchObject({
      name: "saved-messages",
      comparison: "same",
      isInService: true,
    });
    // The same version, another fold: what a dry run is for.
    const changed = { ...savedMessages(), evolve: () => ({ a: -1 }) };
    expect(await rebuildProjection(path, changed, { dryRun: true })).toMatchObject({
      comparison: "different",
      isInService: false,
    });
    expect(query(`${path}.views`, "SELECT state FROM projections")).toEqual([['{"a":3}']]);
    await rebuildProjection(path, changed);
    expect(query(`${path}.views`, "SELECT state FROM projections")).toEqual([['{"a":-1}']]);
  });

  it.each([
    { name: "Tool usage", version: 1 },
    { name: "", version: 1 },
    { name: "x", version: 0 },
    { name: "x", version: 1.5 },
  ])("needs a name and a version: %j", (part) => {
    const define = () => defineProjection({ ...part, init: () => ({}), evolve: (state) => state });
    expect(define).toThrow(expect.objectContaining({ code: "invalid-projection" }));
  });
});

describe("the example tool-usage-per-day", () => {
  it("counts the calls and errors of each tool, and is rebuilt by the command line", async () => {
    const { path, store } = await newStore();
    const turn = await store.beginTurn("a", { user: "look it up" });
    await turn.textDelta("Let me see. ");
    await turn.toolCall({ toolId: "c1", name: "search", input: '{"q":"x"}' });
    await turn.toolStarted("c1");
    await turn.toolError("c1", "no such thing");
    await turn.toolInputStart({ toolId: "c2", name: 'read "it"' });
    await turn.toolInputDelta("c2", "{}");
    await turn.toolCall({ toolId: "c2", name: 'read "it"' });
    await turn.toolResult("c2", "text");
    await turn.finish();
    const again = await store.regenerate("a");
    await again.toolCall({ toolId: "c3", name: "search", input: "{}" });
    await again.toolResult("c3", []);
    await again.finish();
    await store.close();

    const today = new Date().toISOString().slice(0, 10);
    const run = (args: string): string =>
      execFileSync(process.execPath, args.split(" "), { cwd: ROOT, encoding: "utf8" });
    const printed = run(`examples/tool-usage-per-day/print.js ${path}`);
    expect(printed.replaceAll(/\d{4}-\d\d-\d\d/g, "DAY")).toBe(
      'DAY  search: 2 calls, 1 errors\nDAY  read "it": 1 calls, 0 errors\n',
    );
    expect(printed.slice(0, 7)).toBe(today.slice(0, 7));
    const rebuilt = run(
      `dist/cli/main.js rebuild tool-usage-per-day --projection examples/tool-usage-per-day/tool-usage.js --store ${path} --json`,
    );
    expect(JSON.parse(rebuilt)).toMatchObject({ name: "tool-usage-per-day", comparison: "same" });
  });
});
