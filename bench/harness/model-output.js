/**
 * The text of a streamed answer, cut into deltas: deterministic, different for each seed (so that no store gains
 * by finding the same text twice), made of words, punctuation and line breaks, with the odd character that JSON
 * escapes.
 */

const SYLLABLES = "al an be co de en er fi ga in ko la me no or pa qui re sa ti un ve wo zu".split(" ");

/** A small fast generator of repeatable random numbers (xorshift32), 0 ≤ x < 1. */
function randomNumbers(seed) {
  let state = (seed * 2_654_435_761 + 1) >>> 0 || 1;
  return () => {
    state ^= state << 13;
    state ^= state >>> 17;
    state ^= state << 5;
    state >>>= 0;
    return state / 4_294_967_296;
  };
}

/** @returns {string[]} `count` deltas of `characters` ASCII characters altogether. */
export function modelDeltas(seed, count, characters) {
  const random = randomNumbers(seed);
  const pieces = [];
  let length = 0;
  while (length < characters) {
    let word = "";
    for (let left = 1 + Math.floor(random() * 4); left > 0; left--)
      word += SYLLABLES[Math.floor(random() * SYLLABLES.length)];
    const end = random();
    const piece = word + (end < 0.02 ? ".\n\n" : end < 0.1 ? ", " : end < 0.12 ? ' "' : " ");
    pieces.push(piece);
    length += piece.length;
  }
  const text = pieces.join("").slice(0, characters);
  return Array.from({ length: count }, (_, index) =>
    text.slice(Math.floor((index * characters) / count), Math.floor(((index + 1) * characters) / count)),
  );
}

/**
 * The full content after each step, for stores that are handed the whole: made in the cheapest way there is (one
 * copy, no serialising of what is there), so that what is measured is the store and not its caller.
 */
export class GrowingContent {
  /** The parts that are complete, behind an opening bracket. */
  #head = "[";
  /** JSON of the part that grows, without what closes it. */
  #growing = "";
  #tool;

  text(delta) {
    if (this.#growing === "") this.#growing = `${this.#separator()}{"kind":"text","text":"`;
    this.#growing += JSON.stringify(delta).slice(1, -1);
    return `${this.#head}${this.#growing}"}]`;
  }

  toolCall({ toolId, name, input }) {
    if (this.#growing !== "") this.#head += `${this.#growing}"}`;
    this.#growing = "";
    this.#tool = { kind: "tool", tool_id: toolId, name, input };
    return `${this.#head}${this.#separator()}${JSON.stringify({ ...this.#tool, state: "input-available" })}]`;
  }

  toolResult(output) {
    const part = JSON.stringify({ ...this.#tool, output, state: "output-available" });
    this.#head += this.#separator() + part;
    return `${this.#head}]`;
  }

  #separator() {
    return this.#head === "[" ? "" : ",";
  }
}
