import fc from "fast-check";
import type { JsonObject, JsonValue, NewEvent } from "../../../src/log/event-log.ts";

/** Any UTF-16, lone surrogates and NUL included. */
const text = fc
  .array(fc.integer({ min: 0, max: 0xffff }), { maxLength: 12 })
  .map((units) => String.fromCharCode(...units));
const word = fc.constantFrom("", " Holiday", "true", "0", "\n", '"', "\\", "[1]", "😀", "\ud83d", "\u0000");
const key = fc.oneof(text, fc.constantFrom("__proto__", "constructor", "toJSON", "10", "9", "a", "b", ""));
const number = fc.oneof(
  fc.double({ noNaN: true, noDefaultInfinity: true }),
  fc.integer(),
  fc.maxSafeInteger(),
  fc.constantFrom(0, -0, 1e21, 2 ** 52, 2 ** 53, -(2 ** 53), Number.MIN_VALUE, Number.MAX_VALUE),
);

const { json } = fc.letrec<{ json: JsonValue }>((tie) => ({
  json: fc.oneof(
    { maxDepth: 5 },
    fc.oneof(text, word, number, fc.boolean(), fc.constant(null)),
    fc.array(tie("json"), { maxLength: 6 }),
    objectOf(tie("json")),
  ),
}));

/** Built as JSON.parse builds: `__proto__` is a key like any other. */
function objectOf(value: fc.Arbitrary<JsonValue>): fc.Arbitrary<JsonObject> {
  return fc.array(fc.tuple(key, value), { maxLength: 5 }).map((entries) => {
    const object: JsonObject = {};
    for (const [name, item] of entries) {
      Object.defineProperty(object, name, {
        value: item,
        enumerable: true,
        writable: true,
        configurable: true,
      });
    }
    return object;
  });
}

const hex = (digits: number): fc.Arbitrary<string> =>
  fc
    .array(fc.integer({ min: 0, max: 15 }), { minLength: digits, maxLength: digits })
    .map((parts) => parts.map((part) => part.toString(16)).join(""));
const id = fc.oneof(
  fc.tuple(hex(8), hex(4), hex(4), hex(4), hex(12)).map((parts) => parts.join("-")),
  hex(12).map((counter) => `0f3a9c1e-77aa-8bcd-9e01-${counter}`),
);

/** A delta, as the turn writer makes them: most of what is ever stored. */
const delta: fc.Arbitrary<Omit<NewEvent, "id">> = fc.record({
  type: fc.constant("BranchesUpdated"),
  data: fc.record({
    messageId: fc.integer({ min: 256, max: 259 }),
    content: fc.tuple(fc.nat(5_000), fc.constant(0), text).map((splice) => [splice]),
    length: fc.nat(5_000),
  }),
  metadata: fc.record({
    v: fc.constant(1),
    n: fc.nat(100),
    time: fc.integer({ min: 1_764_000_000_000, max: 1_764_000_100_000 }),
  }),
});
const other: fc.Arbitrary<Omit<NewEvent, "id">> = fc.record({
  type: fc.oneof(text, fc.constantFrom("MessageSaved", "TurnEnded")),
  data: json,
  metadata: objectOf(json),
});

export const anyEvents: fc.Arbitrary<NewEvent[]> = fc.array(
  fc.tuple(id, fc.oneof(delta, delta, other)).map(([id, event]) => ({ id, ...event })),
  { minLength: 1, maxLength: 40 },
);

/** What JSON makes of a value: the reference that the codec is compared with. */
export function throughJson<Value>(value: Value): Value {
  return JSON.parse(JSON.stringify(value)) as Value;
}
