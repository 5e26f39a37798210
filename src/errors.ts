/**
 * Every error that turnlog throws on purpose. The `code` is stable and documented; the message says what was
 * wrong and what to do about it; `cause` holds the engine's own error where there is one.
 */

/** Survives two copies of the package in one process, where `instanceof` does not. */
const MARKER = Symbol.for("turnlog.error");

/** What an error carries beside its code and its message. */
export interface TurnlogErrorOptions {
  /** The error underneath, when there is one. */
  cause?: unknown;
  /** Machine-readable facts: ids, revisions, paths, limits. */
  details?: Readonly<Record<string, unknown>>;
}

/** Base class of all errors thrown by turnlog. Branch on `code`, not on the class or the message. */
export class TurnlogError extends Error {
  override name = "TurnlogError";
  readonly code: string;
  readonly details: Readonly<Record<string, unknown>>;

  constructor(code: string, message: string, options: TurnlogErrorOptions = {}) {
    super(message, "cause" in options ? { cause: options.cause } : undefined);
    this.code = code;
    this.details = options.details ?? {};
    Object.defineProperty(this, MARKER, { value: true });
  }

  /** True for a TurnlogError of any copy of this package. */
  static isInstance(value: unknown): value is TurnlogError {
    return typeof value === "object" && value !== null && MARKER in value;
  }
}

/** The caller passed something that cannot be right: `invalid-session-id`, `invalid-branches`, `event-too-large`, … */
export class InvalidInputError extends TurnlogError {
  override name = "InvalidInputError";
}

/** What was named does not exist: `message-not-found`, `no-assistant-message`, `branch-not-found`, … */
export class NotFoundError extends TurnlogError {
  override name = "NotFoundError";
}

/** The state of the session or turn forbids the call: `turn-lost`, `turn-open`, `turn-ended`, `conflict`, … */
export class StateError extends TurnlogError {
  override name = "StateError";
}

/** The store cannot be reached, opened, written or locked: `log-busy`, `disk-full`, `read-only`, `store-closed`, … */
export class StoreError extends TurnlogError {
  override name = "StoreError";
}

/** What is stored cannot be right, or is of a version this library does not know: `damaged-row`, `unknown-event`, … */
export class DamageError extends TurnlogError {
  override name = "DamageError";
}

/** The code of a turnlog error, else undefined: `if (errorCode(error) === "turn-lost") …` */
export function errorCode(error: unknown): string | undefined {
  return TurnlogError.isInstance(error) ? error.code : undefined;
}
