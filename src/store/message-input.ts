import * as z from "zod";
import { InvalidInputError } from "../errors.ts";
import { type Role, roleSchema } from "../events/conversation-event.ts";
import { type StoredPart, storedPartSchema } from "../events/stored-part.ts";
import type { MessageInput } from "./session-commands.ts";

/** Content as callers hand it in: plain text, or parts. */
export type MessageContent = string | readonly StoredPart[];

/** What goes with a message that is saved. */
export interface SaveMessageOptions {
  /** The caller's own id of the message: saving it again in the session returns the first id and writes nothing. */
  externalId?: string | undefined;
  /** Any JSON object; kept and returned. */
  metadata?: Record<string, unknown> | undefined;
}

const LONGEST_SESSION_ID = 512;
const parts = z.array(storedPartSchema);

/**
 * Session ids are names: well-formed UTF-16, 1 to 512 units, no control characters.
 * @throws {InvalidInputError} `invalid-session-id`
 */
export function checkSessionId(sessionId: string): void {
  const isValid =
    typeof sessionId === "string" &&
    sessionId.length > 0 &&
    sessionId.length <= LONGEST_SESSION_ID &&
    !/[\u0000-\u001f\u007f-\u009f]/.test(sessionId) &&
    !/[\ud800-\udfff]/u.test(sessionId);
  if (isValid) return;
  throw new InvalidInputError(
    "invalid-session-id",
    `A session id is a string of 1 to ${LONGEST_SESSION_ID} characters without control characters or lone surrogates, not ${describe(sessionId)}.`,
  );
}

function describe(value: unknown): string {
  const text = typeof value === "string" ? JSON.stringify(value) : `${typeof value} ${String(value)}`;
  return text.length > 80 ? `${text.slice(0, 80)}… (${text.length} characters)` : text;
}

/**
 * Checks a message that a caller hands in.
 * @throws {InvalidInputError} `invalid-role`, `invalid-content`, `invalid-external-id`, `invalid-metadata`
 */
export function toMessageInput(
  role: Role,
  content: MessageContent,
  options: SaveMessageOptions = {},
): MessageInput {
  if (!roleSchema.safeParse(role).success) {
    throw new InvalidInputError(
      "invalid-role",
      `The role is one of ${roleSchema.options.join(", ")}, not ${describe(role)}.`,
    );
  }
  const message: MessageInput =
    typeof content === "string"
      ? { role, format: "text", content }
      : { role, format: "parts", content: partsContent(content) };
  if (options.externalId !== undefined) {
    if (typeof options.externalId !== "string") {
      throw new InvalidInputError(
        "invalid-external-id",
        `An external id is a string, not ${describe(options.externalId)}.`,
      );
    }
    message.externalId = options.externalId;
  }
  if (options.metadata !== undefined) message.metadata = toJsonObject(options.metadata);
  return message;
}

function partsContent(content: unknown): string {
  const result = parts.safeParse(content);
  if (result.success) {
    try {
      return JSON.stringify(result.data);
    } catch (cause) {
      throw new InvalidInputError(
        "invalid-content",
        `The parts cannot be written as JSON: ${String(cause)}.`,
        {
          cause,
        },
      );
    }
  }
  const issue = result.error.issues[0];
  throw new InvalidInputError(
    "invalid-content",
    `Content is a string or an array of parts; ${issue?.path.join(".") ?? "it"}: ${issue?.message ?? "not valid"}.`,
  );
}

/** A copy of a caller's object as JSON keeps it. */
export function toJsonObject(value: Record<string, unknown>): Record<string, unknown> {
  let copy: unknown;
  try {
    copy = JSON.parse(JSON.stringify(value));
  } catch (cause) {
    throw new InvalidInputError("invalid-metadata", "Metadata must be a JSON object.", { cause });
  }
  if (typeof copy === "object" && copy !== null && !Array.isArray(copy))
    return copy as Record<string, unknown>;
  throw new InvalidInputError("invalid-metadata", `Metadata must be a JSON object, not ${describe(value)}.`);
}
