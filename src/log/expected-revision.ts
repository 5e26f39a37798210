import { InvalidInputError } from "../errors.ts";

/**
 * What an append was computed from: exactly this newest revision, a stream without events, a stream with
 * at least one event, or anything.
 */
export type ExpectedRevision = number | "no-stream" | "stream-exists" | "any";

/** Revision of a stream that has no events. */
export const NO_REVISION = -1;

/** True where the stream's newest revision (`NO_REVISION` for none) satisfies the expectation. */
export function matchesExpectedRevision(expected: ExpectedRevision, actualRevision: number): boolean {
  if (expected === "any") return true;
  if (expected === "stream-exists") return actualRevision !== NO_REVISION;
  if (expected === "no-stream") return actualRevision === NO_REVISION;
  return actualRevision === expected;
}

/**
 * The revision that the first event of an identical retry must have, or undefined where the expectation
 * names none and a retry cannot be told from a new append.
 */
export function retryRevision(expected: ExpectedRevision): number | undefined {
  if (expected === "no-stream") return 0;
  return typeof expected === "number" ? expected + 1 : undefined;
}

/** @throws {InvalidInputError} `invalid-expected-revision` for anything else than a safe integer from 0 or one of the words. */
export function checkExpectedRevision(expected: ExpectedRevision): void {
  if (expected === "any" || expected === "no-stream" || expected === "stream-exists") return;
  if (Number.isSafeInteger(expected) && expected >= 0) return;
  throw new InvalidInputError(
    "invalid-expected-revision",
    `The expected revision ${String(expected)} is neither a revision (an integer from 0) nor "no-stream", "stream-exists" or "any".`,
  );
}
