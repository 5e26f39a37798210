import { InvalidInputError } from "../errors.ts";
import { checkStreamName } from "./append-checks.ts";
import type { ReadAllOptions, ReadRunsOptions, ReadStreamOptions, SubscribeOptions } from "./event-log.ts";

/** The part of the contract of reading and truncating that needs no storage, the same for every adapter. */

/** @throws {InvalidInputError} `invalid-stream-name`, `invalid-read-options` */
export function checkReadStream(stream: string, { from, direction, limit }: ReadStreamOptions): void {
  checkStreamName(stream);
  checkWhole("from", from, 0);
  checkLimit(limit);
  if (direction === undefined || direction === "forwards" || direction === "backwards") return;
  throw invalidOption("direction", direction, '"forwards" or "backwards"');
}

/** @throws {InvalidInputError} `invalid-read-options` */
export function checkReadAll({ after, limit }: ReadAllOptions): void {
  checkWhole("after", after, -1);
  checkLimit(limit);
}

/** @throws {InvalidInputError} `invalid-read-options` */
export function checkReadRuns({ after, pieceEvents }: ReadRunsOptions): void {
  checkWhole("after", after, -1);
  checkWhole("pieceEvents", pieceEvents, 1);
}

/** @throws {InvalidInputError} `invalid-read-options` */
export function checkSubscribe({ after }: SubscribeOptions): void {
  checkWhole("after", after, -1);
}

/** @throws {InvalidInputError} `invalid-stream-name`, `invalid-read-options` */
export function checkTruncate(stream: string, before: number): void {
  checkStreamName(stream);
  if (!isWhole(before, 0)) throw invalidOption("before", before, "a revision, an integer from 0");
}

function checkWhole(name: string, value: number | undefined, least: number): void {
  if (value === undefined || isWhole(value, least)) return;
  throw invalidOption(name, value, `an integer from ${least}`);
}

function checkLimit(limit: number | undefined): void {
  if (limit === undefined || limit === Infinity || isWhole(limit, 0)) return;
  throw invalidOption("limit", limit, "a number of events, or Infinity");
}

function isWhole(value: number, least: number): boolean {
  return Number.isSafeInteger(value) && value >= least;
}

function invalidOption(name: string, value: unknown, wanted: string): InvalidInputError {
  return new InvalidInputError("invalid-read-options", `${name} must be ${wanted}, not ${String(value)}.`, {
    details: { option: name, value },
  });
}
