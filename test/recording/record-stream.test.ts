import { describe, expect, it } from "@jest/globals";
import { InvalidInputError, StateError, StoreError } from "../../src/errors.ts";
import { type RecordProgress, recordLines } from "../../src/recording/record-stream.ts";
import { chatChunk, fakeTurn, inPieces, joined, jsonLines, readSample, record } from "./recording-support.ts";

const good = jsonLines(chatChunk("Hello"), chatChunk(" you"), chatChunk("", "stop"));

describe("recordLines", () => {
  it("records, ends the turn and says what it saw", async () => {
    const { summary, message, parts } = await record(good);
    expect(summary).toEqual({
      protocol: "openai-chat",
      line: 3,
      chunks: 3,
      unknownKinds: {},
      deltas: 2,
      toolCalls: 0,
      refused: 0,
      outcome: "finished",
      finishReason: "stop",
      usage: undefined,
    });
    expect(message.status).toBe("finished");
    expect(joined(parts, "text")).toBe("Hello you");
  });

  it("counts as deltas what brings text", async () => {
    const verbs = ["", "Hi", ""].map((text) => ({ verb: "text", text }));
    const { summary } = await record(jsonLines(...verbs, { verb: "finish" }), { protocol: "turnlog" });
    expect(summary).toMatchObject({ deltas: 1, outcome: "finished" });
  });

  it("records each chunk as it arrives, and tells of it", async () => {
    const seen: RecordProgress[] = [];
    const recorded: string[] = [];
    const { turn, calls } = fakeTurn();
    async function* live(): AsyncGenerator<string> {
      for (const line of good.split(/(?<=\n)/)) {
        recorded.push(calls.join(" "));
        yield line;
      }
    }
    await recordLines(turn, live(), { onProgress: (progress) => seen.push(progress) });
    expect(recorded).toEqual(["", "textDelta", "textDelta textDelta"]);
    expect(calls).toEqual(["textDelta", "textDelta", "stepFinish", "finish"]);
    expect(seen.map(({ line, chunks, deltas }) => [line, chunks, deltas])).toEqual([
      [1, 1, 1],
      [2, 2, 2],
      [3, 3, 2],
    ]);
    expect(seen[0]?.verbs).toMatchObject([{ verb: "text", text: "Hello" }]);
  });

  it("goes by the protocol that it is told", async () => {
    const { summary } = await record(good, { protocol: "anthropic" });
    expect(summary).toMatchObject({
      protocol: "anthropic",
      outcome: "failed",
      error: { code: "stream-ended-early" },
      unknownKinds: { "chunk without a type": 3 },
    });
  });

  it("counts chunks of no protocol before the first that tells it", async () => {
    const { summary } = await record(jsonLines({ hello: 1 }, { type: "news" }, "text", null, []) + good);
    expect(summary).toMatchObject({
      outcome: "finished",
      chunks: 8,
      unknownKinds: { "chunk without a type": 1, news: 1, string: 1, null: 1, array: 1 },
    });
  });
});

describe("unknown kinds", () => {
  it("of an input that makes them up are counted together, from the thousand and first on", async () => {
    const chunks = Array.from({ length: 1500 }, (_, index) => ({ type: `kind ${index}` }));
    const { summary } = await record(jsonLines({ type: "x".repeat(101) }, ...chunks));
    expect(Object.keys(summary.unknownKinds)).toHaveLength(1000);
    expect(summary.unknownKinds["(others)"]).toBe(502);
  });
});

describe("bad input ends the turn as failed and keeps everything before", () => {
  const kept = jsonLines(chatChunk("Hello"), chatChunk(" you"));

  it.each([
    ["a line that is not JSON", `${kept}oops\n${good}`, "malformed-line", 3],
    ["a cut line in the middle", `${kept}{"id":\n${good}`, "malformed-line", 3],
    ["no end of the stream", kept, "stream-ended-early", 2],
    ["a last line that is cut", `${kept}{"id":"c1","cho`, "stream-ended-early", 3],
    ["a last line that is not JSON", `${kept}\n\noops`, "malformed-line", 5],
  ])("%s", async (_what, input, code, line) => {
    const { summary, message, parts } = await record(input);
    expect(summary).toMatchObject({ outcome: "failed", error: { code, line } });
    expect(message.status).toBe("failed");
    expect(joined(parts, "text")).toBe("Hello you");
  });

  it("says of a malformed line its number and what is wrong", async () => {
    const { summary } = await record(`${kept}oops\n`);
    expect(summary.error?.message).toMatch(/^line 3 is not JSON: \S/);
  });

  it.each([
    ["nothing", "", "stream-ended-early"],
    ["blank lines", "\n\n\r\n", "stream-ended-early"],
    ["the end of a stream only", "data: [DONE]\n", "stream-ended-early"],
    ["chunks of no protocol", '{"hello":1}\n', "unknown-protocol"],
  ])("%s", async (_what, input, code) => {
    const { summary, message, parts } = await record(input);
    expect(summary).toMatchObject({ outcome: "failed", protocol: undefined, error: { code } });
    expect(message.status).toBe("failed");
    expect(parts).toEqual([]);
  });

  it("an input that breaks", async () => {
    async function* broken(): AsyncGenerator<string> {
      yield kept;
      throw new Error("connection reset");
    }
    const { summary, parts } = await record(broken());
    expect(summary).toMatchObject({
      outcome: "failed",
      error: { code: "input-failed", message: "The input could not be read: connection reset" },
    });
    expect(joined(parts, "text")).toBe("Hello you");
  });

  it("a chunk that the log cannot hold", async () => {
    const refused = new InvalidInputError("event-too-large", "too many bytes");
    const { turn, calls } = fakeTurn({
      textDelta: (text) => (text === " you" ? Promise.reject(refused) : Promise.resolve()),
    });
    const summary = await recordLines(turn, inPieces(good));
    expect(summary.error).toEqual({ code: "event-too-large", message: "line 2: too many bytes", line: 2 });
    expect(calls).toEqual(["textDelta", "textDelta", "fail"]);
  });

  it("a chunk that the log cannot hold, refused in a call that is not awaited", async () => {
    const refused = new InvalidInputError("event-too-large", "too many bytes");
    const { turn, calls } = fakeTurn({ stepFinish: () => Promise.reject(refused) });
    const summary = await recordLines(turn, inPieces(good));
    expect(summary).toMatchObject({ outcome: "failed", error: { code: "event-too-large" } });
    expect(calls.slice(-2)).toEqual(["stepFinish", "fail"]);
  });

  it("stops reading and closes the input", async () => {
    let isClosed = false;
    async function* endless(): AsyncGenerator<string> {
      try {
        yield kept;
        for (;;) yield "oops\n";
      } finally {
        isClosed = true;
      }
    }
    expect((await record(endless())).summary.outcome).toBe("failed");
    expect(isClosed).toBe(true);
  });
});

describe("a failing log", () => {
  it.each([
    ["the disk is full", new StoreError("disk-full", "full")],
    ["the turn is lost", new StateError("turn-lost", "lost")],
  ])("is thrown, and nothing is ended, where %s", async (_what, error) => {
    const { turn, calls } = fakeTurn({ textDelta: () => Promise.reject(error) });
    await expect(recordLines(turn, inPieces(good))).rejects.toBe(error);
    expect(calls).toEqual(["textDelta"]);
  });

  it("is thrown where a structural call fails that nobody awaited", async () => {
    const error = new StoreError("disk-full", "full");
    const { turn, calls } = fakeTurn({ toolInputStart: () => Promise.reject(error) });
    await expect(recordLines(turn, inPieces(readSample("openai-chat.jsonl")))).rejects.toBe(error);
    expect(calls).not.toContain("finish");
    expect(calls).not.toContain("fail");
  });

  it("is thrown where the end cannot be written", async () => {
    const error = new StoreError("disk-full", "full");
    const { turn } = fakeTurn({ finish: () => Promise.reject(error) });
    await expect(recordLines(turn, inPieces(good))).rejects.toBe(error);
  });

  it("throws what the observer throws, and closes the input", async () => {
    const error = new Error("observer");
    const { turn } = fakeTurn();
    const onProgress = (): never => {
      throw error;
    };
    await expect(recordLines(turn, inPieces(good), { onProgress })).rejects.toBe(error);
  });
});
