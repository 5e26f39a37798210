import { InvalidArgumentError } from "commander";

/** Readers of option values; what they throw becomes a usage error that names the option. */

/** An integer from 0. */
export function wholeNumber(text: string): number {
  const value = Number(text);
  if (/^\d+$/.test(text) && Number.isSafeInteger(value)) return value;
  throw new InvalidArgumentError("It must be an integer from 0.");
}

/** Milliseconds; what a timer can wait. */
export function milliseconds(text: string): number {
  const value = Number(text);
  if (/^\d+(\.\d+)?$/.test(text) && value < 2 ** 31) return value;
  throw new InvalidArgumentError("It must be a number of milliseconds from 0.");
}
