import { describe, expect, it } from "@jest/globals";
import { ReplaySubject, firstValueFrom, take, toArray } from "rxjs";
import type { ConversationStore } from "../../src/store/conversation-store.ts";
import type { SessionChange } from "../../src/store/session-watch.ts";
import { withStore, withStores } from "../support/memory-store.ts";

const shown = (change: SessionChange): unknown =>
  change.kind === "message"
    ? [change.message.id, change.message.content, change.message.status]
    : change.kind === "session"
      ? change.title
      : change.messages.map(({ content }) => content);

/** Watches until so many changes have come; returns once the snapshot is there. */
async function watched(store: ConversationStore, count: number): Promise<Promise<SessionChange[]>[]> {
  const changes = new ReplaySubject<SessionChange>();
  const all = firstValueFrom(changes.pipe(take(count), toArray()));
  const subscription = store.watchMessages("s").subscribe(changes);
  await firstValueFrom(changes);
  return [all.finally(() => subscription.unsubscribe())];
}

describe("watching a session", () => {
  it("begins with a snapshot and names what each event changed", () =>
    withStores(2, async (store, other) => {
      const first = await store.saveMessage("s", "user", "before");
      const [changes] = await watched(store, 6);
      const stub = await other.appendAssistantStub("s");
      await other.updateBranches(stub, "[1]", "", 0);
      await store.saveMessage("other", "user", "elsewhere");
      // More events than "s" has: their revisions must not pass for its.
      for (let n = 0; n < 10; n++) await store.saveMessage("s-longer", "user", "elsewhere");
      await other.updateSession("s", { title: "T" });
      await store.replaceMessages("s", [{ keep: first }]);
      await store.deleteSession("s");
      expect((await changes)!.map(shown)).toEqual([
        ["before"],
        [stub, "[]", "filling"],
        [stub, "[1]", "filling"],
        "T",
        ["before"],
        [],
      ]);
    }));

  it("also names the message that another one changed", () =>
    withStore(async (store) => {
      const turn = await store.beginTurn("s");
      const [changes] = await watched(store, 4);
      const next = await store.beginTurn("s");
      expect((await changes)!.slice(1).map(shown)).toEqual([
        [turn.messageId, "[]", "superseded"],
        [next.messageId, "[]", "filling"],
        [next.messageId, "[]", "open"],
      ]);
    }));

  it("is an async iterable that ends with its signal", () =>
    withStore(async (store) => {
      const abort = new AbortController();
      const kinds: string[] = [];
      for await (const change of store.watch("s", { signal: abort.signal })) {
        kinds.push(change.kind);
        if (change.kind === "snapshot") await store.saveMessage("s", "user", "one");
        else abort.abort();
      }
      expect(kinds).toEqual(["snapshot", "message"]);
    }));

  it("ends at a break and lets go", () =>
    withStore(async (store) => {
      for await (const change of store.watch("s")) {
        expect(change.kind).toBe("snapshot");
        break;
      }
    }));

  it("gives a slow consumer the newest state of each message", () =>
    withStore(async (store) => {
      const seen: SessionChange[] = [];
      const id = await store.appendAssistantStub("s");
      for await (const change of store.watch("s")) {
        seen.push(change);
        if (change.kind === "snapshot") {
          let content = "";
          for (let index = 0; index < 50; index++) await store.updateBranches(id, (content += "x"), "", 0);
          await store.saveMessage("s", "user", "end");
          // Everything has been delivered to the iterator once a second watcher has caught up.
          await firstValueFrom(store.watchMessages("s"));
        }
        if (change.kind === "message" && change.message.content === "end") break;
      }
      expect(seen.length).toBeLessThan(50);
      expect(seen.findLast((change) => change.kind === "message" && change.message.id === id)).toMatchObject({
        message: { content: "x".repeat(50) },
      });
    }));

  it("tells a slow consumer of a new list alone, and not of what became of the old one's messages", () =>
    withStore(async (store) => {
      const seen: [string, number][] = [];
      const id = await store.appendAssistantStub("s");
      for await (const change of store.watch("s")) {
        seen.push([change.kind, change.revision]);
        if (change.kind === "messages") break;
        if (change.kind !== "snapshot") continue;
        await store.updateBranches(id, "[1]", "", 0);
        await store.updateSession("s", { title: "T" });
        await store.replaceMessages("s", [{ role: "user", content: "fresh" }]);
        await firstValueFrom(store.watchMessages("s"));
      }
      expect(seen).toEqual([
        ["snapshot", 0],
        ["session", 2],
        ["messages", 3],
      ]);
    }));

  it("tells nothing with a signal that is aborted already", () =>
    withStore(async (store) => {
      await store.saveMessage("s", "user", "one");
      for await (const change of store.watch("s", { signal: AbortSignal.abort() }))
        expect(change).toBeUndefined();
    }));

  it("ends when its store is closed", () =>
    withStores(2, async (store) => {
      const kinds: string[] = [];
      for await (const change of store.watch("s")) {
        kinds.push(change.kind);
        await store.close();
      }
      expect(kinds).toEqual(["snapshot"]);
    }));

  it("hands out what is the consumer's to change", () =>
    withStore(async (store) => {
      const [changes] = await watched(store, 3);
      await store.saveMessage("s", "user", "one");
      await store.updateSession("s", { metadata: { tags: ["a"] } });
      const [, , change] = (await changes)!;
      expect(change).toMatchObject({ kind: "session", metadata: { tags: ["a"] } });
      const live: unknown[] = [];
      for await (const next of store.watch("s")) {
        if (next.kind === "snapshot") await store.updateSession("s", { title: "T" });
        if (next.kind !== "session") continue;
        live.push(structuredClone(next.metadata));
        if (live.length === 2) break;
        (next.metadata!["tags"] as string[]).push("mine");
        await store.updateSession("s", { title: "U" });
      }
      expect(live).toEqual([{ tags: ["a"] }, { tags: ["a"] }]);
    }));

  it("passes the log's failure on", () =>
    withStore(async (store) => {
      const changes = store.watch("s");
      await store.log.close();
      const read = async (): Promise<void> => {
        for await (const change of changes) expect(change).toBeUndefined();
      };
      await expect(read()).rejects.toMatchObject({ code: "store-closed" });
    }));
});
