import { type StoredPart, type Usage, parseParts } from "../events/stored-part.ts";
import type { Role, TurnError } from "../events/conversation-event.ts";
import type { SplicedText } from "../events/text-splice.ts";
import { copyJson } from "./json-copy.ts";

/**
 * `saved`: complete from the start. `filling`: a bare stub that is being updated. `open`: its turn is being
 * written, or its writer died. `superseded`: another turn began before this one ended. The rest: how it ended.
 */
export type MessageStatus =
  "saved" | "filling" | "open" | "superseded" | "finished" | "aborted" | "failed" | "interrupted";

/** A message as queries return it. In JSON its dates are ISO 8601. */
export interface StoredMessage {
  id: number;
  role: Role;
  /** Exactly the string that was written. */
  content: string;
  /** The content's parts: of a plain text one text part. */
  parts: StoredPart[];
  /** `""` or a JSON array of alternative parts arrays. */
  branchesJson: string;
  /** Index into `[...branches, content]`. */
  activeBranch: number;
  status: MessageStatus;
  createdAt: Date;
  updatedAt: Date;
  usage?: Usage;
  finishReason?: string;
  error?: TurnError;
  metadata?: Record<string, unknown>;
  externalId?: string;
  /** Only with includeReplaced: it is no longer part of the conversation. */
  replaced?: true;
}

/** A message as the fold keeps it. */
export interface FoldedMessage {
  readonly id: number;
  readonly role: Role;
  format: "text" | "parts";
  readonly content: SplicedText;
  branchesJson: string;
  activeBranch: number;
  status: MessageStatus;
  /** Epoch ms. */
  readonly createdAt: number;
  updatedAt: number;
  readonly createdRevision: number;
  replaced: boolean;
  /** The newest turn on it: what an older one reports is history. */
  turnId?: string;
  usage?: Usage | undefined;
  finishReason?: string | undefined;
  error?: TurnError | undefined;
  metadata?: Record<string, unknown> | undefined;
  externalId?: string | undefined;
  /** Where its row stands in the views, once it has one. */
  place?: number;
}

/** A copy of the message that its receiver may change. */
export function toStoredMessage(message: FoldedMessage): StoredMessage {
  const content = message.content.toString();
  const stored: StoredMessage = {
    id: message.id,
    role: message.role,
    content,
    parts: (message.format === "parts" ? parseParts(content) : undefined) ?? [
      { kind: "text", text: content },
    ],
    branchesJson: message.branchesJson,
    activeBranch: message.activeBranch,
    status: message.status,
    createdAt: new Date(message.createdAt),
    updatedAt: new Date(message.updatedAt),
  };
  if (message.usage !== undefined) stored.usage = copyJson(message.usage);
  if (message.finishReason !== undefined) stored.finishReason = message.finishReason;
  if (message.error !== undefined) stored.error = copyJson(message.error);
  if (message.metadata !== undefined) stored.metadata = copyJson(message.metadata);
  if (message.externalId !== undefined) stored.externalId = message.externalId;
  if (message.replaced) stored.replaced = true;
  return stored;
}
