import type * as z from "zod";
import { DamageError, InvalidInputError } from "../errors.ts";
import {
  type ConversationEvent,
  type EventDraft,
  type EventMetadata,
  eventSchemas,
  metadataSchema,
} from "./conversation-event.ts";

/** An event as any storage gives it back: its place and its JSON. */
export interface StoredEvent {
  readonly id: string;
  readonly type: string;
  readonly data: unknown;
  readonly metadata: unknown;
  readonly stream: string;
  readonly revision: number;
  readonly position: number;
}

/** What the writer adds to a draft. */
export interface Envelope {
  id: string;
  writer: string;
  n: number;
  /** Epoch ms. */
  time: number;
}

/** The newest version of an event type, and the way there from older ones. */
export interface EventTypeDefinition {
  version: number;
  schema: z.ZodType;
  /** `upcasts[v]` turns data of version v into data of version v + 1. */
  upcasts?: Readonly<Record<number, (data: unknown) => unknown>>;
}

export type EventDefinitions = ReadonlyMap<string, EventTypeDefinition>;

/** Every type at version 1: no stored meaning has changed yet. */
export const eventDefinitions: EventDefinitions = new Map(
  Object.entries(eventSchemas).map(([type, schema]) => [type, { version: 1, schema }]),
);

/** Ready to append. Its data and metadata are JSON by construction, which the type system cannot say of `unknown` fields. */
export type EncodedEvent = { id: string; type: string; data: never; metadata: never };

export interface EventCodec {
  /** The event to append: the draft's data and the metadata of DESIGN.md. */
  encode(draft: EventDraft, envelope: Envelope): EncodedEvent;
  /**
   * The event in its newest version, checked; undefined for an unknown type that says it may be skipped.
   * @throws {DamageError} `unknown-event` (type or version of a newer library), `invalid-event` (not of its schema);
   * the message names stream, revision and type.
   */
  decode(event: StoredEvent): ConversationEvent | undefined;
}

/** A codec over a set of definitions; the default is the vocabulary of this version. */
export function createEventCodec(definitions: EventDefinitions = eventDefinitions): EventCodec {
  return {
    encode(draft, envelope) {
      const metadata: EventMetadata = {
        v: definitions.get(draft.type)?.version ?? 1,
        writer: envelope.writer,
        n: envelope.n,
        time: envelope.time,
      };
      if (draft.turnId !== undefined) metadata.turnId = draft.turnId;
      if (draft.cause !== undefined) metadata.cause = draft.cause;
      return { id: envelope.id, type: draft.type, data: draft.data as never, metadata: metadata as never };
    },

    decode(event) {
      const metadata = event.metadata as EventMetadata;
      if (!isMetadata(metadata)) throw invalid(event, "metadata", metadataSchema);
      const definition = definitions.get(event.type);
      if (definition === undefined || metadata.v > definition.version) {
        if (metadata.ignorable === true) return undefined;
        throw unknownEvent(event, metadata.v, definition?.version);
      }
      if (metadata.v < definition.version) {
        const upcasted = { ...event, data: upcast(event, metadata.v, definition) };
        check(upcasted, definition.schema);
        return upcasted as ConversationEvent;
      }
      check(event, definition.schema);
      // Checked just now: the stored object is the event, and copying each delta would double its cost.
      return event as ConversationEvent;
    },
  };
}

/** The codec of this version's vocabulary. */
export const eventCodec = createEventCodec();

/**
 * Refuses data that no reader could decode, before it is stored for ever. Updates are not looked at: they are the
 * commonest, and made by this library alone.
 * @throws {InvalidInputError} `invalid-event`
 */
export function checkDraft({ type, data }: EventDraft): void {
  if (type === "BranchesUpdated") return;
  const result = eventSchemas[type].safeParse(data);
  if (result.success) return;
  const issue = result.error.issues[0];
  throw new InvalidInputError(
    "invalid-event",
    `What ${type} is to say is not valid: ${issue?.path.join(".") ?? "it"}: ${issue?.message ?? "not valid"}. Nothing was written.`,
    { details: { type, path: issue?.path } },
  );
}

function upcast(event: StoredEvent, from: number, definition: EventTypeDefinition): unknown {
  let data = event.data;
  for (let version = from; version < definition.version; version++) {
    const step = definition.upcasts?.[version];
    if (step === undefined) {
      throw new DamageError(
        "unknown-event",
        `${describe(event)} is of version ${from}, which this version of turnlog can no longer read.`,
      );
    }
    data = step(data);
  }
  return data;
}

function check(event: StoredEvent, schema: z.ZodType): void {
  if (event.type === "BranchesUpdated" && isUpdateOfContent(event.data)) return;
  const result = schema.safeParse(event.data);
  if (!result.success) throw invalid(event, "data", schema);
}

/**
 * The same answer as the schema for the commonest shape of the commonest event, at a twentieth of the cost; what
 * this does not recognise goes to the schema.
 */
export function isUpdateOfContent(data: unknown): boolean {
  if (typeof data !== "object" || data === null) return false;
  const { messageId, content, length, marks, pushContent, branches, activeBranch } = data as Record<
    string,
    unknown
  >;
  if (pushContent !== undefined || branches !== undefined || activeBranch !== undefined) return false;
  if (!isCount(messageId) || messageId === 0) return false;
  if (length !== undefined && !isCount(length)) return false;
  if (!Array.isArray(content)) return false;
  for (const splice of content as unknown[]) {
    if (!Array.isArray(splice) || splice.length !== 3) return false;
    if (!isCount(splice[0]) || !isCount(splice[1]) || typeof splice[2] !== "string") return false;
  }
  if (marks === undefined) return true;
  if (!Array.isArray(marks)) return false;
  for (const mark of marks as unknown[]) {
    if (!Array.isArray(mark) || mark.length !== 2 || !isCount(mark[0]) || !isCount(mark[1])) return false;
  }
  return true;
}

/** An integer from 0. */
export function isCount(value: unknown): value is number {
  return Number.isSafeInteger(value) && (value as number) >= 0;
}

function isMetadata(metadata: EventMetadata): boolean {
  if (typeof metadata !== "object" || metadata === null) return false;
  const { v, writer, n, time, turnId, cause, origin, ignorable } = metadata;
  return (
    Number.isSafeInteger(v) &&
    v >= 1 &&
    typeof writer === "string" &&
    Number.isSafeInteger(n) &&
    n >= 0 &&
    typeof time === "number" &&
    (turnId === undefined || typeof turnId === "string") &&
    (cause === undefined || typeof cause === "string") &&
    (ignorable === undefined || ignorable === true) &&
    (origin === undefined || metadataSchema.safeParse(metadata).success)
  );
}

function describe(event: StoredEvent): string {
  return `Event ${event.type} at revision ${event.revision} of stream "${event.stream}"`;
}

function unknownEvent(event: StoredEvent, version: number, known: number | undefined): DamageError {
  const what =
    known === undefined
      ? "has a type that this version of turnlog does not know"
      : `is of version ${version}; this version of turnlog knows it up to ${known}`;
  return new DamageError("unknown-event", `${describe(event)} ${what}. Read the log with a newer turnlog.`, {
    details: { stream: event.stream, revision: event.revision, type: event.type, version },
  });
}

function invalid(event: StoredEvent, field: "data" | "metadata", schema: z.ZodType): DamageError {
  const result = schema.safeParse(event[field]);
  const issue = result.success ? undefined : result.error.issues[0];
  const where = [field, ...(issue?.path ?? [])].join(".");
  return new DamageError(
    "invalid-event",
    `${describe(event)} is not what its type says: ${where}: ${issue?.message ?? "not valid"}.`,
    { details: { stream: event.stream, revision: event.revision, type: event.type, path: where } },
  );
}
