import { expect, it } from "@jest/globals";
import type { SharedLog } from "../../../src/log/sqlite/shared-log.ts";
import { acquireLog, isLogOpen, releaseLog } from "../../../src/log/sqlite/shared-logs.ts";

const fakeLog = (): SharedLog => ({ close: async () => {}, queue: { drainSync: () => {} } }) as never;

it("a reader that finds a writable log open joins it, though its writer closes in the same moment", async () => {
  const key = "writable /somewhere/log.db";
  const log = fakeLog();
  expect(await acquireLog(key, async () => log)).toBe(log);
  expect(isLogOpen(key)).toBe(true);
  // It would open the file read-only, and the next writer would be given that.
  const joining = acquireLog(key, async () => fakeLog());
  const closing = releaseLog(key);
  expect(await joining).toBe(log);
  await closing;
  expect(isLogOpen(key)).toBe(true);
  await releaseLog(key);
  expect(isLogOpen(key)).toBe(false);
});

it("who opens a log that is being closed waits for it, and opens it anew", async () => {
  const key = "writable /somewhere/else.db";
  const steps: string[] = [];
  let closed = (): void => {};
  const first = { ...fakeLog(), close: () => new Promise<void>((resolve) => (closed = resolve)) } as never;
  await acquireLog(key, async () => first);
  const closing = releaseLog(key).then(() => void steps.push("closed"));
  const opening = acquireLog(key, async () => {
    steps.push("opened");
    return fakeLog();
  });
  await new Promise(setImmediate);
  expect(steps).toEqual([]);
  closed();
  await Promise.all([closing, opening]);
  expect(steps.toSorted()).toEqual(["closed", "opened"]);
  await releaseLog(key);
});
