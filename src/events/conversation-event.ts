import * as z from "zod";
import { type Usage, usageSchema } from "./stored-part.ts";

/**
 * The vocabulary: every event type's data and the metadata that all events carry. What is here is stored for
 * ever. Objects are loose: fields that this version does not know are kept. A changed meaning raises a type's
 * version (see event-codec).
 */

const revision = z.int().min(0);
const messageId = z.int().min(1);
const epochMs = z.number();

/** `[at, del, ins]`: at this UTF-16 unit, delete so many units, insert this text. */
const splice = z.tuple([z.int().min(0), z.int().min(0), z.string()]);
const splices = z.array(splice);
/** A change of a text: at `at`, `del` units are replaced by `ins` (UTF-16 units). */
export type Splice = z.infer<typeof splice>;

/** `[ms since the mark before (the first: since the event's time), UTF-16 units of the inserted text]`. */
const mark = z.tuple([z.number().min(0), z.int().min(0)]);
/** A delta inside an event: ms since the one before, and UTF-16 units of the inserted text. */
export type Mark = z.infer<typeof mark>;

export const roleSchema = z.enum(["user", "assistant", "system", "tool"]);
/** Who a message is from. */
export type Role = z.infer<typeof roleSchema>;

export const outcomeSchema = z.enum(["finished", "aborted", "failed", "interrupted"]);
/** How a turn ended. */
export type Outcome = z.infer<typeof outcomeSchema>;

const metadataOfCaller = z.record(z.string(), z.unknown());

const newMessage = z.looseObject({
  messageId,
  role: roleSchema,
  /** `parts`: the content is the JSON of an array of parts. */
  format: z.enum(["text", "parts"]),
  content: z.string(),
  externalId: z.string().optional(),
  metadata: metadataOfCaller.optional(),
});

const keptMessages = z.looseObject({
  keep: messageId,
  /** How many messages of the previous order, from `keep` on. Default 1. */
  count: z.int().min(1).optional(),
});

export const eventSchemas = {
  MessageSaved: newMessage,
  AssistantStubAppended: z.looseObject({ messageId, content: z.string() }),
  TurnStarted: z.looseObject({
    turnId: z.string().min(1),
    messageId,
    kind: z.enum(["new", "regenerate"]),
    model: z.string().optional(),
  }),
  /** Applied in this order: pushContent, content, branches, activeBranch. */
  BranchesUpdated: z.looseObject({
    messageId,
    pushContent: z.boolean().optional(),
    content: splices.optional(),
    branches: splices.optional(),
    activeBranch: z.int().min(0).optional(),
    /** UTF-16 units of the resulting content, so that a lost or doubled event is noticed. */
    length: z.int().min(0).optional(),
    marks: z.array(mark).optional(),
  }),
  TurnEnded: z.looseObject({
    turnId: z.string().min(1).optional(),
    messageId,
    outcome: outcomeSchema,
    finishReason: z.string().optional(),
    usage: usageSchema.optional(),
    error: z.looseObject({ message: z.string(), code: z.string().optional() }).optional(),
    /** UTF-16 units and CRC-32 (of the UTF-16LE bytes) of the content as it stands. */
    content: z.looseObject({ length: z.int().min(0), crc32: z.int().min(0) }),
  }),
  MessagesReplaced: z.looseObject({
    /** The revision that the list was computed from, -1 for an empty session: later messages stay behind the list. */
    through: z.int().min(-1),
    messages: z.array(z.union([keptMessages, newMessage])),
    reason: z.enum(["replace", "compaction"]),
  }),
  SessionUpdated: z.looseObject({
    /** null clears it. */
    title: z.string().nullable().optional(),
    metadata: metadataOfCaller.nullable().optional(),
  }),
  SessionForked: z.looseObject({
    origin: z.looseObject({
      logId: z.string(),
      sessionId: z.string(),
      revision: z.int().min(-1),
      /** Marks of the event after `revision` that are included. */
      marks: z.int().min(0).optional(),
    }),
    /** Events that follow this one before the fork is whole. */
    total: z.int().min(0),
  }),
  SessionDeleted: z.looseObject({}),
  WriterStarted: z.looseObject({
    host: z.string(),
    bootId: z.string().optional(),
    pid: z.int(),
    pidStart: z.string().optional(),
    pidNamespace: z.string().optional(),
    heartbeatMs: z.number(),
    library: z.string(),
    label: z.string().optional(),
  }),
  /** Self-contained as WriterStarted, so that the writer's stream can be truncated at it. */
  WriterHeartbeat: z.looseObject({
    host: z.string(),
    bootId: z.string().optional(),
    pid: z.int(),
    pidStart: z.string().optional(),
    pidNamespace: z.string().optional(),
    heartbeatMs: z.number(),
    library: z.string(),
    label: z.string().optional(),
  }),
  WriterStopped: z.looseObject({}),
  MessageIdsReserved: z.looseObject({ sessionId: z.string() }),
} as const;

/** The name of an event's type. */
export type EventType = keyof typeof eventSchemas;

/** A schema's fields without the index signature that "unknown fields are kept" brings along. */
type Known<T> = T extends readonly (infer Item)[]
  ? number extends T["length"]
    ? Known<Item>[]
    : T
  : T extends object
    ? { [Key in keyof T as string extends Key ? never : Key]: Known<T[Key]> }
    : T;

/** What an event of each type holds. */
export interface EventData {
  MessageSaved: NewMessage;
  AssistantStubAppended: Known<z.infer<typeof eventSchemas.AssistantStubAppended>>;
  TurnStarted: Known<z.infer<typeof eventSchemas.TurnStarted>>;
  BranchesUpdated: {
    messageId: number;
    pushContent?: boolean | undefined;
    content?: Splice[] | undefined;
    branches?: Splice[] | undefined;
    activeBranch?: number | undefined;
    length?: number | undefined;
    marks?: Mark[] | undefined;
  };
  TurnEnded: {
    turnId?: string | undefined;
    messageId: number;
    outcome: Outcome;
    finishReason?: string | undefined;
    usage?: Usage | undefined;
    error?: TurnError | undefined;
    content: { length: number; crc32: number };
  };
  MessagesReplaced: {
    through: number;
    messages: ReplacementEntry[];
    reason: "replace" | "compaction";
  };
  SessionUpdated: {
    title?: string | null | undefined;
    metadata?: Record<string, unknown> | null | undefined;
  };
  SessionForked: Known<z.infer<typeof eventSchemas.SessionForked>>;
  SessionDeleted: Record<never, never>;
  WriterStarted: WriterDescription;
  WriterHeartbeat: WriterDescription;
  WriterStopped: Record<never, never>;
  MessageIdsReserved: Known<z.infer<typeof eventSchemas.MessageIdsReserved>>;
}

/** A message that an event brings. */
export interface NewMessage {
  messageId: number;
  role: Role;
  format: "text" | "parts";
  content: string;
  externalId?: string | undefined;
  metadata?: Record<string, unknown> | undefined;
}

/** Messages that a replacement keeps: `count` of them from `keep` on. */
export interface KeptMessages {
  keep: number;
  count?: number | undefined;
}

/** An entry of a replacement's list. */
export type ReplacementEntry = KeptMessages | NewMessage;

/** Why a turn failed or was aborted. */
export interface TurnError {
  message: string;
  code?: string | undefined;
}

/** Where a writer runs: what tells whether it still lives. */
export type WriterDescription = Known<z.infer<typeof eventSchemas.WriterStarted>>;

export const causeSchema = z.enum([
  "update",
  "delta",
  "tool-call",
  "tool-started",
  "tool-result",
  "tool-error",
  "approval",
  "step",
  "regenerate",
  "select-branch",
  "compaction",
  "repair",
]);
/** What an event was written for. */
export type Cause = z.infer<typeof causeSchema>;

export const metadataSchema = z.looseObject({
  /** Version of the event's type. */
  v: z.int().min(1),
  writer: z.string(),
  /** Per-writer counter: a hole proves a loss. */
  n: z.int().min(0),
  /** Epoch ms by the writer's clock; survives copies. */
  time: epochMs,
  turnId: z.string().optional(),
  /** A later library may add causes: any string is kept. */
  cause: z.string().optional(),
  origin: z.looseObject({ logId: z.string(), stream: z.string(), revision, id: z.string() }).optional(),
  /** A reader that does not know the type may skip the event. */
  ignorable: z.literal(true).optional(),
  traceparent: z.string().optional(),
  correlation: z.string().optional(),
  enc: z.looseObject({ alg: z.string(), keyId: z.string() }).optional(),
});

/** What every event carries beside its data. */
export interface EventMetadata {
  v: number;
  writer: string;
  n: number;
  time: number;
  turnId?: string | undefined;
  cause?: Cause | (string & {}) | undefined;
  origin?: { logId: string; stream: string; revision: number; id: string } | undefined;
  ignorable?: true | undefined;
  traceparent?: string | undefined;
  correlation?: string | undefined;
  enc?: { alg: string; keyId: string } | undefined;
}

/** An event as the rest of the code sees it: newest version, checked, with its place in the log. */
export type ConversationEvent = {
  [Type in EventType]: {
    readonly type: Type;
    readonly data: EventData[Type];
    readonly metadata: EventMetadata;
    readonly id: string;
    readonly stream: string;
    readonly revision: number;
    readonly position: number;
  };
}[EventType];

/** An event that has not been given its id, writer, counter and time yet. */
export type EventDraft = {
  [Type in EventType]: { type: Type; data: EventData[Type]; cause?: Cause; turnId?: string };
}[EventType];

/** Every event except deltas, plain updates, heartbeats and WriterStopped: what must be safe at once. */
export function isStructural(type: string, cause: string | undefined): boolean {
  if (type === "BranchesUpdated") return cause !== "update" && cause !== "delta";
  return type !== "WriterHeartbeat" && type !== "WriterStopped";
}

/** True for events that need nothing before them: a truncated stream begins with one. */
export function isSelfContained(type: string): boolean {
  return type === "SessionDeleted" || type === "WriterStarted" || type === "WriterHeartbeat";
}

const CONVERSATION_PREFIX = "conversation-";
const WRITER_PREFIX = "writer-";
export const MESSAGE_IDS_STREAM = "message-ids";

export const conversationStreamPrefix = CONVERSATION_PREFIX;
export const conversationStream = (sessionId: string): string => CONVERSATION_PREFIX + sessionId;
export const writerStream = (writer: string): string => WRITER_PREFIX + writer;

/** The session that a stream belongs to, undefined for streams that are no session's. */
export function sessionOfStream(stream: string): string | undefined {
  return stream.startsWith(CONVERSATION_PREFIX) ? stream.slice(CONVERSATION_PREFIX.length) : undefined;
}
