import { randomBytes } from "node:crypto";
import { join } from "node:path";
import { describe, expect, it } from "@jest/globals";
import fc from "fast-check";
import type { EventLog } from "../../../src/log/event-log.ts";
import { readRuns } from "../../../src/log/event-runs.ts";
import { openSqliteEventLog } from "../../../src/log/sqlite/sqlite-event-log.ts";
import { gather, gatherRuns, sameEvents } from "../../../src/testing/check-log-integrity.ts";
import { query, sampleEvent, sampleEvents } from "./sample-log.ts";
import { tempFolders } from "./temp-folder.ts";

/** Reading by runs where rows are packed and cut meanwhile. What every log must do: the contract. */

const newFolder = tempFolders();
const STREAMS = 5;

interface Write {
  stream: number;
  count: number;
  seal: boolean;
  byAnother: boolean;
}

const write: fc.Arbitrary<Write> = fc.record({
  stream: fc.integer({ min: 0, max: STREAMS - 1 }),
  count: fc.integer({ min: 1, max: 4 }),
  seal: fc.boolean(),
  byAnother: fc.boolean(),
});

async function append(logs: readonly EventLog[], each: Write) {
  const log = logs[each.byAnother ? 1 : 0];
  await log?.append(`s${each.stream}`, sampleEvents(each.count), "any", { seal: each.seal });
}

describe("reading by runs", () => {
  it("gives what there was when it ended, once and in order, while two connections append and pack", async () => {
    const writes = fc.array(write, { minLength: 1, maxLength: 60 });
    await fc.assert(
      fc.asyncProperty(
        writes,
        writes,
        fc.integer({ min: 1, max: 20 }),
        fc.integer({ min: -1, max: 40 }),
        async (before, meanwhile, pieceEvents, after) => {
          const path = join(await newFolder(), "log.db");
          const internals = { hotBounds: { rows: 8, events: 12, bytes: 100_000 }, packSpan: 30 };
          const log = await openSqliteEventLog(path, { internals });
          const other = await openSqliteEventLog(path, { internals: { ...internals, ownConnection: true } });
          try {
            for (const each of before) await append([log, other], each);
            const left = [...meanwhile];
            const given = await gatherRuns(log, { after, pieceEvents }, async () => {
              for (const each of left.splice(0, 3)) await append([log, other], each);
            });
            const newest = given.at(-1)?.position ?? -1;
            const expected = (await gather(log.readAll({ after }))).filter(
              ({ position }) => position <= newest,
            );
            sameEvents(given, expected, "readRuns against readAll");
            const head = await log.head();
            expect(newest).toBe(head > after ? head : -1);
          } finally {
            await log.close();
            await other.close();
          }
        },
      ),
      { numRuns: process.env["TURNLOG_TEST_LONG"] === undefined ? 60 : 3_000 },
    );
  });

  it("finds events that were hot with the ones before them, and have been packed with them since", async () => {
    const path = join(await newFolder(), "log.db");
    const log = await openSqliteEventLog(path);
    for (const stream of ["a", "b", "b", "b", "a"]) await log.append(stream, [sampleEvent()], "any");
    let pieces = 0;
    const given = await gatherRuns(log, { pieceEvents: 2 }, async () => {
      pieces += 1;
      // One row of positions 0 and 4, of which 0 has been given.
      if (pieces === 1) await log.append("a", [sampleEvent()], "any", { seal: true });
    });
    expect(query(path, "SELECT first_position, last_position FROM packed")).toEqual([[0, 5]]);
    expect(given.map(({ position }) => position)).toEqual([0, 1, 2, 3, 4, 5]);
    await log.close();
  });

  it("gives no more at once than some stored rows hold, however many begin in a window", async () => {
    const log = await openSqliteEventLog(join(await newFolder(), "log.db"));
    for (let stream = 0; stream < 10; stream++) {
      const text = randomBytes(20_000).toString("base64"); // It deflates to 20 KB again.
      await log.append(`s${stream}`, [sampleEvent({ text })], "any", { seal: true });
    }
    const ends = [];
    for await (const { completeTo } of readRuns(log)) ends.push(completeTo);
    expect(ends).toEqual([1, 3, 5, 7, 9]);
    await log.close();
  });

  it("passes over the holes that truncation leaves", async () => {
    const path = join(await newFolder(), "log.db");
    const log = await openSqliteEventLog(path);
    await log.append("a", sampleEvents(5_000), "any");
    await log.append("b", [sampleEvent()], "any");
    await log.truncate("a", 4_999);
    let pieces = 0;
    const given = await gatherRuns(log, { pieceEvents: 10 }, async () => void (pieces += 1));
    expect(given.map(({ position }) => position)).toEqual([4_999, 5_000]);
    expect(pieces).toBeLessThan(5);
    await log.close();
  });
});
