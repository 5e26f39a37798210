import assert from "node:assert/strict";
import { setImmediate as nextTick } from "node:timers/promises";
import type { JsonValue, NewEvent, RecordedEvent } from "../../log/event-log.ts";
import type { ExpectedRevision } from "../../log/expected-revision.ts";
import { gather } from "../check-log-integrity.ts";
import type { ContractSuite } from "./contract-suite.ts";
import { type IsolatedRun, succeeded } from "./isolated-run.ts";
import { difficultStreamNames, difficultValues } from "./sample-events.ts";

export function appendContract(suite: ContractSuite): void {
  suite.group("append: what is kept", () => {
    suite.test("gives each event its stream, revision, position and time", async (run) => {
      const first = await run.append("a", 2);
      const second = await run.append("b", 1);
      const third = await run.append("a", 1);
      assert.deepEqual([first.revision, second.revision, third.revision], [1, 0, 2]);
      const events = await gather(run.log.readAll());
      assert.deepEqual(
        events.map(({ stream, revision }) => [stream, revision]),
        [...[0, 1].map((revision) => ["a", revision]), ["b", 0], ["a", 2]],
      );
      assert.deepEqual(
        [events[1]?.position, events[2]?.position, events[3]?.position],
        [first.position, second.position, third.position],
        "an append's result is the place of its last event",
      );
      for (const { recordedAt } of events) {
        assert(
          Number.isSafeInteger(recordedAt) && recordedAt > 0,
          `recordedAt ${recordedAt} is no epoch time in ms`,
        );
      }
    });

    for (const [kind, values] of Object.entries(difficultValues)) {
      suite.table(`round trip of any JSON: ${kind}`, values, async (run, value, stream) => {
        const events = [run.event(value), run.event({ value, after: 1 }), run.event(null, { value })];
        for (const event of events) await run.append(stream, [event]);
        await assertSame(run.log.readStream(stream), events);
        await assertSame(run.log.readAll({ streamPrefix: stream }), events);
        // Once more where an engine keeps older events in another form.
        for (let batch = 0; batch < 3; batch += 1) await run.append(stream, 64);
        await assertSame(run.log.readStream(stream, { limit: events.length }), events);
        await assertSame(run.log.readAll({ streamPrefix: stream, limit: events.length }), events);
      });
    }

    suite.testWith("reopen", "round trip of any JSON through another handle, after closing", async (run) => {
      const values = ["text", "numbers", "structure"].map((kind) => difficultValues[kind] ?? []).flat();
      const events = values.map((named) => run.event(named?.[1] ?? null, { value: named?.[1] ?? null }));
      const other = await run.reopen();
      await run.append("values", events);
      await run.log.close();
      await assertSame(other.readStream("values"), events);
      await assertSame((await run.reopen()).readStream("values"), events);
    });

    suite.test("keeps types and ids of any form", async (run) => {
      const ids = ["00000000-0000-0000-0000-000000000000", "ffffffff-ffff-ffff-ffff-ffffffffffff"];
      const types = ["t", "Ünïcode 🦉", "with space", "__proto__", "T".repeat(200)];
      const events = [
        ...ids.map((id): NewEvent => ({ ...run.event(), id })),
        ...types.map((type): NewEvent => ({ ...run.event(), type })),
      ];
      await run.append("s", events);
      await assertSame(run.log.readStream("s"), events);
    });

    suite.test("leaves out what JSON leaves out, as JSON.stringify does", async (run) => {
      const nothing = undefined as unknown as JsonValue;
      const list = [1, 2, 3, 4, 5, 6];
      const events = [{ list }, { list: nothing }, { list, more: { a: 1, b: nothing } }, [list, nothing]].map(
        (data) => run.event(data as JsonValue, { data: data as JsonValue }),
      );
      await run.append("s", events);
      const text = (value: unknown): string => JSON.stringify(value);
      const stored = await gather(run.log.readStream("s"));
      assert.deepEqual(
        stored.map(({ data, metadata }) => text([data, metadata])),
        events.map(({ data, metadata }) => text([data, metadata])),
      );
    });

    suite.test("does not share what it keeps with the caller who goes on changing it", async (run) => {
      const data = { list: [1, 2], text: "before" };
      const metadata: { [key: string]: JsonValue } = { note: "before" };
      const events = [run.event(data, metadata)];
      const asAppended = structuredClone(events);
      await run.append("s", events);
      data.list.push(3);
      data.text = "after";
      metadata["note"] = "after";
      events.length = 0;
      await assertSame(run.log.readStream("s"), asAppended);
      await assertSame(run.log.readAll(), asAppended);
    });

    suite.test("keeps streams apart whose names look alike", async (run) => {
      const appended: NewEvent[] = [];
      for (const stream of difficultStreamNames) {
        const event = run.event({ stream });
        appended.push(event);
        await run.append(stream, [event], "no-stream");
      }
      for (const [index, stream] of difficultStreamNames.entries()) {
        await assertSame(run.log.readStream(stream), appended.slice(index, index + 1));
      }
      const names = (await gather(run.log.readAll())).map(({ stream }) => stream);
      assert.deepEqual(names, difficultStreamNames);
    });

    suite.test("takes the hints for durability and packing, and does not need them", async (run) => {
      const events = run.events(4);
      const options = [
        undefined,
        { durability: "power" },
        { seal: true },
        { durability: "process", seal: true },
      ] as const;
      const results = options.map((option, index) =>
        run.log.append("s", events.slice(index, index + 1), "any", option),
      );
      assert.deepEqual(
        (await Promise.all(results)).map((result) => succeeded(result).revision),
        [0, 1, 2, 3],
      );
      await assertSame(run.log.readStream("s"), events);
    });
  });

  suite.group("append: all or nothing", () => {
    suite.test("gives a batch consecutive revisions and rising positions", async (run) => {
      await run.append("s", 3);
      const { revision, position, events } = await run.append("s", 100, 2);
      assert.equal(revision, 102);
      const stored = await gather(run.log.readStream("s", { from: 3 }));
      assert.deepEqual(
        stored.map(({ id }) => id),
        events.map(({ id }) => id),
      );
      assert.equal(stored.at(-1)?.position, position);
    });

    suite.test("never shows a reader a part of a batch", async (run) => {
      const batchSize = 7;
      const batches = 60;
      const writing = { isDone: false };
      const write = async (): Promise<void> => {
        for (let batch = 0; batch < batches; batch += 1) await run.append("s", batchSize);
        writing.isDone = true;
      };
      const read = async (): Promise<void> => {
        do {
          // Reads may answer without ever leaving the event loop to the writer.
          await nextTick();
          // Backwards, since a forward read may go on for as long as somebody writes.
          const seen = await gather(run.log.readStream("s", { direction: "backwards" }));
          assert.equal(
            seen.length % batchSize,
            0,
            `a reader saw ${seen.length} events of batches of ${batchSize}`,
          );
        } while (!writing.isDone);
      };
      await Promise.all([write(), read(), read()]);
    });

    for (const [code, cases] of Object.entries(refused)) {
      suite.table(
        `refuses with ${code}, keeps nothing, and takes the next append`,
        cases,
        async (run, bad, stream) => {
          const [badStream, events, expected] = bad(run, stream);
          const before = run.append(stream, 1);
          const refusal = run.log.append(badStream, events, expected);
          const after = run.append(stream, 1);
          await assert.rejects(refusal, { code });
          assert.deepEqual([(await before).revision, (await after).revision], [0, 1]);
          const ids = new Set(events.map(({ id }) => id));
          const kept = (await gather(run.log.readAll())).filter(({ id }) => ids.has(id));
          assert.deepEqual(kept, [], "some of the refused batch was kept");
          if (run.log.appendSync === undefined) return;
          assert.throws(() => run.log.appendSync?.(badStream, events, expected), { code });
          assert.equal((await run.append(stream, 1)).revision, 2);
        },
      );
    }

    suite.test("takes a batch of exactly the limit", async (run) => {
      const limit = run.log.limits.maxAppendBytes;
      assert(
        Number.isSafeInteger(limit) && limit >= 1024 * 1024,
        `the limit of ${limit} bytes is below 1 MiB`,
      );
      const [first, second] = [run.event("", {}), run.event("", {})];
      const text = "x".repeat(limit / 2 - '""{}'.length);
      const { events } = await run.append("s", [
        { ...first, data: text },
        { ...second, data: text },
      ]);
      await assertSame(run.log.readStream("s"), events);
    });
  });
}

type BadAppend = (
  run: IsolatedRun,
  stream: string,
) => readonly [stream: string, events: NewEvent[], expected: ExpectedRevision];

const notJson = undefined as never;
const UPPER_CASE_ID = "ABCDEF00-0000-8000-8000-000000000000";

/** What is refused, by the code of the error. */
const refused: Readonly<Record<string, readonly (readonly [name: string, bad: BadAppend])[]>> = {
  "empty-append": [["an empty batch", (_run, stream) => [stream, [], "any"]]],
  "repeated-event-id": [
    ["an id that occurs twice in the batch", (run, stream) => [stream, twice(run.events(2)), "any"]],
  ],
  "invalid-event": [
    ["no type", (run, stream) => [stream, [{ ...run.event(), type: "" }], "any"]],
    ["an id that is no UUID", (run, stream) => [stream, [run.event(), { ...run.event(), id: "1" }], "any"]],
    ["an id in upper case", (run, stream) => [stream, [{ ...run.event(), id: UPPER_CASE_ID }], "any"]],
    ["data that is no JSON", (run, stream) => [stream, [{ ...run.event(), data: notJson }], "any"]],
    ["metadata that is no JSON", (run, stream) => [stream, [{ ...run.event(), metadata: notJson }], "any"]],
    ["metadata that is no object", (run, stream) => [stream, [run.event({}, [1] as never)], "any"]],
  ],
  "invalid-stream-name": [
    ["an empty name", (run) => ["", run.events(1), "any"]],
    ["a name that is too long", (run) => ["n".repeat(1_025), run.events(1), "any"]],
    ["a name with NUL", (run) => ["a\0b", run.events(1), "any"]],
    ["a name with a lone surrogate", (run) => ["a\ud800", run.events(1), "any"]],
  ],
  "invalid-expected-revision": [
    ["a negative revision", (run, stream) => [stream, run.events(1), -1]],
    ["a fraction", (run, stream) => [stream, run.events(1), 0.5]],
    ["NaN", (run, stream) => [stream, run.events(1), Number.NaN]],
    ["an unknown word", (run, stream) => [stream, run.events(1), "latest" as "any"]],
  ],
  "event-too-large": [
    ["four events above the limit together", (run, stream) => [stream, tooLarge(run), "any"]],
    [
      "what JSON escapes",
      (run, stream) => [stream, [run.event("\0".repeat(Math.ceil(limitOf(run) / 6)))], "any"],
    ],
    ["a key", (run, stream) => [stream, [run.event({ ["k".repeat(limitOf(run))]: 1 })], "any"]],
    ["metadata", (run, stream) => [stream, [run.event({}, { text: "x".repeat(limitOf(run)) })], "any"]],
  ],
};

const limitOf = (run: IsolatedRun): number => run.log.limits.maxAppendBytes;

function tooLarge(run: IsolatedRun): NewEvent[] {
  return Array.from({ length: 4 }, () => run.event("x".repeat(limitOf(run) / 4)));
}

function twice(events: NewEvent[]): NewEvent[] {
  return [...events, ...events.slice(0, 1)];
}

async function assertSame(
  stored: AsyncIterable<RecordedEvent>,
  appended: readonly NewEvent[],
): Promise<void> {
  const actual = await gather(stored);
  assert.equal(actual.length, appended.length, "the number of events");
  for (const [index, { id, type, data, metadata }] of actual.entries()) {
    const expected = appended[index];
    assert.equal(id, expected?.id);
    assert.equal(type, expected?.type);
    // JSON text, since the order of keys and keys like __proto__ count too.
    assert.equal(JSON.stringify(data), JSON.stringify(expected?.data), "the data came back changed");
    assert.equal(
      JSON.stringify(metadata),
      JSON.stringify(expected?.metadata),
      "the metadata came back changed",
    );
  }
}
