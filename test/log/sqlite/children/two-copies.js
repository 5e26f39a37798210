// Holds the write lock of the log argv[2] with the package at argv[3], opens and closes it with the package at
// argv[4], and prints whether another process may write meanwhile.
import { spawnSync } from "node:child_process";
import { join } from "node:path";
import { pathToFileURL } from "node:url";

const [path, ...packages] = process.argv.slice(2);
const engine = (folder) => pathToFileURL(join(folder, "build", "log", "sqlite", "engine.js")).href;
const [first, second] = await Promise.all(packages.map((folder) => import(engine(folder))));
if (first.Database === second.Database) throw new Error("there is one copy of the package only");

const holder = new first.Database(path);
holder.exec("BEGIN IMMEDIATE");
function visit() {
  const visitor = new second.Database(path);
  visitor.prepare("SELECT count(*) FROM hot").get();
  visitor.close();
}
visit();
// The engine lets go of a file only when the statements of its connection have been collected.
for (let turn = 0; turn < 5; turn++) {
  await new Promise(setImmediate);
  globalThis.gc();
}

const script = `
  const { Database } = await import(${JSON.stringify(engine(packages[0]))});
  const database = new Database(${JSON.stringify(path)});
  try {
    database.exec("BEGIN IMMEDIATE; ROLLBACK");
    console.log("may write");
  } catch (error) {
    console.log(error.message);
  }
`;
const other = spawnSync(process.execPath, ["--input-type=module", "-e", script], { encoding: "utf8" });
process.stdout.write(other.stdout || other.stderr);
