import { describe, expect, it } from "@jest/globals";
import fc from "fast-check";
import { errorCode } from "../../src/errors.ts";
import type { EventLog } from "../../src/log/event-log.ts";
import { MemoryEventLog } from "../../src/log/memory-event-log.ts";
import { type ConversationViews } from "../../src/projections/conversation-views.ts";
import { openViews } from "../../src/projections/open-views.ts";
import { SessionIndex } from "../../src/projections/session-index.ts";
import { ViewWriter } from "../../src/projections/view-writer.ts";
import { ViewedSessionDirectory } from "../../src/projections/viewed-session-directory.ts";
import { ConversationStore } from "../../src/store/conversation-store.ts";
import type { ListMessagesOptions } from "../../src/store/message-page.ts";
import { propertyRuns } from "../support/arbitraries.ts";
import {
  type ConversationStep,
  SESSIONS,
  conversationStepOrDeletion,
  playStep,
} from "./support/random-steps.ts";
import { allEvents, expectExactRows } from "./support/views-world.ts";

/**
 * Conversations go on through a store whose sessions begin at the views, while the views are written a few events at
 * a time; the log alone, folded from its start, says what is right.
 */
type Step =
  | { do: "converse"; store: number; step: ConversationStep }
  | { do: "project"; events: number; which: "due" | "all" | "none" }
  | { do: "reopen" }
  | {
      do: "page";
      store: number;
      session: number;
      options: ListMessagesOptions;
      before: number;
      after: number;
    }
  | { do: "list"; limit: number; prefix: string; cursor: number };

const place = fc.integer({ min: -1, max: 14 });
const step: fc.Arbitrary<Step> = fc.oneof(
  {
    weight: 5,
    arbitrary: fc.record({
      do: fc.constant("converse" as const),
      store: fc.nat({ max: 1 }),
      step: conversationStepOrDeletion,
    }),
  },
  {
    weight: 4,
    arbitrary: fc.record({
      do: fc.constant("project" as const),
      events: fc.constantFrom(1, 2, 5, 30),
      which: fc.constantFrom("due" as const, "all" as const, "none" as const),
    }),
  },
  fc.record({ do: fc.constant("reopen" as const) }),
  {
    weight: 4,
    arbitrary: fc.record({
      do: fc.constant("page" as const),
      store: fc.nat({ max: 1 }),
      session: fc.nat({ max: SESSIONS.length - 1 }),
      options: fc.record({
        limit: fc.constantFrom(0, 1, 2, 5, Infinity),
        includeReplaced: fc.boolean(),
      }),
      before: place,
      after: place,
    }),
  },
  fc.record({
    do: fc.constant("list" as const),
    limit: fc.constantFrom(1, 2, Infinity),
    prefix: fc.constantFrom("", "a", "b 😀", "c"),
    cursor: fc.integer({ min: -1, max: 2 }),
  }),
);

class World {
  readonly log: EventLog;
  readonly views: ConversationViews;
  /** Folds from the start, always: what is right. */
  readonly #plain: ConversationStore;
  readonly #directory: ViewedSessionDirectory;
  readonly #damage: unknown[] = [];
  /** Two stores, as if of two processes: what one caches, the other and the projector leave behind. */
  #viewed: ConversationStore[];
  #writer: ViewWriter;

  constructor(log: EventLog, views: ConversationViews) {
    this.log = log;
    this.views = views;
    this.#plain = new ConversationStore(log, { cachedSessions: 1 });
    this.#directory = new ViewedSessionDirectory(this.log, views);
    this.#viewed = [this.#openViewed(), this.#openViewed()];
    this.#writer = this.#openWriter();
  }

  #openViewed(): ConversationStore {
    const views = {
      views: this.views,
      directory: this.#directory,
      onDamage: (error: unknown) => void this.#damage.push(error),
      close: () => Promise.resolve(),
      purge: () => Promise.resolve(),
    };
    return new ConversationStore(this.log, { flushIntervalMs: 0 }, views);
  }

  #openWriter(): ViewWriter {
    const current = this.views.current();
    if (current === undefined) throw new Error("no generation");
    return new ViewWriter(this.views, current.generation, current, {
      mostSessions: 2,
      mostUnits: 60,
      onDeadLetter: (letter) => {
        throw new Error(letter.message);
      },
    });
  }

  #store(index: number): ConversationStore {
    const store = this.#viewed[index];
    if (store === undefined) throw new Error(`no store ${index}`);
    return store;
  }

  async play(step: Step): Promise<void> {
    switch (step.do) {
      case "converse":
        return playStep(this.#store(step.store), step.step);
      case "project":
        return this.#project(step.events, step.which);
      case "reopen":
        // What was cached is gone; open turns are left as a dead process leaves them.
        this.#viewed = [this.#openViewed(), this.#openViewed()];
        this.#writer = this.#openWriter();
        return;
      case "page":
        return this.#comparePage(this.#store(step.store), SESSIONS[step.session] ?? "a", step);
      case "list":
        return this.#compareLists(step);
    }
  }

  async #project(events: number, which: "due" | "all" | "none"): Promise<void> {
    for await (const event of this.log.readAll({ after: this.#writer.position, limit: events }))
      this.#writer.take(event);
    if (which !== "none") expect(this.#writer.flush(which)).toBeDefined();
    expectExactRows(this.views, this.#writer.generation, await allEvents(this.log));
  }

  async #comparePage(viewed: ConversationStore, session: string, step: Step & { do: "page" }): Promise<void> {
    const all = await this.#plain.listMessages(session, { limit: Infinity, includeReplaced: true });
    const id = (index: number): number | undefined => (index < 0 ? undefined : (all[index]?.id ?? 999_999));
    const options = { ...step.options, before: id(step.before), after: id(step.after) };
    const ask = (store: ConversationStore): Promise<unknown> =>
      store.listMessages(session, options).catch((error: unknown) => errorCode(error) ?? error);
    expect(await ask(viewed)).toEqual(await ask(this.#plain));
    expect(await viewed.findLastAssistantMessage(session)).toEqual(
      await this.#plain.findLastAssistantMessage(session),
    );
    expect(await viewed.countMessages(session)).toBe(await this.#plain.countMessages(session));
  }

  async #compareLists({ limit, prefix, cursor }: Step & { do: "list" }): Promise<void> {
    const index = new SessionIndex(this.log);
    const sessions = await index.list({ limit: Infinity, prefix: "" });
    const query = { limit, prefix, cursor: sessions[cursor] };
    const expected = await index.list(query);
    expect(await this.#directory.list(query)).toEqual(
      expected.map(({ events: _events, bytes: _bytes, ...session }) => session),
    );
    expect((await this.#directory.sessionsWithUnendedTurns()).toSorted()).toEqual(
      (await index.sessionsWithUnendedTurns()).toSorted(),
    );
  }

  async finish(): Promise<void> {
    await this.#project(Infinity, "all");
    for (const session of SESSIONS) {
      const expected = await this.#plain.readSession(session);
      for (const store of this.#viewed) expect(await store.readSession(session)).toEqual(expected);
    }
    expect(this.#damage).toEqual([]);
  }
}

describe("persisted views", () => {
  it("with the log's tail equal the pure fold at every moment, however far they have been written", async () => {
    await fc.assert(
      fc.asyncProperty(fc.array(step, { minLength: 5, maxLength: 60 }), async (steps) => {
        const log = new MemoryEventLog({});
        const views = await openViews(log, { path: ":memory:" });
        const world = new World(log, views);
        try {
          for (const step of steps) await world.play(step);
          await world.finish();
        } finally {
          views.close();
          await log.close();
        }
      }),
      propertyRuns(120),
    );
  });
});
