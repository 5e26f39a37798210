import { describe, expect, it } from "@jest/globals";
import { detectProtocol } from "../../src/recording/detect-protocol.ts";
import { readSample } from "./recording-support.ts";

describe("the protocol is told from one chunk", () => {
  it.each([
    [{ choices: [] }, "openai-chat"],
    [{ choices: [{ delta: {} }] }, "openai-chat"],
    [{ object: "chat.completion.chunk" }, "openai-chat"],
    [{ error: { message: "No such model" } }, "openai-chat"],
    [{ type: "response.created" }, "openai-responses"],
    [{ type: "keepalive" }, "openai-responses"],
    [{ type: "error", sequence_number: 0, error: { message: "No" } }, "openai-responses"],
    [{ type: "error", code: "quota", message: "No" }, "openai-responses"],
    [{ type: "message_start" }, "anthropic"],
    [{ type: "content_block_delta" }, "anthropic"],
    [{ type: "ping" }, "anthropic"],
    [{ type: "error", error: { type: "overloaded_error", message: "No" } }, "anthropic"],
  ])("%j is %s", (chunk, protocol) => {
    expect(detectProtocol(chunk)).toBe(protocol);
  });

  it.each([{}, { type: "greeting" }, { error: null }, [], null, "choices", 7])(
    "%j tells nothing",
    (chunk) => {
      expect(detectProtocol(chunk)).toBeUndefined();
    },
  );

  it.each(["openai-chat", "openai-responses", "anthropic"])("every chunk of the %s sample agrees", (name) => {
    const lines = readSample(`${name}.jsonl`)
      .split("\n")
      .filter((line) => line.startsWith("{"));
    const told = new Set(lines.map((line) => detectProtocol(JSON.parse(line))));
    expect([...told]).toEqual([name]);
  });
});
