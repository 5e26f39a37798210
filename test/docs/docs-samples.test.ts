import { spawnSync } from "node:child_process";
import { existsSync, readFileSync, readdirSync } from "node:fs";
import { chmod, copyFile, mkdir, mkdtemp, rm, symlink, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { dirname, join } from "node:path";
import { fileURLToPath } from "node:url";
import { afterAll, beforeAll, describe, expect, it } from "@jest/globals";
import { transform } from "@swc/core";

/**
 * Every sample in the documentation runs: `ts` fences are type-checked and executed against the built package,
 * imported by its name; in `sh` fences the lines `$ turnlog …` are executed in their order. A page's samples share
 * nothing with those of another page.
 */

const root = fileURLToPath(new URL("../../", import.meta.url));

interface Sample {
  page: string;
  line: number;
  language: string;
  code: string;
}

function markdownFiles(): string[] {
  const docs = readdirSync(join(root, "docs"), { recursive: true, encoding: "utf8" })
    .filter((path) => path.endsWith(".md"))
    .map((path) => join("docs", path));
  return ["README.md", "CONTRIBUTING.md", ...docs];
}

function samplesOf(page: string): Sample[] {
  const samples: Sample[] = [];
  let open: Sample | undefined;
  for (const [index, line] of readFileSync(join(root, page), "utf8").split("\n").entries()) {
    const fence = /^\s*```(\S*)/.exec(line);
    if (fence === null) {
      if (open !== undefined) open.code += `${line}\n`;
    } else if (open === undefined) {
      open = { page, line: index + 1, language: fence[1] ?? "", code: "" };
    } else {
      samples.push(open);
      open = undefined;
    }
  }
  return samples;
}

const samples = markdownFiles().flatMap(samplesOf);
const typescript = samples.filter(({ language }) => language === "ts");
const shell = samples.filter(({ language, code }) => language === "sh" && /^\$ turnlog /m.test(code));
const nameOf = ({ page, line }: Sample): string => `${page}:${line}`;
const fileOf = (sample: Sample): string => nameOf(sample).replaceAll(/[^a-z0-9]/gi, "-");

let folder: string;

/** A package as a user's would be: turnlog and what its samples import lie in its node_modules. */
beforeAll(async () => {
  folder = await mkdtemp(join(tmpdir(), "turnlog-docs-"));
  await mkdir(join(folder, "node_modules"));
  await symlink(root, join(folder, "node_modules", "turnlog"));
  for (const name of importedPackages()) {
    const link = join(folder, "node_modules", name);
    await mkdir(dirname(link), { recursive: true });
    await symlink(join(root, "node_modules", name), link);
  }
  await writeFile(join(folder, "package.json"), '{ "type": "module" }');
  const compilerOptions = {
    target: "ES2023",
    module: "NodeNext",
    strict: true,
    noEmit: true,
    skipLibCheck: true,
    types: ["node"],
    typeRoots: [join(root, "node_modules/@types")],
  };
  await writeFile(join(folder, "tsconfig.json"), JSON.stringify({ compilerOptions, include: ["*.ts"] }));
  for (const sample of typescript) {
    const { code } = await transform(sample.code, {
      jsc: { parser: { syntax: "typescript" }, target: "es2022" },
      module: { type: "es6" },
    });
    // The `export {}` makes a sample without imports a module of its own for the type check.
    await writeFile(join(folder, `${fileOf(sample)}.ts`), `${sample.code}\nexport {};\n`);
    await writeFile(join(folder, `${fileOf(sample)}.js`), code);
  }
});

afterAll(() => rm(folder, { recursive: true, force: true }));

function importedPackages(): Set<string> {
  const names = typescript.flatMap(({ code }) =>
    [...code.matchAll(/(?:from|import)\s*\(?\s*"((?:@[^/"]+\/)?[^./"][^/"]*)/g)].map(([, name = ""]) => name),
  );
  return new Set(names.filter((name) => !name.startsWith("node:") && name !== "turnlog"));
}

describe("samples in the documentation", () => {
  it("are there", () => {
    expect(existsSync(join(root, "dist/index.js"))).toBe(true); // Else: npm run build.
    expect(typescript.filter(({ page }) => page === "README.md")).not.toEqual([]);
    expect(shell.filter(({ page }) => page === "README.md")).not.toEqual([]);
  });

  it("have the types that they claim", () => {
    const tsc = join(root, "node_modules/.bin/tsc");
    const { status, stdout } = spawnSync(tsc, ["-p", folder], { encoding: "utf8" });
    expect({ status, stdout }).toEqual({ status: 0, stdout: "" });
  });

  it.each(typescript.map((sample) => [nameOf(sample), sample] as const))("%s runs", async (_, sample) => {
    const cwd = await mkdtemp(join(folder, "cwd-"));
    const { status, stderr } = spawnSync(process.execPath, [join(folder, `${fileOf(sample)}.js`)], {
      cwd,
      encoding: "utf8",
      timeout: 240_000,
    });
    expect({ status, stderr }).toEqual({ status: 0, stderr: "" });
  });

  const pages = [...new Set(shell.map(({ page }) => page))];

  it.each(pages)("%s: its commands run, in their order", async (page) => {
    const cwd = await mkdtemp(join(folder, "cwd-"));
    await copyFile(join(root, "test/samples/anthropic.jsonl"), join(cwd, "stream.jsonl"));
    const bin = join(cwd, "bin");
    await mkdir(bin);
    const cli = join(root, "dist/cli/main.js");
    await writeFile(join(bin, "turnlog"), `#!/bin/sh\nexec "${process.execPath}" "${cli}" "$@"\n`);
    await chmod(join(bin, "turnlog"), 0o755);
    const env = { ...process.env, PATH: `${bin}:${process.env["PATH"]}`, TURNLOG_STORE: undefined };
    const commands = shell
      .filter((sample) => sample.page === page)
      .flatMap(({ code }) => [...code.matchAll(/^\$ (turnlog .*)$/gm)].map(([, command = ""]) => command));
    for (const command of commands) {
      const { status, stderr } = spawnSync("bash", ["-c", command], { cwd, env, encoding: "utf8" });
      expect({ command, status, stderr }).toEqual({ command, status: 0, stderr: "" });
    }
  });
});

describe("the README", () => {
  const readme = readFileSync(join(root, "README.md"), "utf8");

  it("names the two commands of a fresh checkout, one line each, and CI runs the second", () => {
    expect(readme).toContain("\nnpm ci && npm start\n");
    expect(readme).toContain("\nnpm ci && npm test\n");
    expect(readFileSync(join(root, ".ci/run"), "utf8")).toContain("\nnpm ci && npm test\n");
  });

  it("links to pages that exist", () => {
    for (const page of markdownFiles()) {
      const links = [...readFileSync(join(root, page), "utf8").matchAll(/\]\((?!https?:)([^)#]+)/g)];
      for (const [, link = ""] of links) {
        const target = join(root, dirname(page), link);
        expect({ page, link, exists: existsSync(target) }).toEqual({ page, link, exists: true });
      }
    }
  });

  it("shows the demo as it is: each line of its transcript is one that the demo prints", async () => {
    const cwd = await mkdtemp(join(folder, "cwd-"));
    const cli = join(root, "dist/cli/main.js");
    const env = { ...process.env, TURNLOG_STORE: undefined };
    const { stdout } = spawnSync(process.execPath, [cli, "demo", "--pace", "20"], {
      cwd,
      env,
      encoding: "utf8",
    });
    const printed = comparable(stdout);
    const transcript = samplesOf("README.md").find(({ code }) => code.startsWith("$ npm start"))?.code ?? "";
    const lines = transcript.split("\n").slice(1);
    expect(lines.length).toBeGreaterThan(20);
    for (const piece of lines.flatMap((line) => line.split("[…]"))) {
      // How much arrives before the kill differs from run to run.
      if (/ends with|disk_usage|^ +\{"host|delta had not|deltas had not/.test(piece)) continue;
      expect(printed).toContain(comparable(piece));
    }
  });
});

/** Without figures and without where lines are broken. */
function comparable(text: string): string {
  return text
    .replaceAll(/[\d,.]*\d/g, "N")
    .replaceAll("┊", " ")
    .replaceAll(/\s+/g, " ")
    .trim();
}

it("no page names a path of the machine that it was written on", () => {
  for (const page of markdownFiles()) {
    const text = readFileSync(join(root, page), "utf8");
    expect({ page, found: /\/(work|home|root)\//.exec(text)?.[0] }).toEqual({ page, found: undefined });
  }
});
