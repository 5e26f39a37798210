import { describe, expect, it } from "@jest/globals";
import fc from "fast-check";
import { parseLine } from "../../src/recording/json-line.ts";
import { type StreamLine, streamLines } from "../../src/recording/stream-lines.ts";

type Piece = string | Uint8Array;

async function* from(pieces: readonly Piece[]): AsyncGenerator<Piece> {
  yield* pieces;
}

async function collect(lines: AsyncIterable<StreamLine>): Promise<StreamLine[]> {
  const collected: StreamLine[] = [];
  for await (const line of lines) collected.push(line);
  return collected;
}

async function linesOf(pieces: readonly Piece[], maxLineBytes?: number): Promise<StreamLine[]> {
  return collect(streamLines(from(pieces), maxLineBytes));
}

const textsOf = async (...pieces: readonly Piece[]): Promise<(string | undefined)[]> =>
  (await linesOf(pieces)).map(({ text }) => text);

describe("streamLines", () => {
  it("numbers the lines of the input from 1, those without data included", async () => {
    const lines = await linesOf(['\n: comment\n{"a":1}\n\nevent: x\ndata: {"b":2}']);
    expect(lines).toEqual([
      { number: 3, text: '{"a":1}', isTerminated: true },
      { number: 6, text: '{"b":2}', isTerminated: false },
    ]);
  });

  it("takes the data of server-sent events and leaves out everything else of them", async () => {
    const sse =
      ': hi\r\nevent: ping\r\nid: 7\r\nretry: 10\r\ndata: {"a":1}\r\n\r\ndata:{"b":2}\r\n\r\ndata:\r\ndata: [DONE]\r\n';
    expect(await textsOf(sse)).toEqual(['{"a":1}', '{"b":2}']);
  });

  it("ignores a bare [DONE], but not a JSON array", async () => {
    expect(await textsOf('[DONE]\n["DONE"]\n')).toEqual(['["DONE"]']);
  });

  it("drops the byte order mark of the input, and keeps that character everywhere else", async () => {
    expect(await textsOf(Buffer.from('\uFEFF"a"\n"\uFEFFb"\n'))).toEqual(['"a"', '"\uFEFFb"']);
    expect(await textsOf('\uFEFFdata: {"a":1}\n')).toEqual(['{"a":1}']);
  });

  it("keeps lone surrogates of string inputs, and joins a pair that two strings share", async () => {
    expect(await textsOf('"\ud83d', '\ude00"\n"\ud83d"')).toEqual(['"😀"', '"\ud83d"']);
  });

  it("does not depend on where the input is cut", async () => {
    const input = '{"text":"naïve 🌊"}\r\ndata: {"text":"二"}\n\n"end"';
    const bytes = Buffer.from(input);
    await fc.assert(
      fc.asyncProperty(fc.array(fc.nat(bytes.length)), async (cuts) => {
        const ends = [...cuts.toSorted((a, b) => a - b), bytes.length];
        const pieces = ends.map((end, index) => bytes.subarray(ends[index - 1] ?? 0, end));
        expect(await textsOf(...pieces)).toEqual(['{"text":"naïve 🌊"}', '{"text":"二"}', '"end"']);
      }),
    );
  });

  it("copies what it keeps of a chunk, whose memory may be used again", async () => {
    async function* reusing(): AsyncGenerator<Uint8Array> {
      const memory = Buffer.from('"abc');
      yield memory;
      memory.write('def"');
      yield memory;
    }
    expect(await collect(streamLines(reusing()))).toMatchObject([{ text: '"abcdef"' }]);
  });

  it("reports a line that is no UTF-8 and ends there", async () => {
    const lines = await linesOf([Buffer.from([0x22, 0xff, 0x22, 0x0a, 0x31, 0x0a])]);
    expect(lines).toEqual([{ number: 1, text: undefined, problem: "is not UTF-8", isTerminated: true }]);
  });

  it("reports a line above the limit as soon as it is, without waiting for its end", async () => {
    let taken = 0;
    async function* endless(): AsyncGenerator<string> {
      for (;;) {
        taken++;
        yield "aaaa";
      }
    }
    const lines = await collect(streamLines(endless(), 10));
    expect(lines).toMatchObject([{ number: 1, text: undefined, problem: "is longer than 10 bytes" }]);
    expect(taken).toBe(3);
    expect(await textsOf()).toEqual([]);
    expect(await linesOf(["1234567890\n"], 10)).toMatchObject([{ text: "1234567890" }]);
  });
});

describe("parseLine", () => {
  const parse = (text: string, isTerminated = true) => parseLine({ number: 17, text, isTerminated });

  it("gives the value", () => {
    expect(parse('{"a":[1]}')).toEqual({ value: { a: [1] } });
  });

  it("says of a malformed line which it is, and why", () => {
    expect(parse("oops")).toEqual({
      code: "malformed-line",
      message: expect.stringMatching(/^line 17 is not JSON: ./),
    });
  });

  it.each(['{"a', '{"a":{"b":1}', '{"a":"}', "[1,", '{"a\\"'])(
    "takes the last line %s for one that was cut",
    (text) => {
      expect(parse(text, false)).toMatchObject({ code: "stream-ended-early" });
      expect(parse(text, true)).toMatchObject({ code: "malformed-line" });
    },
  );

  it.each(["{oops}", "oops", "} {", '{"a":1} {'])(
    "takes the last line %s for malformed: more text would not mend it",
    (text) => {
      expect(parse(text, false)).toMatchObject({ code: "malformed-line" });
    },
  );

  it("refuses nesting that could not be written again", () => {
    const nested = (depth: number): string => `${"[".repeat(depth)}1${"]".repeat(depth)}`;
    expect(parse(nested(1000))).toHaveProperty("value");
    expect(parse(nested(100_000))).toEqual({
      code: "malformed-line",
      message: "line 17 is nested deeper than 1000 levels",
    });
    expect(parse(JSON.stringify("[".repeat(100_000)))).toHaveProperty("value");
  });
});
