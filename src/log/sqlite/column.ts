import type { ColumnValues, Leaf } from "../event-columns.ts";
import type { JsonValue } from "../event-log.ts";

/**
 * A column: the values that the events of a record have at one place, as JSON. A single value stands for
 * "the same in all of them"; else an array that begins with its kind.
 */
export type Column = Leaf | [kind: number, ...rest: Leaf[]];

/** `[0, first, step]`: an arithmetic run. */
const RUN = 0;
/** `[1, first, difference, difference, …]`. */
const DIFFERENCES = 1;
/** `[2, value, value, …]`. */
const RAW = 2;

/** Differences of integers up to this size are exact themselves. */
const LARGEST_DIFFERENTIABLE = 2 ** 52;

/** Encodes a column of at least one value. -0 is not expected here: JSON has none. */
export function encodeColumn(values: readonly Leaf[]): Column {
  const first = values[0] ?? null;
  if (typeof first === "number" && isDifferentiable(first)) return encodeNumbers(first, values);
  for (const value of values) if (value !== first) return [RAW, ...values];
  return first;
}

function encodeNumbers(first: number, values: readonly Leaf[]): Column {
  const differences: number[] = [];
  let previous = first;
  let largestDifference = 0;
  let largestValue = Math.abs(first);
  let isRun = true;
  for (let index = 1; index < values.length; index++) {
    const value = values[index];
    if (typeof value !== "number" || !isDifferentiable(value)) return [RAW, ...values];
    const difference = value - previous;
    if (index > 1 && difference !== differences[0]) isRun = false;
    differences.push(difference);
    largestDifference = Math.max(largestDifference, Math.abs(difference));
    largestValue = Math.max(largestValue, Math.abs(value));
    previous = value;
  }
  if (largestDifference === 0) return first;
  if (isRun) return [RUN, first, differences[0] ?? 0];
  return largestDifference < largestValue ? [DIFFERENCES, first, ...differences] : [RAW, ...values];
}

function isDifferentiable(value: number): boolean {
  return Number.isInteger(value) && Math.abs(value) <= LARGEST_DIFFERENTIABLE;
}

/**
 * What is decoded takes the place of what was parsed: a record holds dozens of columns, and arrays of their own for
 * them were a tenth of what reading a log allocates. Loops go by index, since an iterator makes an object for each step.
 * @throws {Error} where the JSON is no column of `count` values.
 */
export function decodeColumn(column: JsonValue | undefined, count: number): ColumnValues {
  if (column === undefined) throw new Error("a column is missing");
  if (typeof column !== "object" || column === null) return { same: true, value: column };
  if (!Array.isArray(column)) throw new Error("a column is an object");
  const values = decodeArray(column as Leaf[], count);
  if (values.length !== count) throw new Error(`a column has ${values.length} values instead of ${count}`);
  return { same: false, values };
}

function decodeArray(column: Leaf[], count: number): Leaf[] {
  const kind = column.shift();
  if (kind === RAW) return column;
  let value = integerOf(column[0]);
  if (kind === RUN) {
    const step = integerOf(column[1]);
    return Array.from({ length: count }, (_, index) => value + step * index);
  }
  if (kind !== DIFFERENCES) throw new Error(`a column is of unknown kind ${String(kind)}`);
  for (let index = 1; index < column.length; index++) {
    value += integerOf(column[index]);
    column[index] = value;
  }
  return column;
}

function integerOf(value: Leaf | undefined): number {
  if (typeof value !== "number") throw new Error("a column of integers holds something else");
  return value;
}

/** The integers of a column, one for each event. @throws {Error} where it is no column of `count` integers. */
export function decodeIntegers(column: JsonValue | undefined, count: number): number[] {
  const decoded = decodeColumn(column, count);
  if (decoded.same) return Array.from({ length: count }, () => integerOf(decoded.value));
  const { values } = decoded;
  for (let index = 0; index < values.length; index++) integerOf(values[index]);
  return values as number[];
}
