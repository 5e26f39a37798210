import { stat } from "node:fs/promises";
import { join } from "node:path";
import { setImmediate as nextTick } from "node:timers/promises";
import { describe, expect, it } from "@jest/globals";
import { MemoryEventLog } from "../../src/log/memory-event-log.ts";
import { openViews } from "../../src/projections/open-views.ts";
import { tempFolders } from "../log/sqlite/temp-folder.ts";

const newFolder = tempFolders();
const MEGABYTE = 1_048_576;

const threads = (): number =>
  process.getActiveResourcesInfo().filter((name) => name === "MessagePort").length;

describe("the write-ahead log of the views", () => {
  it("is moved into the file by a thread while much is written, and the thread ends when that is over", async () => {
    const path = join(await newFolder(), "views");
    const views = await openViews(new MemoryEventLog({}), { path });
    const before = threads();
    views.checkpointAside();
    views.write(() => views.database.exec("CREATE TABLE filler (bytes BLOB)"));
    const fill = views.database.prepare("INSERT INTO filler VALUES (randomblob(?))");
    for (let megabytes = 0; megabytes < 24; megabytes++) views.write(() => fill.run(MEGABYTE));
    // Nothing else moves pages before 48 MB of them wait.
    while ((await stat(path)).size < 8 * MEGABYTE) await nextTick();
    await views.endCheckpoints();
    expect(threads()).toBe(before);
    // Whoever writes a little from here on does so himself.
    expect(views.database.number("PRAGMA wal_autocheckpoint")).toBe(1000);
    views.close();
  });

  it("is left to SQLite where little is written, and in memory", async () => {
    for (const path of [":memory:", join(await newFolder(), "views")]) {
      const views = await openViews(new MemoryEventLog({}), { path });
      const before = threads();
      views.checkpointAside();
      views.setHolder("rebuild", { pid: 1, since: 1 });
      expect(threads()).toBe(before);
      await views.endCheckpoints();
      views.close();
    }
  });
});
