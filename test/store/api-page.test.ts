import { readFileSync } from "node:fs";
import { describe, expect, it } from "@jest/globals";
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

  it("names no method that is not there", () => {
    const all = new Set([...members(ConversationStore), ...members(TurnWriter), ...members(Compactor)]);
    const named = [...page("api").matchAll(/^\| `(\w+)\(/gm)].map(([, name = ""]) => name);
    expect(named.length).toBeGreaterThan(30);
    expect(named.filter((name) => !all.has(name))).toEqual([]);
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
