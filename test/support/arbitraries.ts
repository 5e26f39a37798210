import fc from "fast-check";

/** Strings of any UTF-16: emoji, lone surrogates, NUL, quotes, JSON-ish text. */
export const anyText = (maxLength = 40): fc.Arbitrary<string> =>
  fc
    .array(
      fc.oneof(
        { weight: 6, arbitrary: fc.string({ maxLength: 8 }) },
        { weight: 2, arbitrary: fc.string({ unit: "binary", maxLength: 4 }) },
        {
          weight: 2,
          arbitrary: fc.constantFrom(
            "😀",
            "\ud83d",
            "\ude00",
            "\0",
            '"',
            "\\",
            "\n",
            "[]",
            '{"kind":"text"',
            "é",
            "\u2028",
          ),
        },
      ),
      { maxLength: Math.max(1, Math.floor(maxLength / 6)) },
    )
    .map((pieces) => pieces.join(""));

/** Parameters for fc.assert: the seed is printed with every failure; TURNLOG_TEST_SEED repeats a run. */
export function propertyRuns(numRuns: number): fc.Parameters<unknown> {
  const seed = process.env["TURNLOG_TEST_SEED"];
  const factor = process.env["TURNLOG_TEST_LONG"] === undefined ? 1 : 20;
  return { numRuns: numRuns * factor, ...(seed === undefined ? {} : { seed: Number(seed) }) };
}
