import { InvalidInputError } from "../errors.ts";

/** Bytes of JSON that an event has beside its text, rounded up. */
export const EVENT_OVERHEAD = 2048;

/**
 * What one append cannot hold is refused before anything changes, so that the turn can go on.
 * @throws {InvalidInputError} `event-too-large`
 */
export function checkFits(maxAppendBytes: number, text: string, extra?: unknown): void {
  const json = extra === undefined ? text : text + JSON.stringify(extra);
  const most = maxAppendBytes - EVENT_OVERHEAD;
  // Escaped once as a part and once more in the event: measured only where it could matter.
  if (json.length * 14 <= most) return;
  const bytes = Buffer.byteLength(JSON.stringify(JSON.stringify(json)));
  if (bytes <= most) return;
  throw new InvalidInputError(
    "event-too-large",
    `${bytes} bytes are more than one append to this log can hold (${maxAppendBytes}); the call was refused and the turn can go on.`,
    { details: { bytes, maxAppendBytes } },
  );
}

/** @throws {InvalidInputError} `invalid-content` */
export function checkText(text: unknown): void {
  if (typeof text === "string") return;
  throw new InvalidInputError(
    "invalid-content",
    `A delta is a string, not ${typeof text}: the call was refused and the turn can go on.`,
  );
}
