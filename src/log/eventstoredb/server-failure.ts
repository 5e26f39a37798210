import { InvalidInputError, StoreError, TurnlogError } from "../../errors.ts";

/** The gRPC status codes that matter here. */
const Status = {
  cancelled: 1,
  unknown: 2,
  invalidArgument: 3,
  permissionDenied: 7,
  resourceExhausted: 8,
  failedPrecondition: 9,
  unimplemented: 12,
  unavailable: 14,
  unauthenticated: 16,
} as const;

/** What can be done about a failed call. */
export type FailureKind =
  /** Trying again may help; whether the call had an effect is unknown. */
  | "transient"
  /** Another node leads. Trying again goes there. */
  | "not-leader"
  /** The server does not know the user (yet: a starting cluster has no users for a moment). */
  | "unauthenticated"
  | "denied"
  | "tls"
  | "stream-not-found"
  | "stream-deleted"
  /** A position that is not the beginning of a record. */
  | "invalid-position"
  | "too-large"
  | "refused";

/** A call that the server did not answer in time. */
export class NoAnswer extends Error {
  override name = "NoAnswer";
}

/** A call that the server ended without an error, as it does when it shuts down. */
export class CallEnded extends Error {
  override name = "CallEnded";
}

/** What the server said, in its answer, of why it did not do what was asked. */
export class Refusal extends Error {
  override name = "Refusal";
  readonly kind: FailureKind;

  constructor(kind: FailureKind, message: string) {
    super(message);
    this.kind = kind;
  }
}

/** An error that makes the client give its channel up. */
export function hungUp(): Error {
  return Object.assign(new Error("the server does not answer"), {
    code: Status.unavailable,
    details: "the server does not answer",
  });
}

/**
 * Judges by the code and the server's own name of the exception, never by the class: while a server is down the
 * errors are plain ones, and the messages are often empty.
 */
export function failureKind(failure: unknown): FailureKind {
  if (failure instanceof NoAnswer || failure instanceof CallEnded) return "transient";
  if (failure instanceof Refusal) return failure.kind;
  if (TurnlogError.isInstance(failure))
    return failure.code === "server-unavailable" ? "transient" : "refused";
  // Mistakes of a program do not pass.
  if (failure instanceof TypeError || failure instanceof RangeError || failure instanceof ReferenceError)
    return "refused";
  const exception = exceptionName(failure);
  switch (exception) {
    case "not-leader":
      return "not-leader";
    case "stream-not-found":
    case "no-stream":
      return "stream-not-found";
    case "stream-deleted":
      return "stream-deleted";
    case "access-denied":
      return "denied";
    case "maximum-append-size-exceeded":
      return "too-large";
    default:
  }
  const text = causeText(failure);
  switch (codeOf(failure)) {
    case Status.permissionDenied:
      return "denied";
    case Status.unauthenticated:
      return "unauthenticated";
    case Status.resourceExhausted:
      return "too-large";
    case Status.invalidArgument:
    case Status.failedPrecondition:
    case Status.unimplemented:
      return "refused";
    case Status.unavailable:
      return isCertificateFailure(text) ? "tls" : "transient";
    case Status.unknown:
      return /ReadAllResult: Error/.test(text) ? "invalid-position" : unknownKind(text);
    default:
      // Without a code: discovery found no node, or the client's own failures while it reconnects.
      return "transient";
  }
}

function unknownKind(text: string): FailureKind {
  // What .NET says of its handler's failures, as when a node shuts down in the middle of a call.
  if (
    /Exception was thrown by handler|No leader info|Not Ready|Too? ?Busy|Server Is Busy|Expired/i.test(text)
  ) {
    return "transient";
  }
  return "refused";
}

function isCertificateFailure(text: string): boolean {
  return /certificate|self.signed|unable to verify|CERT_|wrong version number|ssl3_|tls_|altname|EPROTO/i.test(
    text,
  );
}

/** The server's name of what it threw, which travels in the call's metadata. */
function exceptionName(failure: unknown): string | undefined {
  if (typeof failure !== "object" || failure === null || !("metadata" in failure)) return undefined;
  const { metadata } = failure;
  if (typeof metadata !== "object" || metadata === null || !("get" in metadata)) return undefined;
  if (typeof metadata.get !== "function") return undefined;
  const [value] = metadata.get("exception") as unknown[];
  return value === undefined ? undefined : String(value);
}

function codeOf(failure: unknown): number | undefined {
  if (typeof failure !== "object" || failure === null || !("code" in failure)) return undefined;
  return typeof failure.code === "number" ? failure.code : undefined;
}

/** True where a call ended because this side cancelled it. */
export function isCancelled(failure: unknown): boolean {
  return codeOf(failure) === Status.cancelled;
}

/** What an engine's error says, and its code where it says nothing. */
export function causeText(failure: unknown): string {
  if (typeof failure === "object" && failure !== null) {
    const { details, message, type } = failure as { details?: unknown; message?: unknown; type?: unknown };
    for (const text of [details, message, type]) {
      if (typeof text === "string" && text !== "") return withoutBoilerplate(text);
    }
    const code = codeOf(failure);
    if (code !== undefined) return `status ${code}`;
  }
  return String(failure);
}

/** gRPC wraps what the socket said, on several lines. */
function withoutBoilerplate(text: string): string {
  const [, inner = text] =
    /^No connection established\. Last error: (?:Error: )?(.*?)\.? Resolution note:/s.exec(text) ?? [];
  return inner
    .replace(/ \(\d{4}-\d\d-\d\dT[\d:.]+Z\)$/, "")
    .replace(/\s+/g, " ")
    .trim();
}

/** What a call was about, for messages. */
export interface CallSubject {
  readonly serverName: string;
  /** As in "append to stream "x"". */
  readonly what: string;
  readonly stream?: string;
}

/** The error for a failure that trying again does not help against. */
export function permanentFailure(failure: unknown, subject: CallSubject): TurnlogError {
  if (TurnlogError.isInstance(failure)) return failure;
  const { serverName, what, stream } = subject;
  const lastError = causeText(failure);
  const options = {
    cause: failure,
    details: { server: serverName, ...(stream !== undefined && { stream }), lastError },
  };
  const could = `${capitalised(what)} failed at ${serverName}`;
  switch (failureKind(failure)) {
    case "denied":
      return new StoreError(
        "access-denied",
        `${could}: the user may not do this (or no user is given). Give one in the URL, as esdb://USER:PASSWORD@HOST?tls=true, that may read $all and write streams.`,
        options,
      );
    case "unauthenticated":
      return new StoreError(
        "access-denied",
        `${could}: the server does not know this user and password.`,
        options,
      );
    case "tls":
      return new StoreError(
        "tls-failed",
        `${could}: no secure connection (${lastError}). Name the certificate authority with tlsCaFile=PATH; for a server without TLS say tls=false.`,
        options,
      );
    case "stream-deleted":
      return new StoreError(
        "stream-deleted",
        `${could}: the stream was deleted for good on the server (a tombstone).`,
        options,
      );
    case "invalid-position":
      return new StoreError("invalid-position", `${could}: no record begins at this position.`, options);
    case "too-large":
      return new InvalidInputError(
        "event-too-large",
        `${could}: the server takes less than this log is told; set maxAppendBytes in the URL to the server's MaxAppendSize. Nothing was written.`,
        options,
      );
    default:
      return new StoreError("server-error", `${could}: ${lastError}.`, options);
  }
}

/** The error for a server that could not be reached until the deadline. */
export function unavailable(
  failure: unknown,
  subject: CallSubject,
  waitedMs: number,
  isUnknown: boolean,
): StoreError {
  const { serverName, what, stream } = subject;
  const lastError = causeText(failure);
  const outcome = isUnknown ? " Whether it had an effect is unknown: the identical call finds out." : "";
  const advice = " Check that it runs, that the address is right, and tls=true or tls=false.";
  return new StoreError(
    "server-unavailable",
    `${capitalised(what)} got no answer from ${serverName} within ${Math.ceil(waitedMs / 100) / 10} s; last: ${lastError}.${outcome}${advice}`,
    { cause: failure, details: { server: serverName, ...(stream !== undefined && { stream }), lastError } },
  );
}

function capitalised(text: string): string {
  return text.charAt(0).toUpperCase() + text.slice(1);
}
