import type { Splice } from "./conversation-event.ts";

/**
 * Splices `[at, del, ins]`: how an event says what changed in a string. Units are UTF-16 code units; splices
 * of one event apply in order, each to the result of the one before.
 */

/** Up to here a loop over characters beats slicing. */
const SHORT = 32;

/** The one splice that turns `previous` into `next`, undefined where they are equal. Costs what comparing memory costs. */
export function findSplice(previous: string, next: string): Splice | undefined {
  if (previous === next) return undefined;
  const prefix = commonPrefix(previous, next);
  const suffix = commonSuffix(previous, next, Math.min(previous.length, next.length) - prefix);
  return [prefix, previous.length - prefix - suffix, next.slice(prefix, next.length - suffix)];
}

/**
 * Length of the common prefix. Slices are compared, not characters: the engine compares memory, which is tens
 * of times faster. Text that streams in differs near the end, so the search gallops back from there.
 */
function commonPrefix(a: string, b: string): number {
  const shorter = Math.min(a.length, b.length);
  let unequal = shorter + 1; // No prefix of this length or longer is common.
  let tail = 0;
  let equal = 0;
  for (;;) {
    const length = shorter - tail;
    if (length <= 0) break;
    if (a.slice(0, length) === b.slice(0, length)) {
      equal = length;
      break;
    }
    unequal = length;
    tail = tail === 0 ? 4 : tail * 4;
  }
  while (unequal - equal > SHORT) {
    const middle = (equal + unequal) >>> 1;
    if (a.slice(equal, middle) === b.slice(equal, middle)) equal = middle;
    else unequal = middle;
  }
  while (equal < shorter && a.charCodeAt(equal) === b.charCodeAt(equal)) equal++;
  return equal;
}

/** Length of the common suffix, at most `most`: short as a rule (the closing brackets of JSON), so it gallops forwards. */
function commonSuffix(a: string, b: string, most: number): number {
  let equal = 0;
  const shortEnd = Math.min(most, SHORT);
  while (equal < shortEnd && a.charCodeAt(a.length - 1 - equal) === b.charCodeAt(b.length - 1 - equal))
    equal++;
  if (equal < shortEnd || equal === most) return equal;
  let unequal = most + 1;
  for (let length = SHORT * 4; length <= most; length *= 4) {
    if (!sameEnd(a, b, equal, length)) {
      unequal = length;
      break;
    }
    equal = length;
  }
  while (unequal - equal > 1) {
    const middle = (equal + unequal) >>> 1;
    if (sameEnd(a, b, equal, middle)) equal = middle;
    else unequal = middle;
  }
  return equal;
}

/** True where the characters between `known` and `length` from the end are the same. */
function sameEnd(a: string, b: string, known: number, length: number): boolean {
  return a.slice(a.length - length, a.length - known) === b.slice(b.length - length, b.length - known);
}

/** Text that has streamed in is joined when it has come to so many units: pieces of a few characters cost five times their text. */
const JOINED_UNITS = 1024;

/**
 * A string that takes splices in linear time altogether: it is kept in two halves around the place of the last
 * splice. Text that streams in at one place is appended to the left half and nothing is copied twice; a splice near
 * the last one moves what is between them and leaves the rest alone.
 */
export class SplicedText {
  /** The left half: what is joined, in pieces, and the newest text. */
  #joined: string[];
  #joinedLength: number;
  #newest = "";
  #right = "";

  constructor(text = "") {
    this.#joined = [text];
    this.#joinedLength = text.length;
  }

  get length(): number {
    return this.#joinedLength + this.#newest.length + this.#right.length;
  }

  /** @throws {RangeError} where the splice reaches outside the text. */
  splice(at: number, del: number, ins: string): void {
    if (at !== this.#joinedLength + this.#newest.length) this.#moveGap(at);
    if (del > 0) {
      if (del > this.#right.length) {
        throw new RangeError(`splice [${at}, ${del}] reaches beyond a text of ${this.length} units`);
      }
      this.#right = this.#right.slice(del);
    }
    this.#newest += ins;
    if (this.#newest.length >= JOINED_UNITS) this.#join();
  }

  /** Looking at a character makes the engine put the pieces into one string, and lets go of them. */
  #join(): void {
    this.#newest.charCodeAt(0);
    this.#joined.push(this.#newest);
    this.#joinedLength += this.#newest.length;
    this.#newest = "";
  }

  #moveGap(at: number): void {
    if (!(at >= 0 && at <= this.length)) {
      throw new RangeError(`splice at ${at} is outside a text of ${this.length} units`);
    }
    const forwards = at - this.#joinedLength - this.#newest.length;
    if (forwards > 0) {
      this.#newest += this.#right.slice(0, forwards);
      this.#right = this.#right.slice(forwards);
      return;
    }
    this.#right = this.#takeEnd(-forwards) + this.#right;
  }

  /** Takes so many units from the end of the left half. */
  #takeEnd(units: number): string {
    const kept = Math.max(0, this.#newest.length - units);
    const taken = [this.#newest.slice(kept)];
    let left = units - (this.#newest.length - kept);
    this.#newest = this.#newest.slice(0, kept);
    while (left > 0) {
      const piece = this.#joined.pop() ?? "";
      const cut = Math.max(0, piece.length - left);
      taken.push(piece.slice(cut));
      left -= piece.length - cut;
      this.#joinedLength -= piece.length - cut;
      if (cut > 0) this.#joined.push(piece.slice(0, cut));
    }
    return taken.toReversed().join("");
  }

  set(text: string): void {
    this.#joined = [text];
    this.#joinedLength = text.length;
    this.#newest = this.#right = "";
  }

  toString(): string {
    const [only = ""] = this.#joined;
    if (this.#joined.length <= 1 && this.#newest === "" && this.#right === "") return only;
    // Joined for good: the next read must not walk the pieces again.
    this.set(this.#joined.join("") + this.#newest + this.#right);
    return this.#joined[0] ?? "";
  }
}

/** @throws {RangeError} where a splice reaches outside the text. */
export function applySplices(text: string, splices: readonly Splice[]): string {
  const spliced = new SplicedText(text);
  for (const [at, del, ins] of splices) spliced.splice(at, del, ins);
  return spliced.toString();
}
