import { NotFoundError, StateError } from "../errors.ts";
import type { Splice } from "../events/conversation-event.ts";
import type { StoredPart, ToolPart } from "../events/stored-part.ts";
import { PartsJson } from "./parts-json.ts";
import type { DeltaOptions } from "./turn.ts";

/** The part of a text or reasoning delta: where it begins one, `index` is undefined. */
export interface DeltaTarget {
  readonly kind: "text" | "reasoning";
  /** Name of the block, where the delta has one. */
  readonly block: string | undefined;
  readonly index: number | undefined;
}

/** The parts of a turn by the names that its calls use: the part that is growing, blocks, and tool calls. */
export class TurnParts {
  readonly #turnId: string;
  readonly #json = new PartsJson();
  readonly #tools = new Map<string, number>();
  readonly #blocks = new Map<string, number>();
  /** The text or reasoning part that a delta without a block extends. */
  #growing: { kind: "text" | "reasoning"; index: number } | undefined;

  constructor(turnId: string) {
    this.#turnId = turnId;
  }

  /** Where the last `extend` put its text. */
  get insertedAt(): number {
    return this.#json.insertedAt;
  }

  /** Of the part that a delta without a block extends. */
  get growing(): "text" | "reasoning" | undefined {
    return this.#growing?.kind;
  }

  /** More text for the part that is growing, the short way: what to insert, or undefined where it is not so simple. */
  extend(text: string): string | undefined {
    return this.#growing === undefined ? undefined : this.#json.appendWhole(this.#growing.index, text);
  }

  target(kind: "text" | "reasoning", block: string | undefined): DeltaTarget {
    if (block === undefined) {
      const index = this.#growing?.kind === kind ? this.#growing.index : undefined;
      return { kind, block, index };
    }
    const name = `${kind} ${block}`;
    return { kind, block: name, index: this.#blocks.get(name) };
  }

  /** The changes that a delta makes; none where half a character waits for its mate. */
  write(
    { kind, block, index }: DeltaTarget,
    text: string,
    providerMetadata: DeltaOptions["providerMetadata"],
  ): Splice[] {
    if (index !== undefined) {
      const appended = text === "" ? undefined : this.#json.append(index, text);
      const merged =
        providerMetadata === undefined ? undefined : this.#json.mergeMetadata(index, providerMetadata);
      return [appended, merged].filter((splice) => splice !== undefined);
    }
    const [added, splice] = this.#json.addText(kind, text, providerMetadata);
    if (block !== undefined) this.#blocks.set(block, added);
    this.#growing = block === undefined ? { kind, index: added } : undefined;
    return [splice];
  }

  /** A part that grows no more. What comes without a block's name then begins another. */
  add(part: StoredPart): Splice {
    this.#growing = undefined;
    return this.#json.addPart(part)[1];
  }

  addTool(tool: ToolPart): Splice {
    this.#growing = undefined;
    const [index, splice] = this.#json.addPart(tool);
    this.#tools.set(tool.tool_id, index);
    return splice;
  }

  hasTool(toolId: string): boolean {
    return this.#tools.has(toolId);
  }

  /** @throws {NotFoundError} `unknown-tool` */
  tool(toolId: string): Readonly<ToolPart> {
    return this.#json.tool(this.#indexOf(toolId));
  }

  /** @throws {StateError} `tool-call-exists` */
  refuseKnownTool(toolId: string): void {
    if (!this.#tools.has(toolId)) return;
    throw new StateError("tool-call-exists", `Turn ${this.#turnId} has a tool call "${toolId}" already.`);
  }

  appendInput(toolId: string, text: string): Splice | undefined {
    return this.#json.append(this.#indexOf(toolId), text);
  }

  /** Puts the call in the place of the one with its id; undefined where nothing changes. */
  replaceTool(tool: ToolPart): Splice | undefined {
    return this.#json.replaceTool(this.#indexOf(tool.tool_id), tool);
  }

  /** Shows the half characters whose mates never came: at the end of the turn. */
  release(): Splice[] {
    return this.#json.release();
  }

  #indexOf(toolId: string): number {
    const index = this.#tools.get(toolId);
    if (index !== undefined) return index;
    throw new NotFoundError("unknown-tool", `There is no tool call "${toolId}" in turn ${this.#turnId}.`);
  }
}
