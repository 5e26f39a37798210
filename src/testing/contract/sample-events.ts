import { randomBytes } from "node:crypto";
import type { JsonObject, JsonValue, NewEvent } from "../../log/event-log.ts";

/** Makes events with UUIDv8 ids of a random prefix and a counter, as writers do. */
export class EventMaker {
  readonly #prefix: string;
  #made = 0;

  constructor() {
    const hex = randomBytes(9).toString("hex");
    this.#prefix = `${hex.slice(0, 8)}-${hex.slice(8, 12)}-8${hex.slice(12, 15)}-8${hex.slice(15, 18)}-`;
  }

  make(data: JsonValue, metadata: JsonObject): NewEvent {
    const id = this.#prefix + (this.#made++).toString(16).padStart(12, "0");
    return { id, type: "Sampled", data, metadata };
  }
}

const MEGABYTE = 1_000_000;

/** Values that engines and encodings are known to bend, by kind. Each must come back with the same JSON text. */
export const difficultValues: Readonly<
  Record<string, readonly (readonly [name: string, value: JsonValue])[]>
> = {
  text: [
    ["emoji and other scripts", "👩‍👩‍👧‍👦 שלום नमस्ते 漢字 e\u0301 é \u{10ffff}"],
    ["lone surrogates", ["\ud800", "\udc00", "a\ud83d", "\udc00\ud800", { "\ud83d": "\ude00" }]],
    ["NUL and control characters", ["\0", "a\0b", "\u0001\u001f\u007f\u0085", { "\0": "\0" }]],
    ["line ends and separators", "\r\n\n\r\u2028\u2029\ufeff\ufffd\ufffe\uffff"],
    ["quotes and backslashes", "'\"\\`\\\\\" '; drop table events; -- %_"],
    ["text that looks like JSON", ['{"a":1}', "[]", "null", '"\\ud800"']],
  ],
  numbers: [
    [
      "numbers at the edges",
      [0, -1, 2 ** 53 - 1, -(2 ** 53 - 1), 2 ** 53 + 2, 2 ** 31, 2 ** 32, 2 ** 63, 2 ** 64],
    ],
    ["fractions and exponents", [0.1 + 0.2, 1e21, 1e-7, 5e-324, Number.MAX_VALUE, -1.5, 123456789.125, 4.35]],
    ["numbers beside text of the same digits", [1, "1", 1.5, "1.5", true, "true"]],
  ],
  structure: [
    ["null", null],
    ["booleans", [true, false]],
    ["empty object, array, string and key", [{}, [], "", { "": "" }, [[]], [{}], { a: [], b: {} }]],
    ["keys that are names in JavaScript", parsed('{"__proto__":{"x":1},"constructor":2,"toString":null}')],
    [
      "__proto__ deeper down",
      parsed('[{"a":{"__proto__":[1]}},{"__proto__":"text"},{"hasOwnProperty":false}]'),
    ],
    ["the order of keys", parsed('{"z":1,"a":2,"m":{"y":1,"b":2},"10":3,"9":4}')],
    ["the same keys in another order", parsed('{"a":1,"z":2,"9":3,"10":4,"m":{"b":1,"y":2}}')],
    ["arrays of many lengths", [[1], [1, 2], [1, [2, [3]]], [null], [[], [[]]]]],
    ["a splice, as deltas have it", { messageId: 257, content: [[1_234, 0, " Holiday"]], length: 1_245 }],
  ],
  sizes: [
    ["a megabyte of text", "x".repeat(MEGABYTE)],
    ["nearly a megabyte of emoji in UTF-8", "🦉".repeat(MEGABYTE / 5)],
    ["nesting of a thousand levels", nested(1_000)],
    [
      "an object of a thousand keys",
      Object.fromEntries(Array.from({ length: 1_000 }, (_, i) => [`key ${i}`, i])),
    ],
  ],
};

function parsed(json: string): JsonValue {
  return JSON.parse(json) as JsonValue;
}

function nested(levels: number): JsonValue {
  let value: JsonValue = "deep";
  for (let level = 0; level < levels; level += 1) value = level % 2 === 0 ? [value] : { in: value };
  return value;
}

/** Names that differ only where careless engines see no difference. */
export const difficultStreamNames: readonly string[] = [
  "stream",
  "Stream",
  "stream ",
  " stream",
  "stream-1",
  "stream_1",
  "stream%1",
  "streamX1",
  "caf\u00e9",
  "cafe\u0301",
  "🦉",
  "a'b\"c\\d/e?f#g&h",
  "$all",
  "__proto__",
  "n".repeat(1_024),
  "n".repeat(1_023),
];
