import { join } from "node:path";
import { describe, expect, it } from "@jest/globals";
import { openSqliteEventLog } from "../../../src/log/sqlite/sqlite-event-log.ts";
import { sampleEvents } from "./sample-log.ts";
import { tempFolders } from "./temp-folder.ts";

const newFolder = tempFolders();

/** What a subscriber does with an event, for so long, ms. */
function work(ms: number): void {
  const end = performance.now() + ms;
  while (performance.now() < end);
}

describe("a subscription", () => {
  it("lets others run while a subscriber works on a page, and goes on where it was", async () => {
    const log = await openSqliteEventLog(join(await newFolder(), "log.db"));
    await log.append("a", sampleEvents(64), "any");
    let rounds = 0;
    let isDone = false;
    const count = (): void => {
      rounds += 1;
      if (!isDone) setImmediate(count);
    };
    setImmediate(count);
    const revisions: number[] = [];
    const roundOf: number[] = [];
    await new Promise<void>((resolve, reject) => {
      const subscription = log.subscribe().subscribe({
        next: (signal) => {
          if (signal.kind === "event") {
            revisions.push(signal.event.revision);
            roundOf.push(rounds);
            work(2);
          }
          if (signal.kind !== "caught-up") return;
          subscription.unsubscribe();
          resolve();
        },
        error: reject,
      });
    });
    isDone = true;
    expect(revisions).toEqual(Array.from({ length: 64 }, (_, n) => n));
    // One page, of which each round takes a few.
    expect(new Set(roundOf).size).toBeGreaterThan(4);
    await log.close();
  });

  it("delivers nothing more of a page to a subscriber who has left in the middle", async () => {
    const log = await openSqliteEventLog(join(await newFolder(), "log.db"));
    await log.append("a", sampleEvents(64), "any");
    const revisions: number[] = [];
    await new Promise<void>((resolve) => {
      const subscription = log.subscribe().subscribe((signal) => {
        if (signal.kind !== "event") return;
        work(2);
        revisions.push(signal.event.revision);
        if (revisions.length < 20) return;
        subscription.unsubscribe();
        resolve();
      });
    });
    for (let round = 0; round < 5; round++) await new Promise(setImmediate);
    expect(revisions).toHaveLength(20);
    await log.close();
  });
});
