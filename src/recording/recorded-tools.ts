import type { Turn } from "../store/turn.ts";
import { TurnToolCalls } from "./turn-tool-calls.ts";

/** What the SDK hands to a tool, as far as it is needed here. */
interface ExecutionOptions {
  toolCallId: string;
  messages?: readonly { role: string; content: unknown }[];
}

type Execute = (input: unknown, options: ExecutionOptions) => unknown;

/**
 * The same tools, for `streamText({ tools })`, with one difference: before a tool runs, its start is recorded and
 * on disk. After a crash the log then tells a tool that has not run from one that may have: without this wrapper
 * recordStream can only take every call that it sees for started. A start that cannot be recorded keeps the tool
 * from running. Tools without `execute` stay as they are.
 *
 * A tool that yields preliminary results goes on doing so where its `execute` is an async generator function;
 * of another function that returns an async iterable only the last value arrives.
 */
export function recordedTools<Tools extends object>(turn: Turn, tools: Tools): Tools {
  const calls = TurnToolCalls.of(turn);
  const entries = Object.entries(tools as Record<string, { execute?: unknown }>).map(([name, tool]) => {
    const { execute } = tool;
    // One without `execute` starts elsewhere, if at all: seeing its call does not make it started either.
    calls.startsAreRecorded.add(name);
    if (typeof execute !== "function") return [name, tool];
    const bound = execute.bind(tool) as Execute;
    const isGenerator = execute.constructor.name === "AsyncGeneratorFunction";
    const wrap = isGenerator ? generatorFrom : functionFrom;
    const started = (input: unknown, options: ExecutionOptions) =>
      recordStart(turn, calls, name, input, options);
    return [name, { ...tool, execute: wrap(bound, started) }];
  });
  return Object.fromEntries(entries) as Tools;
}

type Start = (input: unknown, options: ExecutionOptions) => Promise<void>;

function functionFrom(execute: Execute, start: Start): Execute {
  return async (input, options) => {
    await start(input, options);
    const output = await execute(input, options);
    if (!isAsyncIterable(output)) return output;
    let last: unknown;
    for await (const value of output) last = value;
    return last;
  };
}

function generatorFrom(execute: Execute, start: Start): Execute {
  return async function* (input, options) {
    await start(input, options);
    yield* execute(input, options) as AsyncIterable<unknown>;
  };
}

async function recordStart(
  turn: Turn,
  calls: TurnToolCalls,
  name: string,
  input: unknown,
  options: ExecutionOptions,
): Promise<void> {
  const { toolCallId } = options;
  // A call of the prompt was made in an earlier turn and approved since: no stream will bring it.
  if (!isInPrompt(toolCallId, options.messages ?? [])) await calls.whenPassed(toolCallId);
  const toolId = calls.idOf(toolCallId);
  if (!calls.complete.has(toolId)) {
    calls.complete.add(toolId);
    await turn.toolCall({ toolId, name, input: JSON.stringify(input) ?? "" });
  }
  await turn.toolStarted(toolId);
}

function isInPrompt(toolCallId: string, messages: readonly { content: unknown }[]): boolean {
  return messages.some(
    ({ content }) =>
      Array.isArray(content) &&
      content.some((part) => {
        const { type, toolCallId: id } = part as { type?: unknown; toolCallId?: unknown };
        return type === "tool-call" && id === toolCallId;
      }),
  );
}

function isAsyncIterable(value: unknown): value is AsyncIterable<unknown> {
  return typeof value === "object" && value !== null && Symbol.asyncIterator in value;
}
