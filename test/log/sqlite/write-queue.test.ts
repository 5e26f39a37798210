import { setImmediate as nextTick } from "node:timers/promises";
import { join } from "node:path";
import { describe, expect, it } from "@jest/globals";
import { CommittedState } from "../../../src/log/sqlite/committed-state.ts";
import { flattenEvent } from "../../../src/log/sqlite/event-shape.ts";
import { LogTables } from "../../../src/log/sqlite/log-tables.ts";
import { openWritable } from "../../../src/log/sqlite/open-database.ts";
import { DEFAULT_HOT_BOUNDS, Packer } from "../../../src/log/sqlite/packing.ts";
import { DEFAULT_PACK_SPAN } from "../../../src/log/sqlite/schema.ts";
import { resolveStorePath } from "../../../src/log/sqlite/store-path.ts";
import { WriteQueue } from "../../../src/log/sqlite/write-queue.ts";
import { sampleEvent } from "./sample-log.ts";
import { tempFolders } from "./temp-folder.ts";

const newFolder = tempFolders();
const TIMEOUT_MS = 10_000;
const request = (stream: string) => ({
  stream,
  events: [flattenEvent(sampleEvent())],
  expectedRevision: "any" as const,
  seal: false,
});

async function withQueue(work: (queue: WriteQueue, highest: () => number) => Promise<void>): Promise<void> {
  const file = await resolveStorePath(join(await newFolder(), "log.db"));
  const opened = await openWritable(file, {
    create: true,
    busyTimeoutMs: TIMEOUT_MS,
    packSpan: DEFAULT_PACK_SPAN,
  });
  const state = new CommittedState(file.path, new LogTables(opened.database));
  const queue = new WriteQueue(state, new Packer(state, DEFAULT_HOT_BOUNDS), () => undefined);
  try {
    await work(queue, () => state.highestPosition);
  } finally {
    await opened.dispose();
  }
}

const someRounds = async (): Promise<void> => {
  for (let round = 0; round < 10; round++) await nextTick();
};

describe("the queue of writes, while it is paused", () => {
  it("writes nothing, and afterwards all that was called for, in the order of the calls", async () => {
    await withQueue(async (queue, highest) => {
      await queue.append(request("a"), TIMEOUT_MS);
      const called = queue.append(request("a"), TIMEOUT_MS);
      queue.pause();
      const later = queue.append(request("b"), TIMEOUT_MS);
      const change = queue.change(() => expect(highest()).toBe(2), TIMEOUT_MS);
      await someRounds();
      expect(highest()).toBe(0);
      queue.resume();
      expect(await Promise.all([called, later])).toEqual([
        { ok: true, revision: 1, position: 1 },
        { ok: true, revision: 0, position: 2 },
      ]);
      await change;
    });
  });

  it("is not drained, and is once it goes on", async () => {
    await withQueue(async (queue) => {
      queue.pause();
      const called = queue.append(request("a"), TIMEOUT_MS);
      let isDrained = false;
      const drained = queue.drained().then(() => (isDrained = true));
      await someRounds();
      expect(isDrained).toBe(false);
      queue.resume();
      await drained;
      expect(await called).toMatchObject({ ok: true });
    });
  });

  it("still writes for a process that exits, what was called for before first", async () => {
    await withQueue(async (queue) => {
      queue.pause();
      const called = queue.append(request("a"), TIMEOUT_MS);
      expect(queue.appendSync(request("a"), TIMEOUT_MS)).toEqual({ ok: true, revision: 1, position: 1 });
      expect(await called).toEqual({ ok: true, revision: 0, position: 0 });
    });
  });

  it("has nothing to do afterwards where nothing was called for", async () => {
    await withQueue(async (queue, highest) => {
      queue.pause();
      queue.resume();
      await someRounds();
      expect(highest()).toBe(-1);
      expect(await queue.append(request("a"), TIMEOUT_MS)).toMatchObject({ ok: true });
    });
  });
});
