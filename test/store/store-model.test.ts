import { mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { describe, it, expect } from "@jest/globals";
import fc from "fast-check";
import { type Observable, Subject, type Subscription, firstValueFrom } from "rxjs";
import { errorCode } from "../../src/errors.ts";
import { eventCodec } from "../../src/events/event-codec.ts";
import { applyEvent, emptyConversation } from "../../src/projections/conversation.ts";
import { toSessionState } from "../../src/projections/session-state.ts";
import type { StoredMessage } from "../../src/projections/stored-message.ts";
import { Compactor } from "../../src/store/compactor.ts";
import type { SessionChange } from "../../src/store/session-watch.ts";
import type { ConversationStore } from "../../src/store/conversation-store.ts";
import { openConversationStore } from "../../src/store/open-conversation-store.ts";
import type { TurnWriter } from "../../src/store/turn-writer.ts";
import { anyText, propertyRuns } from "../support/arbitraries.ts";
import { FixtureNode } from "../support/eventstoredb-fixture/fixture-node.ts";
import { ModelSession } from "../support/naive-model.ts";
import { NO_REAL_SERVER, ownLog, realServer } from "../support/real-server.ts";

/**
 * Random sequences of all methods, by one and by two stores on the same log, against the naive model: after each
 * step every store shows what the model says.
 */

const SESSIONS = ["a", "b"];
type Step = { store: number; session: number; pick: number } & (
  | {
      do: "save";
      role: "user" | "assistant" | "system" | "tool";
      text: string;
      externalId: string | undefined;
    }
  | { do: "stub" | "delete" | "reopen" }
  | { do: "update"; text: string; branches: string; active: number }
  | { do: "grow"; texts: string[] }
  | { do: "end"; outcome: "finished" | "failed" }
  | { do: "begin" | "regenerate" }
  | { do: "select"; active: number }
  | { do: "turn-text"; texts: string[] }
  | { do: "turn-end"; outcome: "finish" | "abort" }
  | { do: "replace"; keep: number[]; texts: string[] }
  | { do: "title"; title: string | null }
  | { do: "compact"; most: number; fails: boolean }
);

const act = <T extends object>(
  name: string,
  extra: { [Key in keyof T]: fc.Arbitrary<T[Key]> },
): fc.Arbitrary<Step> =>
  fc.record({
    do: fc.constant(name),
    store: fc.nat(1),
    session: fc.nat(1),
    pick: fc.nat(),
    ...extra,
  }) as never;

const branchesJson = fc.oneof(
  { weight: 3, arbitrary: fc.constant("") },
  fc.array(fc.jsonValue(), { maxLength: 3 }).map((branches) => JSON.stringify(branches)),
  fc.constantFrom("{}", "[", "null", ' [ "x" ] '),
);

const step: fc.Arbitrary<Step> = fc.oneof(
  act("save", {
    role: fc.constantFrom("user", "user", "assistant", "system", "tool"),
    text: anyText(),
    externalId: fc.constantFrom(undefined, undefined, "x1", "x2"),
  }),
  act("stub", {}),
  act("update", { text: anyText(80), branches: branchesJson, active: fc.constantFrom(0, 0, 1, 2, -1) }),
  act("grow", { texts: fc.array(anyText(), { minLength: 1, maxLength: 90 }) }),
  act("end", { outcome: fc.constantFrom("finished", "failed") }),
  act("begin", {}),
  act("regenerate", {}),
  act("select", { active: fc.constantFrom(0, 1, 2) }),
  act("turn-text", { texts: fc.array(anyText(), { minLength: 1, maxLength: 10 }) }),
  act("turn-end", { outcome: fc.constantFrom("finish", "abort") }),
  act("replace", {
    keep: fc.array(fc.nat(), { maxLength: 4 }),
    texts: fc.array(anyText(), { maxLength: 3 }),
  }),
  act("title", { title: fc.oneof(anyText(), fc.constant(null)) }),
  act("compact", { most: fc.integer({ min: 1, max: 6 }), fails: fc.boolean() }),
  act("delete", {}),
  act("reopen", {}),
);

class World {
  readonly #open: () => Promise<ConversationStore>;
  readonly stores: ConversationStore[] = [];
  readonly #sessions = SESSIONS.map(() => new ModelSession());
  /** Open turn writers by session, with the text that they hold. */
  readonly #turns = new Map<number, { turn: TurnWriter; text: string; store: number }>();

  #watcher: ConversationStore | undefined;
  #watched: WatchedList[] = [];

  constructor(open: () => Promise<ConversationStore>) {
    this.#open = open;
  }

  async start(count: number): Promise<void> {
    for (let index = 0; index < count; index++) this.stores.push(await this.#open());
    this.#watcher = await this.#open();
    this.#watched = SESSIONS.map((name) => new WatchedList(this.#watcher!.watchMessages(name)));
  }

  async play(step: Step): Promise<void> {
    const storeIndex = step.store % this.stores.length;
    const store = this.stores[storeIndex]!;
    const name = SESSIONS[step.session]!;
    const model = this.#sessions[step.session]!;
    const picked = model.all.toSorted((a, b) => a.id - b.id)[step.pick % Math.max(1, model.all.length)];
    const id = picked?.id ?? 1_000_000;
    const written = this.#turns.get(step.session);
    switch (step.do) {
      case "save": {
        const saved = await store.saveMessage(name, step.role, step.text, { externalId: step.externalId });
        const known = model.byExternalId(step.externalId);
        if (known) expect(saved).toBe(known.id);
        model.save(saved, step.role, step.text, step.externalId);
        break;
      }
      case "stub":
        model.stub(await store.appendAssistantStub(name));
        break;
      case "update":
        await expectCode(
          store.updateBranches(id, step.text, step.branches, step.active),
          model.update(id, step.text, step.branches, step.active),
        );
        break;
      case "grow": {
        // Many small updates: enough events that packing takes place.
        let text = "";
        for (const piece of step.texts) {
          text += piece;
          await expectCode(store.updateBranches(id, text, "", 0), model.update(id, text, "", 0));
        }
        break;
      }
      case "end":
        await expectCode(store.endTurn(id, step.outcome), model.end(id, step.outcome));
        break;
      case "begin": {
        const turn = await store.beginTurn(name);
        model.beginTurn(turn.messageId);
        this.#turns.set(step.session, { turn, text: "", store: storeIndex });
        break;
      }
      case "regenerate": {
        const answer = model.answer();
        const turn = await store.regenerate(name);
        if (answer) expect(turn.messageId).toBe(answer.id);
        model.regenerate(turn.messageId);
        this.#turns.set(step.session, { turn, text: "", store: storeIndex });
        break;
      }
      case "select":
        await expectCode(store.selectBranch(id, step.active), model.select(id, step.active));
        break;
      case "turn-text":
      case "turn-end":
        if (written) await this.#writeTurn(step, model, written);
        break;
      case "replace": {
        const sorted = model.all.toSorted((a, b) => a.id - b.id);
        const keep = [...new Set(step.keep.map((pick) => sorted[pick % Math.max(1, sorted.length)]?.id))];
        const kept = keep.filter((each) => each !== undefined);
        const texts = step.texts.filter((text) => text !== "");
        await store.replaceMessages(name, [
          ...kept.map((each) => ({ keep: each })),
          ...step.texts.map((content) => ({ role: "user" as const, content })),
        ]);
        const ids = (await store.listMessages(name, { limit: Infinity })).map((message) => message.id);
        model.replace([
          ...kept,
          ...texts.map((content, index) => ({ id: ids[kept.length + index]!, role: "user", content })),
        ]);
        break;
      }
      case "compact": {
        const summarize = async (): Promise<string> => (step.fails ? Promise.reject(new Error("no")) : "sum");
        const { summaryId, strategy, kept } = await new Compactor({
          maxMessages: step.most,
          summarize,
        }).compact(store, name);
        if (strategy !== "none") model.compact(kept, summaryId);
        expect(model.messages.length).toBe(kept + (summaryId === undefined ? 0 : 1));
        break;
      }
      case "title":
        await store.updateSession(name, { title: step.title });
        if ((step.title ?? undefined) !== model.title) model.exists = true;
        model.title = step.title ?? undefined;
        break;
      case "delete":
        await store.deleteSession(name);
        model.delete();
        break;
      case "reopen":
        await store.close();
        for (const [session, turn] of this.#turns) if (turn.store === storeIndex) this.#turns.delete(session);
        this.stores[storeIndex] = await this.#open();
        break;
    }
  }

  async #writeTurn(
    step: Extract<Step, { do: "turn-text" | "turn-end" }>,
    model: ModelSession,
    written: { turn: TurnWriter; text: string },
  ): Promise<void> {
    const { turn } = written;
    const message = model.current(turn.messageId);
    const isOurs =
      model.openTurn === message &&
      message?.status === "open" &&
      (message.content === "[]" ? written.text === "" : true);
    const expected = JSON.stringify(written.text === "" ? [] : [{ kind: "text", text: written.text }]);
    const isLost = !isOurs || message?.content !== expected;
    if (step.do === "turn-text") {
      for (const text of step.texts) {
        // Half characters are the turn writer's own property test; here texts are whole.
        const whole = text.replace(/[\ud800-\udfff]/gu, "?");
        void turn.textDelta(whole);
        if (!isLost) written.text += whole;
      }
      await expectCode(turn.flush(), isLost ? "turn-lost" : undefined);
      if (!isLost && message && written.text !== "") {
        message.content = JSON.stringify([{ kind: "text", text: written.text }]);
      }
    } else {
      await expectCode(turn[step.outcome](), isLost ? "turn-lost" : undefined);
      if (!isLost) model.end(turn.messageId, step.outcome === "finish" ? "finished" : "aborted");
      this.#turns.delete([...this.#turns].find(([, each]) => each === written)![0]);
    }
  }

  /** Every revision of every session, as history shows it, equals the fold of that prefix of its events. */
  async checkHistory(): Promise<void> {
    const [store] = this.stores;
    for (const name of SESSIONS) {
      const fold = emptyConversation();
      for await (const recorded of store!.log.readStream(`conversation-${name}`)) {
        applyEvent(fold, eventCodec.decode(recorded)!);
        const past = await store!.history(name, { at: recorded.revision });
        expect(past).toEqual(toSessionState(fold));
      }
      if (fold.revision >= 0)
        expect((await store!.history(name, { at: fold.revision })).messages).toEqual(
          (await store!.readSession(name)).messages,
        );
    }
  }

  /** What watchers have been told, put together, is what a query shows. */
  async checkWatched(): Promise<void> {
    for (const [index, name] of SESSIONS.entries()) {
      const { revision, messages } = await this.stores[0]!.readSession(name);
      expect(await this.#watched[index]!.at(revision)).toEqual(messages);
    }
  }

  async check(): Promise<void> {
    for (const store of this.stores) {
      const listed = await store.listSessions();
      const expected = SESSIONS.filter((_, index) => this.#sessions[index]!.exists);
      expect(listed.map(({ id }) => id).toSorted()).toEqual(expected);
      for (const [index, name] of SESSIONS.entries()) {
        const model = this.#sessions[index]!;
        const all = await store.listMessages(name, { limit: Infinity, includeReplaced: true });
        expect(all.map(asModel)).toEqual(model.all);
        const messages = await store.listMessages(name, { limit: Infinity });
        expect(messages.map(asModel)).toEqual(model.messages);
        expect(await store.countMessages(name)).toBe(model.messages.length);
        expect((await store.findLastAssistantMessage(name))?.id).toBe(
          model.messages.findLast(({ role }) => role === "assistant")?.id,
        );
        const info = listed.find(({ id }) => id === name);
        if (info) expect([info.title, info.messageCount]).toEqual([model.title, model.messages.length]);
      }
    }
  }

  async stop(): Promise<void> {
    for (const list of this.#watched) list.stop();
    await this.#watcher?.close();
    for (const store of this.stores) await store.close();
  }
}

/** A display that knows nothing but what the watcher tells it. */
class WatchedList {
  #messages: StoredMessage[] = [];
  #revision = -1;
  readonly #changed = new Subject<void>();
  readonly #subscription: Subscription;

  constructor(changes: Observable<SessionChange>) {
    this.#subscription = changes.subscribe((change) => {
      if (change.kind === "snapshot" || change.kind === "messages") this.#messages = change.messages;
      if (change.kind === "message") {
        const place = this.#messages.findIndex(({ id }) => id === change.message.id);
        if (place >= 0) this.#messages[place] = change.message;
        // A message that has been replaced can still change: its turn may end.
        else if (change.message.replaced !== true) this.#messages.push(change.message);
      }
      this.#revision = change.revision;
      this.#changed.next();
    });
  }

  async at(revision: number): Promise<StoredMessage[]> {
    while (this.#revision < revision) await firstValueFrom(this.#changed);
    return this.#messages;
  }

  stop(): void {
    this.#subscription.unsubscribe();
  }
}

function asModel(message: Awaited<ReturnType<ConversationStore["listMessages"]>>[number]): object {
  const { id, role, content, branchesJson, activeBranch, status, externalId, replaced } = message;
  return {
    id,
    role,
    content,
    branchesJson,
    activeBranch,
    status,
    ...(externalId === undefined ? {} : { externalId }),
    ...(replaced === undefined ? {} : { replaced }),
  };
}

async function expectCode(call: Promise<unknown>, expected: string | undefined): Promise<void> {
  const actual = await call.then(
    () => undefined,
    (error: unknown) => errorCode(error) ?? String(error),
  );
  expect(actual).toBe(expected);
}

async function checkRandomHistories(
  open: (name: string) => Promise<ConversationStore>,
  stores: number,
  runs: number,
) {
  let run = 0;
  await fc.assert(
    fc.asyncProperty(fc.array(step, { maxLength: 30, size: "max" }), async (steps) => {
      const name = `${stores}-${run++}`;
      const world = new World(() => open(name));
      await world.start(stores);
      try {
        for (const each of steps) {
          await world.play(each);
          await world.check();
        }
        await world.checkWatched();
        await world.checkHistory();
      } finally {
        await world.stop();
      }
    }),
    propertyRuns(runs) as object,
  );
}

describe.each([1, 2])("the store equals the naive model, with %i store(s) on one log", (stores) => {
  it("in memory", async () => {
    // A log in memory lives as long as somebody holds it open.
    const holders: ConversationStore[] = [];
    const open = async (name: string): Promise<ConversationStore> => {
      const url = `memory:model-${name}`;
      holders.push(await openConversationStore(url));
      return openConversationStore(url, { flushIntervalMs: 0 });
    };
    await checkRandomHistories(open, stores, 60);
    for (const holder of holders) await holder.close();
  });

  it("in a SQLite file", async () => {
    const folder = mkdtempSync(join(tmpdir(), "turnlog-model-"));
    try {
      const open = (name: string): Promise<ConversationStore> =>
        openConversationStore(join(folder, `${name}.db`), { flushIntervalMs: 0 });
      await checkRandomHistories(open, stores, 25);
    } finally {
      rmSync(folder, { recursive: true, force: true });
    }
  });

  it("on an EventStoreDB server that the fixture imitates", async () => {
    const node = await FixtureNode.start();
    try {
      await checkRandomHistories(onServer(node.url), stores, 12);
    } finally {
      await node.close();
    }
  }, 180_000);

  const server = realServer();
  if (server === undefined) {
    it.skip(`on a real EventStoreDB server (${NO_REAL_SERVER})`, () => {});
  } else {
    it("on a real EventStoreDB server", () => checkRandomHistories(onServer(server), stores, 12), 300_000);
  }
});

/** Logs of their own, also on a server that holds others. */
function onServer(url: string): (name: string) => Promise<ConversationStore> {
  const prefix = ownLog(url);
  return (name) => openConversationStore(`${prefix}-${name}`, { flushIntervalMs: 0 });
}
