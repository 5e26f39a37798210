import { simulateReadableStream } from "ai";
import { MockLanguageModelV3 } from "ai/test";

/** A model that says what it is told to, a script a call. */

type StreamResult = Awaited<ReturnType<MockLanguageModelV3["doStream"]>>;
type Chunk = StreamResult["stream"] extends ReadableStream<infer T> ? T : never;

const usage = {
  inputTokens: { total: 10, noCache: 6, cacheRead: 4, cacheWrite: undefined },
  outputTokens: { total: 5, text: 3, reasoning: 2 },
};

export const finish = (unified: "stop" | "tool-calls" | "error" | "length" = "stop"): Chunk => ({
  type: "finish",
  finishReason: { unified, raw: unified },
  usage,
});

export const text = (...deltas: string[]): Chunk[] => [
  { type: "text-start", id: "0" },
  ...deltas.map((delta): Chunk => ({ type: "text-delta", id: "0", delta })),
  { type: "text-end", id: "0" },
];

/** A call whose input comes in pieces. */
export const call = (toolCallId: string, toolName: string, ...pieces: string[]): Chunk[] => [
  { type: "tool-input-start", id: toolCallId, toolName },
  ...pieces.map((delta): Chunk => ({ type: "tool-input-delta", id: toolCallId, delta })),
  { type: "tool-input-end", id: toolCallId },
  { type: "tool-call", toolCallId, toolName, input: pieces.join("") },
];

/** Answers each call of the model with the next script. */
export function scriptedModel(...scripts: (Chunk[] | ReadableStream<Chunk>)[]): MockLanguageModelV3 {
  let next = 0;
  return new MockLanguageModelV3({
    doStream: async () => {
      const script = scripts[next++] ?? [];
      return { stream: Array.isArray(script) ? simulateReadableStream({ chunks: script }) : script };
    },
  });
}
