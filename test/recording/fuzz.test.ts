import { describe, expect, it } from "@jest/globals";
import fc from "fast-check";
import { createStreamReader, providerProtocols } from "../../src/recording/detect-protocol.ts";
import { turnVerbSchema } from "../../src/recording/turn-verb.ts";
import { joined, jsonLines, readSample, record } from "./recording-support.ts";

// A failing property prints its seed and its smallest case.

const samples = new Map(
  providerProtocols.map((protocol) => [
    protocol,
    readSample(`${protocol}.jsonl`)
      .split("\n")
      .filter((line) => line.startsWith("{"))
      .map((line) => JSON.parse(line) as unknown),
  ]),
);

/** Any JSON, with the keys and words of the protocols in it, so that it gets past their first checks. */
const words = [
  ...new Set([...samples.values()].flat().flatMap((chunk) => JSON.stringify(chunk).match(/\w+/g) ?? [])),
];
const word = fc.constantFrom(...words);
const { json } = fc.letrec((tie) => ({
  json: fc.oneof(
    { maxDepth: 4 },
    fc.constantFrom(null, true, 0, -1, 1.5, Number.MAX_VALUE),
    fc.string({ unit: "binary" }),
    word,
    fc.array(tie("json"), { maxLength: 3 }),
    fc.dictionary(fc.oneof(word, fc.string()), tie("json"), { maxKeys: 5 }),
  ),
}));

/** A chunk of the sample with some value in it replaced by another. */
function mutated(chunk: unknown): fc.Arbitrary<unknown> {
  const paths: PropertyKey[][] = [];
  const walk = (value: unknown, path: PropertyKey[]): void => {
    paths.push(path);
    if (typeof value !== "object" || value === null) return;
    for (const [key, inner] of Object.entries(value)) walk(inner, [...path, key]);
  };
  walk(chunk, []);
  return fc.tuple(fc.constantFrom(...paths), json).map(([path, value]) => replaced(chunk, path, value));
}

function replaced(target: unknown, [key, ...rest]: PropertyKey[], value: unknown): unknown {
  if (key === undefined) return value;
  const copy = structuredClone(target) as Record<PropertyKey, unknown>;
  copy[key] = replaced(copy[key], rest, value);
  return copy;
}

describe.each(providerProtocols)("the %s reader, given chunks that are not as they should be", (protocol) => {
  const sample = samples.get(protocol) ?? [];
  const chunk = fc.oneof(
    json,
    fc.constantFrom(...sample),
    fc.constantFrom(...sample).chain((original) => mutated(original)),
  );

  it("never throws, says valid verbs only, and ends exactly once", () => {
    fc.assert(
      fc.property(fc.array(chunk, { maxLength: 30 }), (chunks) => {
        const reader = createStreamReader(protocol);
        const verbs = chunks.flatMap((value) => {
          const read = reader.read(value);
          return read === "unknown" ? [] : read;
        });
        verbs.push(...reader.end());
        for (const verb of verbs) turnVerbSchema.parse(verb);
        const ends = verbs.filter(({ verb }) => verb === "finish" || verb === "fail" || verb === "abort");
        expect(ends).toHaveLength(1);
        expect(verbs.at(-1)).toBe(ends[0]);
      }),
      { numRuns: 500 },
    );
  });

  it("says nothing that a turn refuses: what it records is what it says", async () => {
    await fc.assert(
      fc.asyncProperty(fc.array(chunk, { maxLength: 30 }), async (chunks) => {
        let text = "";
        const { summary, message, parts } = await record(jsonLines(...chunks), {
          protocol,
          onProgress: ({ verbs }) => {
            for (const verb of verbs) if (verb.verb === "text") text += verb.text;
          },
        });
        expect(summary.outcome).toBe(message.status);
        expect(summary.chunks).toBeLessThanOrEqual(chunks.length);
        // Texts of one block may come apart in time: the same characters, if in another order.
        expect([...joined(parts, "text")].toSorted()).toEqual([...text].toSorted());
      }),
      { numRuns: 100 },
    );
  });
});

describe("recordLines, given anything", () => {
  it("ends the turn and does not throw", async () => {
    const anyLine = fc.oneof(
      fc.uint8Array({ maxLength: 40 }),
      fc.string(),
      json.map((value) => JSON.stringify(value)),
    );
    await fc.assert(
      fc.asyncProperty(fc.array(anyLine, { maxLength: 10 }), async (lines) => {
        async function* input(): AsyncGenerator<Uint8Array | string> {
          for (const line of lines) {
            yield line;
            yield "\n";
          }
        }
        const { summary, message } = await record(input());
        expect(summary.outcome).toBe(message.status);
      }),
      { numRuns: 200 },
    );
  });
});
