import { simulateReadableStream } from "ai";
import { MockLanguageModelV3 } from "ai/test";

/**
 * Stands in for a provider, so that the example runs without a key and does the same every time. It sees what a
 * real model would see, the prompt, and decides by that alone. Put your provider's model in its place.
 * @param {number} paceMs between two words
 */
export function scriptedModel(paceMs) {
  return new MockLanguageModelV3({
    modelId: "scripted",
    doStream: async ({ prompt }) => ({
      stream: simulateReadableStream({ chunks: chunksOf(decide(prompt), prompt), chunkDelayInMs: paceMs }),
    }),
  });
}

/** @returns {{text: string, call?: [tool: string, input: object]}} */
function decide(prompt) {
  const question = prompt.findLast(
    ({ role, content }) => role === "user" && !content[0].text.startsWith("["),
  );
  const asked = question.content[0].text;
  if (asked.startsWith("Summarize:"))
    return { text: `${asked.split("\n").length - 1} messages about a release.` };
  if (!/publish/i.test(asked)) {
    return {
      text: "A release is a promise: what is in it is written down, what is written down is in it, and whoever comes later can read in the notes what they got and when.",
    };
  }
  const newest = prompt.slice(prompt.indexOf(question)).flatMap(resultsIn).at(-1);
  if (newest === undefined) {
    return { text: "I read the release notes first.", call: ["read_file", { path: "release-notes.txt" }] };
  }
  return newest.toolName === "run_command" ? afterPublishing(newest.output) : afterReading(newest.output);
}

const PUBLISH = ["run_command", { command: "sh publish.sh 1.2" }];

function afterReading({ type, value }) {
  if (type !== "error-text" && value.includes("1.2:"))
    return { text: "The notes are there. I publish.", call: PUBLISH };
  if (type !== "error-text" && value.includes("1.2")) {
    return { text: "1.2 is on the list: it was published before the crash, and I do not do it twice. Done." };
  }
  return { text: "It is not on the list. I publish.", call: PUBLISH };
}

function afterPublishing({ type, value }) {
  if (type === "execution-denied") return { text: "Then I leave it." };
  if (type !== "error-text") return { text: `Version 1.2 is out (exit code ${value.exitCode}). Done.` };
  // What turnlog tells the model of calls that a crash left without a result.
  if (value.includes("not started")) return { text: "It was not started. I publish.", call: PUBLISH };
  return {
    text: "I was interrupted and cannot know whether it was published: I look before I do it again.",
    call: ["read_file", { path: "published.txt" }],
  };
}

function resultsIn({ role, content }) {
  return role === "tool" ? content.filter(({ type }) => type === "tool-result") : [];
}

function chunksOf({ text, call }, prompt) {
  const callsBefore = prompt.flatMap(({ content }) => content).filter(({ type }) => type === "tool-call");
  const toolCallId = `call-${new Set(callsBefore.map((part) => part.toolCallId)).size + 1}`;
  const reason = call === undefined ? "stop" : "tool-calls";
  return [
    { type: "text-start", id: "0" },
    ...text.match(/\S+\s*/g).map((delta) => ({ type: "text-delta", id: "0", delta })),
    { type: "text-end", id: "0" },
    ...(call === undefined
      ? []
      : [{ type: "tool-call", toolCallId, toolName: call[0], input: JSON.stringify(call[1]) }]),
    {
      type: "finish",
      finishReason: { unified: reason, raw: reason },
      usage: {
        inputTokens: { total: JSON.stringify(prompt).length >> 2 },
        outputTokens: { total: text.length >> 2 },
      },
    },
  ];
}
