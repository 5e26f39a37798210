import { describe, expect, it } from "@jest/globals";
import { ShortSyncs } from "../../../src/log/sqlite/short-syncs.ts";

/** How many syncs are left to threads before the next may stop the event loop. */
function byThread(syncs: ShortSyncs): number {
  let count = 0;
  while (!syncs.mayStop()) count += 1;
  return count;
}

describe("syncs that may stop the event loop", () => {
  it("are tried, and go on as long as they are short", () => {
    const syncs = new ShortSyncs();
    for (let n = 0; n < 100; n++) {
      expect(syncs.mayStop()).toBe(true);
      syncs.took(0.2);
    }
  });

  it("are left to threads after a long one, for twice as many each time, and never for good", () => {
    const syncs = new ShortSyncs();
    const counts = Array.from({ length: 11 }, () => {
      syncs.took(20);
      return byThread(syncs);
    });
    expect(counts).toEqual([16, 32, 64, 128, 256, 512, 1024, 2048, 4096, 4096, 4096]);
  });

  it("are trusted again by and by: a disk that is slow for a moment is not slow for ever", () => {
    const syncs = new ShortSyncs();
    for (let n = 0; n < 4; n++) syncs.took(20);
    expect(byThread(syncs)).toBe(128);
    for (let n = 0; n < 4; n++) syncs.took(0.2);
    syncs.took(20);
    expect(byThread(syncs)).toBe(16);
  });
});
