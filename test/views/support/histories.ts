import fc from "fast-check";
import { expect } from "@jest/globals";
import { openEventLog } from "../../../src/log/open-event-log.ts";
import type { EventLog, RecordedEvent } from "../../../src/log/event-log.ts";
import { type ConversationViews } from "../../../src/projections/conversation-views.ts";
import { openSound, openViews } from "../../../src/projections/open-views.ts";
import { ViewWriter } from "../../../src/projections/view-writer.ts";
import { openConversationStore } from "../../../src/store/open-conversation-store.ts";
import { conversationStepOrDeletion, playStep } from "./random-steps.ts";
import { allEvents, expectExactRows } from "./views-world.ts";

/** A log of random conversations in a file, without views. The same for the same seed, ids and times aside. */
export async function makeHistory(path: string, seed: number, steps: number): Promise<void> {
  const [history = []] = fc.sample(
    fc.array(conversationStepOrDeletion, { minLength: steps, maxLength: steps, size: "max" }),
    { seed, numRuns: 1 },
  );
  const store = await openConversationStore(path, {
    views: false,
    flushIntervalMs: 0,
    durability: "process",
  });
  for (const step of history) await playStep(store, step);
  await store.close();
}

export async function withLog<Result>(
  path: string,
  use: (log: EventLog) => Promise<Result>,
): Promise<Result> {
  const log = await openEventLog(path);
  try {
    return await use(log);
  } finally {
    await log.close();
  }
}

export async function withViews<Result>(
  path: string,
  use: (views: ConversationViews) => Result | Promise<Result>,
): Promise<Result> {
  const views = await openSound({ path: `${path}.views`, onWarning: unexpected });
  try {
    return await use(views);
  } finally {
    views.close();
  }
}

const unexpected = (message: string): void => {
  throw new Error(`unexpected warning: ${message}`);
};

/** Projects the log's events into its views as a projector would, each as `change` leaves it; null is left out. */
export async function project(
  path: string,
  change: (event: RecordedEvent) => RecordedEvent | null = (event) => event,
): Promise<void> {
  await withLog(path, async (log) => {
    const views = await openViews(log, { path: `${path}.views` });
    const current = views.current();
    if (current === undefined) throw new Error("no generation");
    const writer = new ViewWriter(views, current.generation, current, {
      mostSessions: 10,
      mostUnits: 1000,
      onDeadLetter: () => undefined,
    });
    for await (const event of log.readAll({ after: current.checkpoint.position })) {
      const changed = change(event);
      if (changed !== null) writer.take(changed);
    }
    writer.flush("all");
    views.close();
  });
}

/** The generation in service holds what the fold makes of the log, up to its head, and is the only one. */
export async function expectRebuilt(path: string): Promise<void> {
  const { events, head } = await withLog(path, async (log) => ({
    events: await allEvents(log),
    head: await log.head(),
  }));
  await withViews(path, (views) => {
    const records = views.records();
    expect(records.map(({ state }) => state)).toEqual(["current"]);
    expect(expectExactRows(views, records[0]?.generation ?? 0, events)).toBe(head);
  });
}

/** All rows of the generation in service, as they stand in the file. */
export async function dump(path: string): Promise<unknown> {
  return withViews(path, (views) => {
    const generation = views.current()?.generation;
    const rows = (sql: string): unknown[] => views.database.prepare(sql).all();
    return {
      sessions: rows(
        `SELECT name, revision, last_active, is_listed, has_unended, message_count, next_place, title, state, dead_letter
          FROM sessions_${generation} ORDER BY name`,
      ),
      messages: rows(
        `SELECT id, name, place, external_id, json_remove(facts, '$[0]') AS facts, content
          FROM messages_${generation} JOIN sessions_${generation} USING (session) ORDER BY id`,
      ),
    };
  });
}
