import { execFileSync, spawnSync } from "node:child_process";
import { existsSync } from "node:fs";
import { mkdir, mkdtemp, readFile, readdir, rm, symlink, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { dirname, join } from "node:path";
import { afterAll, beforeAll, describe, expect, it } from "@jest/globals";

/**
 * What `npm pack` makes, as a project that depends on it sees it (`npm run build` first; `npm test` does). The
 * dependencies are linked instead of downloaded.
 */

const ROOT = join(import.meta.dirname, "..", "..");

interface Manifest {
  dependencies: Record<string, string>;
  bin: Record<string, string>;
  scripts: Record<string, string>;
}

let project: string;
let installed: string;
let manifest: Manifest;
const linkInto = async (modules: string, name: string): Promise<void> => {
  await mkdir(dirname(join(modules, name)), { recursive: true });
  await symlink(join(ROOT, "node_modules", name), join(modules, name));
};

beforeAll(async () => {
  project = await mkdtemp(join(tmpdir(), "turnlog-packed-"));
  // Without prepack: other tests run what it would build anew.
  const pack = ["pack", "--ignore-scripts", "--silent", "--pack-destination", project];
  const tarball = execFileSync("npm", pack, { cwd: ROOT, encoding: "utf8" }).trim();
  execFileSync("tar", ["-xzf", tarball], { cwd: project });
  const modules = join(project, "node_modules");
  installed = join(modules, "turnlog");
  await mkdir(modules);
  execFileSync("mv", [join(project, "package"), installed]);
  manifest = JSON.parse(await readFile(join(installed, "package.json"), "utf8")) as Manifest;
  for (const name of [...Object.keys(manifest.dependencies), "@types/node"]) await linkInto(modules, name);
  await writeFile(join(project, "package.json"), '{ "type": "module" }');
});

afterAll(async () => {
  await rm(project, { recursive: true, force: true });
});

async function runModule(source: string): Promise<{ status: number | null; stdout: string; stderr: string }> {
  await writeFile(join(project, "main.js"), source);
  const { status, stdout, stderr } = spawnSync(process.execPath, ["main.js"], {
    cwd: project,
    encoding: "utf8",
  });
  return { status, stdout, stderr };
}

describe("the packed package", () => {
  it("holds what runs, its types, the demo's recording and the pages, and nothing that is run at install", async () => {
    expect((await readdir(installed)).toSorted()).toEqual([
      "CHANGELOG.md",
      "LICENSE",
      "README.md",
      "demo",
      "dist",
      "package.json",
    ]);
    const files = await readdir(join(installed, "dist"), { recursive: true });
    expect(files.filter((name) => /\.test\.|(?<!\.d)\.ts$/.test(name))).toEqual([]);
    for (const script of ["preinstall", "install", "postinstall"])
      expect(manifest.scripts).not.toHaveProperty(script);
  });

  it("is imported as turnlog and turnlog/testing", async () => {
    const { status, stdout, stderr } = await runModule(`
      import { openConversationStore } from "turnlog";
      import { eventLogContract, FaultyEventLog } from "turnlog/testing";
      const store = await openConversationStore("./store.db");
      await store.saveMessage("s", "user", "hello");
      console.log((await store.listMessages("s")).length, typeof eventLogContract, typeof FaultyEventLog);
      await store.close();
    `);
    expect({ status, stdout, stderr }).toEqual({ status: 0, stdout: "1 function function\n", stderr: "" });
  });

  it("loads the server's client only for a server", async () => {
    const { status, stdout, stderr } = await runModule(`
      import { createRequire } from "node:module";
      import { openConversationStore } from "turnlog";
      import "turnlog/testing";
      const loaded = () =>
        Object.keys(createRequire(import.meta.url).cache).some((path) => /db-client|grpc/.test(path));
      for (const url of ["memory:", "file:./another.db"]) await (await openConversationStore(url)).close();
      const before = loaded();
      // Nobody answers there; that it tries is enough.
      openConversationStore("esdb://127.0.0.1:1?tls=false", { create: false }).catch(() => undefined);
      while (!loaded()) await new Promise(setImmediate);
      console.log(before, loaded());
      process.exit();
    `);
    expect({ status, stdout, stderr }).toEqual({ status: 0, stdout: "false true\n", stderr: "" });
  });

  it("loads of RxJS what it uses, and gives the Observable that the application's RxJS has", async () => {
    const { status, stdout, stderr } = await runModule(`
      import { createRequire } from "node:module";
      import { openConversationStore } from "turnlog";
      const loaded = () => Object.keys(createRequire(import.meta.url).cache).filter((path) => /rxjs.*index/.test(path));
      const before = loaded();
      const { Observable } = await import("rxjs");
      const store = await openConversationStore("memory:");
      console.log(before.length, store.watchMessages("s") instanceof Observable);
      await store.close();
    `);
    expect({ status, stdout, stderr }).toEqual({ status: 0, stdout: "0 true\n", stderr: "" });
  });

  it("has of zod what it uses inside, with its licence, and loads nothing else of it", async () => {
    const folder = join(installed, "dist");
    const files = (await readdir(folder, { recursive: true })).filter((name) => name.endsWith(".js"));
    const codes = await Promise.all(files.map((name) => readFile(join(folder, name), "utf8")));
    expect(codes.filter((code) => /from "zod|import\("zod/.test(code))).toEqual([]);
    expect(codes.filter((code) => code.includes("node_modules/zod/"))).not.toEqual([]);
    expect(codes.filter((code) => code.includes("node_modules/zod/v4/locales/fr"))).toEqual([]);
    expect(await readFile(join(folder, "THIRD-PARTY-LICENSES.txt"), "utf8")).toMatch(/zod 4[^]*MIT License/);
  });

  it.each(["nodenext", "bundler"])("has types that resolve under %s, without skipLibCheck", async (kind) => {
    const source = `
      import { type StoredMessage, openConversationStore } from "turnlog";
      import { type EventLogFixture, eventLogContract } from "turnlog/testing";
      const store = await openConversationStore("memory:");
      export const messages: StoredMessage[] = await store.listMessages("s");
      export type { EventLogFixture };
      export const contract: typeof eventLogContract = eventLogContract;
      // @ts-expect-error: a session is named by a string.
      await store.listMessages(1);
    `;
    await writeFile(join(project, "types.ts"), source);
    const options = {
      strict: true,
      exactOptionalPropertyTypes: true,
      noEmit: true,
      skipLibCheck: false,
      target: "es2023",
      lib: ["es2023"],
      types: ["node"],
      module: kind === "nodenext" ? "nodenext" : "preserve",
      moduleResolution: kind,
    };
    const config = join(project, `tsconfig.${kind}.json`);
    await writeFile(config, JSON.stringify({ compilerOptions: options, files: ["types.ts"] }));
    const tsc = join(ROOT, "node_modules", ".bin", "tsc");
    const { status, stdout } = spawnSync(tsc, ["-p", config], { encoding: "utf8" });
    expect({ status, stdout }).toEqual({ status: 0, stdout: "" });
  });

  it("has the command", () => {
    const command = join(installed, manifest.bin["turnlog"] ?? "");
    expect(existsSync(command)).toBe(true);
    const help = execFileSync(process.execPath, [command, "--help"], { cwd: project, encoding: "utf8" });
    expect(help).toMatch(/^Usage: turnlog /);
  });
});
