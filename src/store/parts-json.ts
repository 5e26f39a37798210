import type { Splice } from "../events/conversation-event.ts";
import type { ProviderMetadata, StoredPart, ToolPart } from "../events/stored-part.ts";
import { findSplice } from "../events/text-splice.ts";

/**
 * The JSON of a growing array of parts, as splices: each change costs its own length, and the whole is never
 * serialised again. What the splices build equals `JSON.stringify(parts)`, except that a trailing high surrogate
 * is held back until its mate (or the end) comes, so that no half character is ever stored.
 */
export class PartsJson {
  readonly #slots: Slot[] = [];
  #length = "[]".length;
  /** Where the last appendWhole put its text. */
  insertedAt = 0;

  /** UTF-16 units of the JSON as it stands. */
  get length(): number {
    return this.#length;
  }

  get count(): number {
    return this.#slots.length;
  }

  /** Adds a text or reasoning part; returns its index and the splice. */
  addText(
    kind: "text" | "reasoning",
    text: string,
    providerMetadata: ProviderMetadata | undefined,
  ): [index: number, splice: Splice] {
    const head = `{"kind":"${kind}","text":"`;
    const tail = textTail(providerMetadata);
    const [whole, held] = holdBack(text);
    return this.#add({ tail, held, providerMetadata }, head + escape(whole) + tail);
  }

  /** Adds a part that grows no more, or a tool call whose input may. */
  addPart(part: StoredPart): [index: number, splice: Splice] {
    if (part.kind !== "tool") return this.#add({ tail: "", held: "" }, JSON.stringify(part));
    const tool = part as ToolPart;
    const [input, held] = holdBack(tool.input);
    const json = JSON.stringify({ ...tool, input });
    const shown = parseTool(json);
    return this.#add({ tail: inputTail(shown), held, tool: shown }, json);
  }

  #add(slot: Omit<Slot, "length">, json: string): [index: number, splice: Splice] {
    const separator = this.#slots.length === 0 ? "" : ",";
    const at = this.#length - "]".length;
    this.#slots.push({ ...slot, length: json.length });
    this.#length += separator.length + json.length;
    return [this.#slots.length - 1, [at, 0, separator + json]];
  }

  /** Appends to the text of a part, or to the input of a tool call; undefined where nothing can be shown yet. */
  append(index: number, text: string): Splice | undefined {
    const slot = this.#slot(index);
    const [whole, held] = holdBack(slot.held + text);
    slot.held = held;
    if (whole === "") return undefined;
    if (slot.tool !== undefined) slot.tool.input += whole;
    const ins = escape(whole);
    const at = this.#end(index) - slot.tail.length;
    slot.length += ins.length;
    this.#length += ins.length;
    return [at, 0, ins];
  }

  /**
   * As `append`, of text that is whole and goes to the end of the last part: undefined where it is not so simple,
   * and nothing was done. Where it goes is `insertedAt`.
   */
  appendWhole(index: number, text: string): string | undefined {
    const slot = this.#slots[index];
    if (slot === undefined || index !== this.#slots.length - 1) return undefined;
    if (slot.held !== "" || slot.tool !== undefined || isHighSurrogate(text.charCodeAt(text.length - 1)))
      return undefined;
    const ins = escape(text);
    this.insertedAt = this.#length - "]".length - slot.tail.length;
    this.#grow(slot, ins.length);
    return ins;
  }

  /** Merges into the providerMetadata of a text or reasoning part. */
  mergeMetadata(index: number, providerMetadata: ProviderMetadata): Splice | undefined {
    const slot = this.#slot(index);
    const merged = mergeProviderMetadata(slot.providerMetadata, providerMetadata);
    const tail = textTail(merged);
    const change = findSplice(slot.tail, tail);
    if (change === undefined) return undefined;
    const at = this.#end(index) - slot.tail.length + change[0];
    this.#grow(slot, tail.length - slot.tail.length);
    slot.tail = tail;
    slot.providerMetadata = merged;
    return [at, change[1], change[2]];
  }

  /** The tool call at this index, as it stands; its input without a half character. */
  tool(index: number): Readonly<ToolPart> {
    const { tool, held } = this.#slot(index);
    if (tool === undefined) throw new Error(`part ${index} is no tool call`);
    return held === "" ? tool : { ...tool, input: tool.input + held };
  }

  /** Puts a tool call in the place of the one at this index. */
  replaceTool(index: number, tool: ToolPart): Splice | undefined {
    const slot = this.#slot(index);
    const end = this.#end(index);
    const before = JSON.stringify(slot.tool);
    const after = JSON.stringify(tool);
    const change = findSplice(before, after);
    slot.tool = parseTool(after);
    slot.held = "";
    slot.tail = inputTail(slot.tool);
    if (change === undefined) return undefined;
    const at = end - slot.length + change[0];
    this.#grow(slot, after.length - before.length);
    return [at, change[1], change[2]];
  }

  /** Shows the half characters whose mates never came: at the end of the turn. */
  release(): Splice[] {
    const splices: Splice[] = [];
    for (const [index, slot] of this.#slots.entries()) {
      if (slot.held === "") continue;
      const ins = escape(slot.held);
      splices.push([this.#end(index) - slot.tail.length, 0, ins]);
      if (slot.tool !== undefined) slot.tool.input += slot.held;
      slot.held = "";
      this.#grow(slot, ins.length);
    }
    return splices;
  }

  #grow(slot: Slot, units: number): void {
    slot.length += units;
    this.#length += units;
  }

  #slot(index: number): Slot {
    const slot = this.#slots[index];
    if (slot === undefined) throw new Error(`there is no part ${index}`);
    return slot;
  }

  /** Where a part's JSON ends. Deltas go to the last part as a rule, so it counts from the back. */
  #end(index: number): number {
    let end = this.#length - "]".length;
    for (let later = this.#slots.length - 1; later > index; later--)
      end -= this.#slot(later).length + ",".length;
    return end;
  }
}

interface Slot {
  /** UTF-16 units of the part's JSON. */
  length: number;
  /** The JSON behind the place where text streams in. */
  tail: string;
  /** A high surrogate whose mate has not come. */
  held: string;
  providerMetadata?: ProviderMetadata | undefined;
  tool?: ToolPart;
}

function textTail(providerMetadata: ProviderMetadata | undefined): string {
  return providerMetadata === undefined ? '"}' : `","providerMetadata":${JSON.stringify(providerMetadata)}}`;
}

/** A copy of what is stored: the caller may go on changing the output that it handed in. */
function parseTool(json: string): ToolPart {
  return JSON.parse(json) as ToolPart;
}

/** What stands behind the input's text, its closing quote included: keys of a tool part come in a fixed order. */
function inputTail(tool: ToolPart): string {
  const { kind: _kind, tool_id: _id, name: _name, input: _input, ...behind } = tool;
  const rest = JSON.stringify(behind);
  return rest === "{}" ? '"}' : `",${rest.slice(1)}`;
}

/** What JSON.stringify may write differently: quotes, backslashes, control characters and (lone) surrogates. */
const MAY_NEED_ESCAPES = /["\\\u0000-\u001f\ud800-\udfff]/;

/** JSON string escapes of the text, without the quotes. */
function escape(text: string): string {
  // Most deltas need none, and then the search costs a third of making two new strings.
  return MAY_NEED_ESCAPES.test(text) ? JSON.stringify(text).slice(1, -1) : text;
}

const isHighSurrogate = (unit: number): boolean => unit >= 0xd800 && unit <= 0xdbff;

function holdBack(text: string): [whole: string, held: string] {
  return isHighSurrogate(text.charCodeAt(text.length - 1)) ? [text.slice(0, -1), text.slice(-1)] : [text, ""];
}

/** Providers add facts in several chunks: one level of merging per provider keeps them all. */
export function mergeProviderMetadata(
  first: ProviderMetadata | undefined,
  second: ProviderMetadata | undefined,
): ProviderMetadata | undefined {
  if (first === undefined || second === undefined) return first ?? second;
  const merged: ProviderMetadata = { ...first };
  for (const [provider, facts] of Object.entries(second))
    merged[provider] = { ...merged[provider], ...facts };
  return merged;
}
