import { readFileSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { describe, expect, it } from "@jest/globals";
import { Database, toStoreError } from "../../../src/log/sqlite/engine.ts";
import { tempFolders } from "./temp-folder.ts";

const newFolder = tempFolders();
const PAGE_BYTES = 4096;

describe("what SQLite finds damaged between two rows", () => {
  it("is told as damage, although the driver then gives no result code", async () => {
    const path = join(await newFolder(), "damaged.db");
    const database = new Database(path);
    database.exec("CREATE TABLE filler (text TEXT)");
    for (let row = 0; row < 50; row++)
      database.prepare("INSERT INTO filler VALUES (?)").run("x".repeat(1000));
    database.close();
    const bytes = readFileSync(path);
    // The table's last leaf: the rows before it can be read.
    bytes.fill(0, bytes.length - PAGE_BYTES);
    writeFileSync(path, bytes);
    const damaged = new Database(path, { readOnly: true });
    try {
      expect(damaged.prepare("SELECT text FROM filler").get()?.[0]).toHaveLength(1000);
      let error: unknown;
      try {
        damaged.prepare("SELECT text FROM filler").all();
      } catch (caught) {
        error = toStoreError(caught, path);
      }
      expect(error).toMatchObject({ name: "DamageError", code: "damaged-file" });
    } finally {
      damaged.close();
    }
  });
});
