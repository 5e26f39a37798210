import { join } from "node:path";
import { describe, expect, it } from "@jest/globals";
import { HolderLock } from "../../src/projections/holder-lock.ts";
import { tempFolders } from "../log/sqlite/temp-folder.ts";

const newFolder = tempFolders();

describe("a holder's lock", () => {
  it("is held by one at a time, and free as soon as it is released", async () => {
    const path = join(await newFolder(), "lock");
    const [first, second] = [new HolderLock(path), new HolderLock(path)];
    for (let round = 0; round < 3; round++) {
      expect(first.tryAcquire()).toBe(true);
      expect(first.isHeld).toBe(true);
      expect(second.tryAcquire()).toBe(false);
      first.release();
      expect(second.tryAcquire()).toBe(true);
      second.release();
    }
  });
});
