/**
 * Reading JSON that others made: each function gives the value where it is of the type asked for, and nothing
 * where it is not. Providers change their streams without notice; a field of another type must never throw.
 */

export type JsonRecord = Readonly<Record<string, unknown>>;

export function isRecord(value: unknown): value is JsonRecord {
  return typeof value === "object" && value !== null && !Array.isArray(value);
}

/** The object, or an empty one. */
export function record(value: unknown): JsonRecord {
  return isRecord(value) ? value : {};
}

/** The array, or an empty one. */
export function list(value: unknown): readonly unknown[] {
  return Array.isArray(value) ? value : [];
}

/** The string, or an empty one. */
export function text(value: unknown): string {
  return typeof value === "string" ? value : "";
}

/** The string, unless it is empty. */
export function filledText(value: unknown): string | undefined {
  return typeof value === "string" && value !== "" ? value : undefined;
}

/** The number, unless it is negative or not finite. */
export function count(value: unknown): number | undefined {
  return typeof value === "number" && Number.isFinite(value) && value >= 0 ? value : undefined;
}

/** The object without the fields that are undefined or null. */
export function present(fields: JsonRecord): Record<string, unknown> {
  return Object.fromEntries(
    Object.entries(fields).filter(([, value]) => value !== undefined && value !== null),
  );
}

/** The object without these fields, and without those that are undefined or null. */
export function presentExcept(fields: JsonRecord, names: readonly string[]): Record<string, unknown> {
  return present(Object.fromEntries(Object.entries(fields).filter(([name]) => !names.includes(name))));
}

/** A value as a part of a name. (An object's own toString may be anything in JSON, and throw.) */
export function label(value: unknown): string {
  return typeof value === "object" && value !== null ? "object" : String(value);
}
