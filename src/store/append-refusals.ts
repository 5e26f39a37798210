/** Codes of appends that certainly wrote nothing. What failed otherwise is of unknown outcome: it may be in the log. */
const REFUSALS = new Set([
  "event-too-large",
  "invalid-event",
  "repeated-event-id",
  "disk-full",
  "log-busy",
  "read-only",
]);

/** True where a failed append certainly wrote nothing. */
export function isRefusal(error: unknown): boolean {
  return error instanceof Error && "code" in error && REFUSALS.has(String(error.code));
}
