import { readFileSync } from "node:fs";
import { describe, expect, it } from "@jest/globals";
import * as turnlog from "../../src/index.ts";
import { eventSchemas, causeSchema, metadataSchema } from "../../src/events/conversation-event.ts";
import { Compactor } from "../../src/store/compactor.ts";
import { ConversationStore } from "../../src/store/conversation-store.ts";
import { TurnWriter } from "../../src/store/turn-writer.ts";

const page = (name: string): string =>
  readFileSync(new URL(`../../docs/${name}.md`, import.meta.url), "utf8");

/** Public methods and properties of a class. */
const members = (of: { prototype: object }): string[] =>
  Object.getOwnPropertyNames(of.prototype).filter((name) => name !== "constructor");

/** Calls between the parts of this library: no part of what a caller uses. */
const INTERNAL = new Set(["detach", "flushWindow"]);

/** A section of a page, from its heading to the next of the same level. */
function section(text: string, heading: string): string {
  const [, behind = ""] = text.split(`\n## ${heading}\n`);
  return behind.split("\n## ")[0] ?? "";
}

describe("docs/api.md", () => {
  it.each([
    ["`ConversationStore`", members(ConversationStore)],
    ["`Turn`", members(TurnWriter).filter((name) => !INTERNAL.has(name))],
    ["`Compactor`", members(Compactor)],
  ])("names every public method of %s, in its section", (heading, names) => {
    const described = section(page("api"), heading);
    const missing = names.filter((name) => !new RegExp(`\`${name}[(\`]`).test(described));
    expect(names.length).toBeGreaterThan(1);
    expect(missing).toEqual([]);
  });

  it("names everything that the package exports, types aside", () => {
    const names = Object.keys(turnlog);
    expect(names.length).toBeGreaterThan(30);
    expect(names.filter((name) => !new RegExp(`\`(new )?${name}[(\`]`).test(page("api")))).toEqual([]);
  });

  it("names no method that is not there", () => {
    const all = new Set([
      ...members(ConversationStore),
      ...members(TurnWriter),
      ...members(Compactor),
      ...Object.keys(turnlog),
    ]);
    const named = [...page("api").matchAll(/^\| `(\w+)\(/gm)].map(([, name = ""]) => name);
    expect(named.length).toBeGreaterThan(30);
    expect(named.filter((name) => !all.has(name))).toEqual([]);
  });
});

/** A file of the library, and what it exports by the names that are wanted; all of them where none are. */
interface ExportedFrom {
  file: string;
  onlyTypes: boolean;
  wanted: readonly string[] | undefined;
}

const source = (file: string): string => readFileSync(new URL(`../../src/${file}`, import.meta.url), "utf8");

/** What `src/index.ts` hands on, file by file. */
function exportsOfIndex(): ExportedFrom[] {
  const clauses = source("index.ts").matchAll(/^export (type )?(?:\*|\{([^}]*)\}) from "\.\/([^"]+)";/gm);
  return [...clauses].map(([, type, names, file = ""]) => ({
    file,
    onlyTypes: type !== undefined,
    wanted: names
      ?.split(",")
      .map((name) => name.trim().replace(/^type /, ""))
      .filter((name) => name !== ""),
  }));
}

const DECLARATION =
  /^export (?:declare )?(?:abstract )?(?:async )?(class|function\*?|const|interface|type) (\w+)/gm;
const isType = (keyword = ""): boolean => keyword === "interface" || keyword === "type";

/** Exported names of a file, with whether a docstring stands before them; also of what it hands on itself. */
function documented({ file, onlyTypes, wanted }: ExportedFrom): [name: string, isDocumented: boolean][] {
  const text = source(file);
  const found = [...text.matchAll(DECLARATION)].flatMap(({ 1: keyword, 2: name = "", index }) =>
    (wanted?.includes(name) ?? (isType(keyword) || !onlyTypes))
      ? [[name, text.slice(0, index).trimEnd().endsWith("*/")] as [string, boolean]]
      : [],
  );
  const handedOn = [...text.matchAll(/^export type \{([^}]*)\} from "\.\/([^"]+)";/gm)].flatMap(
    ([, names = "", from = ""]) => {
      const folder = file.slice(0, file.lastIndexOf("/") + 1);
      const all = names.split(",").map((name) => name.trim());
      return documented({
        file: `${folder}${from}`,
        onlyTypes: true,
        wanted: all.filter((name) => wanted === undefined || wanted.includes(name)),
      });
    },
  );
  return [...found, ...handedOn];
}

describe("the docstrings", () => {
  it("stand before everything that the package exports", () => {
    const all = exportsOfIndex().flatMap(documented);
    const names = new Set(all.map(([name]) => name));
    expect(
      exportsOfIndex()
        .flatMap(({ wanted }) => wanted ?? [])
        .filter((name) => !names.has(name)),
    ).toEqual([]);
    expect(all.length).toBeGreaterThan(150);
    expect(all.filter(([, isDocumented]) => !isDocumented).map(([name]) => name)).toEqual([]);
  });

  it.each([
    ["ConversationStore", "store/conversation-store.ts", /^ {2}(?:async |get )?(\w+)\([^;]*?\): .*\{$/gm],
    ["Turn", "store/turn.ts", /^ {2}(\w+)\(/gm],
    ["Compactor", "store/compactor.ts", /^ {2}(?:async )?(\w+)\([^;]*?\): .*\{$/gm],
  ])("stand before every public method of %s", (_name, file, method) => {
    const text = source(file);
    const methods = [...text.matchAll(method)];
    expect(methods.length).toBeGreaterThan(1);
    const bare = methods.filter(({ index }) => !/(\*\/|\/\/ .*)$/.test(text.slice(0, index).trimEnd()));
    expect(bare.map(([, name]) => name)).toEqual([]);
  });
});

describe("docs/events.md", () => {
  it("names every event type, each field of its data, and every cause", () => {
    const text = page("events");
    const names = [
      ...Object.keys(eventSchemas),
      ...Object.values(eventSchemas).flatMap((schema) => Object.keys(schema.shape)),
      ...Object.keys(metadataSchema.shape),
      ...causeSchema.options,
    ];
    expect(names.filter((name) => !new RegExp(`\`${name}\\??\``).test(text))).toEqual([]);
  });
});
