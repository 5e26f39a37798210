import { stat } from "node:fs/promises";
import { join } from "node:path";
import { describe, expect, it } from "@jest/globals";
import { openSqliteEventLog } from "../../../src/log/sqlite/sqlite-event-log.ts";
import { checkLogIntegrity } from "../../../src/testing/check-log-integrity.ts";
import { sampleEvent } from "./sample-log.ts";
import { tempFolders } from "./temp-folder.ts";

const newFolder = tempFolders();
const MEGABYTE = 1_048_576;
/** Does not compress: what is appended is what is written. */
const noise = (): string =>
  Array.from({ length: 8_192 }, () => Math.floor(Math.random() * 2 ** 32).toString(36)).join("");

describe("the WAL", () => {
  it("is moved into the database by a thread while the log is open, and the thread ends with the log", async () => {
    const path = join(await newFolder(), "log.db");
    const log = await openSqliteEventLog(path);
    const workers = (): number =>
      process.getActiveResourcesInfo().filter((name) => name === "MessagePort").length;
    const before = workers();
    let bytes = 0;
    while (bytes < 24 * MEGABYTE) {
      const text = noise();
      await log.append("a", [sampleEvent(text)], "any");
      bytes += text.length;
    }
    // Nothing else moves pages before 48 MB of them wait.
    while ((await stat(path)).size < 8 * MEGABYTE) await log.head();
    await checkLogIntegrity(log);
    await log.close();
    expect(workers()).toBe(before);
  });

  it("stays bounded under a writer that never pauses", async () => {
    const path = join(await newFolder(), "log.db");
    const log = await openSqliteEventLog(path);
    const text = noise();
    for (let bytes = 0; bytes < 160 * MEGABYTE; bytes += 16 * text.length) {
      await Promise.all(
        Array.from({ length: 16 }, (_, n) => log.append(`s${n}`, [sampleEvent(text)], "any")),
      );
    }
    expect((await stat(`${path}-wal`)).size).toBeLessThan(80 * MEGABYTE);
    await log.close();
    expect((await stat(path)).size).toBeGreaterThan(20 * MEGABYTE);
  });
});
