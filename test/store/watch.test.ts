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
      await store.saveMessage("s-longer", "user", "elsewhere");
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
