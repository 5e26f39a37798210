import { readFileSync } from "node:fs";
import { demoFile } from "../installed-files.ts";

/**
 * The recordings that ship, and what a reader of theirs would expect to be kept: put together here, chunk by chunk
 * and without the library, so that the demo does not check the library with itself.
 */

export interface SentPart {
  kind: "text" | "reasoning" | "tool";
  /** Text, or a tool call's arguments. */
  text: string;
  name?: string;
  state?: "input-streaming" | "input-available" | "output-available";
}

export interface DemoLine {
  /** With its line end. */
  text: string;
  /** Characters of text, reasoning or arguments that it adds; 0 where it is no delta. */
  deltaLength: number;
  /** The message after this line; empty texts are left out. */
  parts: readonly SentPart[];
}

interface Chunk {
  type: string;
  index?: number;
  content_block?: { type: string; name?: string; id?: string; tool_use_id?: string };
  delta?: { text?: string; thinking?: string; partial_json?: string };
}

/** @param name of a file in `demo/` of this package, in the messages protocol of Anthropic */
export function readDemoRecording(name: string): DemoLine[] {
  const file = readFileSync(demoFile(name), "utf8");
  const parts = new Map<number, SentPart>();
  const toolsById = new Map<string, SentPart>();
  return file
    .trimEnd()
    .split("\n")
    .map((text) => {
      const chunk = JSON.parse(text) as Chunk;
      const deltaLength = take(chunk, parts, toolsById);
      const shown = [...parts.values()].filter((part) => part.kind === "tool" || part.text !== "");
      return { text: `${text}\n`, deltaLength, parts: shown.map((part) => ({ ...part })) };
    });
}

function take(chunk: Chunk, parts: Map<number, SentPart>, toolsById: Map<string, SentPart>): number {
  const { type, index = -1, content_block: block, delta } = chunk;
  const part = parts.get(index);
  if (type === "content_block_start" && block !== undefined) {
    startBlock(block, index, parts, toolsById);
  } else if (type === "content_block_delta" && part !== undefined) {
    const text = delta?.text ?? delta?.thinking ?? delta?.partial_json ?? "";
    part.text += text;
    return text.length;
  } else if (type === "content_block_stop" && part?.state === "input-streaming") {
    part.state = "input-available";
  }
  return 0;
}

function startBlock(
  block: NonNullable<Chunk["content_block"]>,
  index: number,
  parts: Map<number, SentPart>,
  toolsById: Map<string, SentPart>,
): void {
  const { type, name = "", id = "", tool_use_id: toolId = "" } = block;
  if (type === "text") parts.set(index, { kind: "text", text: "" });
  else if (type === "thinking") parts.set(index, { kind: "reasoning", text: "" });
  else if (type.endsWith("tool_use")) {
    const tool: SentPart = { kind: "tool", text: "", name, state: "input-streaming" };
    parts.set(index, tool);
    toolsById.set(id, tool);
  } else if (type.endsWith("tool_result")) {
    const tool = toolsById.get(toolId);
    if (tool !== undefined) tool.state = "output-available";
  }
}

/** The line in the middle of the arguments of the last tool call: where a crash hurts most. */
export function lineToKillAt(lines: readonly DemoLine[]): number {
  const isOpen = ({ parts }: DemoLine): boolean => parts.at(-1)?.state === "input-streaming";
  const last = lines.findLastIndex(isOpen);
  let first = last;
  while (first > 0 && isOpen(lines[first - 1] as DemoLine)) first--;
  return Math.floor((first + last) / 2);
}
