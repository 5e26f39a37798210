import type { Splice } from "../events/conversation-event.ts";
import { type StoredPart, parseParts } from "../events/stored-part.ts";
import { SplicedText } from "../events/text-splice.ts";

/** What a delta did to one part of a message. `part` is its index. */
export type PartChange =
  | { kind: "text" | "reasoning"; part: number; text: string }
  /** A piece of a tool call's input. */
  | { kind: "tool-input"; part: number; toolId: string; name: string; text: string }
  /** A tool call began, or its state changed. */
  | { kind: "tool"; part: number; tool: StoredPart; isNew: boolean }
  /** Any other part, or one that was rewritten: as it is now. */
  | { kind: "part"; part: number; value: StoredPart; isNew: boolean }
  | { kind: "part-removed"; part: number };

type TextField = "text" | "input";

/** The end of a string in the JSON, where text streams in. */
interface Cursor {
  part: number;
  field: TextField;
  end: number;
}

/**
 * A message's content as it grows, and what each splice means for its parts. Text that goes on where the text before it
 * ended costs its own length; only a part that begins or changes in another way has the whole content read.
 */
export class GrowingParts {
  readonly #content: SplicedText;
  #parts: StoredPart[];
  #cursor: Cursor | undefined;

  /** @param format `text`: a content that looks like parts is text all the same, until it is updated. */
  constructor(content: string, format: "text" | "parts" = "parts") {
    this.#content = new SplicedText(content);
    this.#parts = format === "text" ? [{ kind: "text", text: content }] : partsOf(content);
  }

  get parts(): readonly StoredPart[] {
    return this.#parts;
  }

  apply(splices: readonly Splice[]): PartChange[] {
    const continued = this.#goOn(splices);
    if (continued !== undefined) return [continued];
    for (const [at, del, ins] of splices) this.#content.splice(at, del, ins);
    const content = this.#content.toString();
    const before = this.#parts;
    this.#parts = partsOf(content);
    const changes = comparedParts(before, this.#parts);
    this.#cursor = cursorBehind(splices, changes, content);
    return changes;
  }

  #goOn(splices: readonly Splice[]): PartChange | undefined {
    const [splice] = splices;
    const cursor = this.#cursor;
    if (splice === undefined || splices.length > 1 || cursor === undefined) return undefined;
    const [at, del, ins] = splice;
    const text = del === 0 && at === cursor.end ? unescaped(ins) : undefined;
    const part = this.#parts[cursor.part] as unknown as Record<string, unknown> | undefined;
    if (text === undefined || part === undefined) return undefined;
    this.#content.splice(at, 0, ins);
    cursor.end += ins.length;
    // Another object: changes that were told hold the one before.
    const grown = { ...part, [cursor.field]: String(part[cursor.field]) + text } as unknown as StoredPart;
    this.#parts[cursor.part] = grown;
    return appended(grown, cursor.part, text);
  }
}

function partsOf(content: string): StoredPart[] {
  if (content === "") return [];
  return parseParts(content) ?? [{ kind: "text", text: content }];
}

/** Where the next piece is expected, after one that only added text before a string's closing quote. */
function cursorBehind(
  splices: readonly Splice[],
  changes: readonly PartChange[],
  content: string,
): Cursor | undefined {
  const [splice] = splices;
  const [change] = changes;
  if (splice === undefined || splices.length > 1 || change === undefined || changes.length > 1)
    return undefined;
  if (!("text" in change)) return undefined;
  const [at, del, ins] = splice;
  const end = at + ins.length;
  if (del > 0 || content.charAt(end) !== '"' || unescaped(ins) !== change.text) return undefined;
  return { part: change.part, field: change.kind === "tool-input" ? "input" : "text", end };
}

/** The text that JSON string contents stand for; undefined where it is none, such as the end of a string. */
function unescaped(json: string): string | undefined {
  if (!/["\\\u0000-\u001f]/.test(json)) return json;
  try {
    const text: unknown = JSON.parse(`"${json}"`);
    return typeof text === "string" ? text : undefined;
  } catch {
    return undefined;
  }
}

/** What turned these parts into those. */
export function comparedParts(before: readonly StoredPart[], after: readonly StoredPart[]): PartChange[] {
  const changes: PartChange[] = [];
  for (const [part, now] of after.entries()) {
    const then = before[part];
    const change = then === undefined ? addedPart(now, part) : changedPart(then, now, part);
    if (change !== undefined) changes.push(change);
  }
  for (let part = after.length; part < before.length; part++) changes.push({ kind: "part-removed", part });
  return changes;
}

function addedPart(now: StoredPart, part: number): PartChange {
  if (now.kind === "tool") return { kind: "tool", part, tool: now, isNew: true };
  const isText = now.kind === "text" || now.kind === "reasoning";
  return isText ? appended(now, part, textOf(now, "text")) : { kind: "part", part, value: now, isNew: true };
}

function changedPart(then: StoredPart, now: StoredPart, part: number): PartChange | undefined {
  const field: TextField = now.kind === "tool" ? "input" : "text";
  const isStream = ["text", "reasoning", "tool"].includes(now.kind) && now.kind === then.kind;
  const [old, fresh] = [textOf(then, field), textOf(now, field)];
  const isSame = JSON.stringify({ ...then, [field]: "" }) === JSON.stringify({ ...now, [field]: "" });
  if (isSame && old === fresh) return undefined;
  if (isStream && isSame && fresh.startsWith(old)) return appended(now, part, fresh.slice(old.length));
  if (now.kind === "tool") return { kind: "tool", part, tool: now, isNew: then.kind !== "tool" };
  return { kind: "part", part, value: now, isNew: false };
}

function appended(now: StoredPart, part: number, text: string): PartChange {
  if (now.kind !== "tool") return { kind: now.kind as "text" | "reasoning", part, text };
  const { tool_id, name } = now as { tool_id?: unknown; name?: unknown };
  return { kind: "tool-input", part, toolId: String(tool_id), name: String(name), text };
}

function textOf(part: StoredPart, field: TextField): string {
  const text = (part as unknown as Record<string, unknown>)[field];
  return typeof text === "string" ? text : "";
}
