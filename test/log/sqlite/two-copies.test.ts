import { execFileSync } from "node:child_process";
import { cp, mkdir, symlink } from "node:fs/promises";
import { join } from "node:path";
import { expect, it } from "@jest/globals";
import { openSqliteEventLog } from "../../../src/log/sqlite/sqlite-event-log.ts";
import { tempFolders } from "./temp-folder.ts";

const newFolder = tempFolders();
const ROOT = join(import.meta.dirname, "..", "..", "..");
const ENGINE = join("node_modules", "@photostructure", "sqlite");

/** The package as a second installation of it, with an engine of its own, would be. */
async function secondInstallation(folder: string): Promise<string> {
  await mkdir(join(folder, "node_modules", "@photostructure"), { recursive: true });
  for (const part of ["package.json", "build"]) {
    await cp(join(ROOT, part), join(folder, part), { recursive: true });
  }
  const platform = `${process.platform}-${process.arch}`;
  for (const part of ["package.json", "dist", join("prebuilds", platform)]) {
    await cp(join(ROOT, ENGINE, part), join(folder, ENGINE, part), { recursive: true });
  }
  for (const library of ["rxjs", "zod", "node-gyp-build"]) {
    await symlink(join(ROOT, "node_modules", library), join(folder, "node_modules", library));
  }
  return folder;
}

it("two copies of the package in one process keep each other's locks", async () => {
  const path = join(await newFolder(), "log.db");
  const log = await openSqliteEventLog(path);
  await log.close();
  const second = await secondInstallation(await newFolder());
  const child = join(import.meta.dirname, "children", "two-copies.js");
  const answer = execFileSync(process.execPath, ["--expose-gc", child, path, ROOT, second], {
    encoding: "utf8",
  });
  expect(answer).toBe("database is locked\n");
});
