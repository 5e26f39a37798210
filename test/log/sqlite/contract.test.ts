import { existsSync } from "node:fs";
import { mkdtemp, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { describe, it } from "@jest/globals";
import { type SqliteEventLogOptions, openSqliteEventLog } from "../../../src/log/sqlite/sqlite-event-log.ts";
import { eventLogContract } from "../../../src/testing/event-log-contract.ts";

// Two hundred logs are made and closed here, and each waits for the disk some ten times: other tests need that.
const fastFolder = existsSync("/dev/shm") ? "/dev/shm" : tmpdir();

function contract(name: string, first: SqliteEventLogOptions, second: SqliteEventLogOptions): void {
  eventLogContract({
    name,
    describe,
    it,
    open: async () => {
      const folder = await mkdtemp(join(fastFolder, "turnlog-contract-"));
      const path = join(folder, "log.db");
      const log = await openSqliteEventLog(path, first);
      return {
        log,
        reopen: () => openSqliteEventLog(path, second),
        dispose: async () => {
          await log.close();
          await rm(folder, { recursive: true, force: true });
        },
      };
    },
  });
}

contract("SQLite", {}, {});

// Bounds so small that everything is packed, cut into rows and dropped all the time.
const busy = { hotBounds: { rows: 3, events: 20, bytes: 4_096 }, packSpan: 16 };
contract(
  "SQLite, a connection for each handle, packing all the time",
  { internals: busy },
  { internals: { ...busy, ownConnection: true } },
);
