import * as z from "zod";

/**
 * The parts that an assistant message's content is made of, as the original store keeps them and the turn
 * writer writes them. Contents are opaque to the log: these schemas check what callers hand in as parts;
 * whatever else is stored comes back exactly. Unknown kinds and unknown keys are kept.
 */

export type ProviderMetadata = Record<string, Record<string, unknown>>;

/** Tokens as the provider counted them. */
export interface Usage {
  inputTokens?: number | undefined;
  outputTokens?: number | undefined;
  reasoningTokens?: number | undefined;
  cachedInputTokens?: number | undefined;
  /** The provider's own usage object. */
  raw?: unknown;
}

interface PartExtras {
  providerMetadata?: ProviderMetadata | undefined;
}

/** Text. */
export interface TextPart extends PartExtras {
  kind: "text";
  text: string;
}

/** What the model thought before it answered. */
export interface ReasoningPart extends PartExtras {
  kind: "reasoning";
  text: string;
}

/** Exactly one of `data` (base64) and `url`. */
export interface FilePart extends PartExtras {
  kind: "file";
  mediaType: string;
  filename?: string | undefined;
  data?: string | undefined;
  url?: string | undefined;
}

/** A citation: whatever the provider says of it (`url`, `title`, `sourceType`, …). */
export interface SourcePart extends PartExtras {
  kind: "source";
  [key: string]: unknown;
}

/** The end of a step: what comes after it belongs to the next model call. */
export interface StepPart extends PartExtras {
  kind: "step";
  finishReason?: string | undefined;
  usage?: Usage | undefined;
}

/** How far a tool call has come. */
export type ToolState =
  | "input-streaming"
  | "input-available"
  | "approval-requested"
  | "approval-responded"
  | "output-available"
  | "output-error"
  | "output-denied";

/** A tool call and what came of it. */
export interface ToolPart extends PartExtras {
  kind: "tool";
  tool_id: string;
  name: string;
  /** The raw string as the model sent it; valid JSON or not. */
  input: string;
  /** Any JSON; for output-error the error text. */
  output?: unknown;
  state: ToolState;
  /** Epoch ms when its execution began; absent while it has not. */
  started_at?: number | undefined;
  duration_ms?: number | undefined;
  /** The provider ran it (a server-side tool). */
  provider_executed?: boolean | undefined;
  /** What a human was asked and answered. */
  approval?:
    { id?: string | undefined; approved?: boolean | undefined; reason?: string | undefined } | undefined;
}

/** A part of a kind that this version does not know. */
export interface UnknownPart {
  kind: string;
  [key: string]: unknown;
}

/** A part of a kind that this version knows. */
export type KnownPart = TextPart | ReasoningPart | FilePart | SourcePart | StepPart | ToolPart;
/** A part of a message as it is stored; unknown kinds and keys are kept. */
export type StoredPart = KnownPart | UnknownPart;

export const usageSchema = z.looseObject({
  inputTokens: z.number().optional(),
  outputTokens: z.number().optional(),
  reasoningTokens: z.number().optional(),
  cachedInputTokens: z.number().optional(),
  raw: z.unknown().optional(),
});

const extras = { providerMetadata: z.record(z.string(), z.record(z.string(), z.unknown())).optional() };

const knownParts = new Map<string, z.ZodType>(
  Object.entries({
    text: z.looseObject({ kind: z.literal("text"), text: z.string(), ...extras }),
    reasoning: z.looseObject({ kind: z.literal("reasoning"), text: z.string(), ...extras }),
    file: z
      .looseObject({
        kind: z.literal("file"),
        mediaType: z.string(),
        filename: z.string().optional(),
        data: z.string().optional(),
        url: z.string().optional(),
        ...extras,
      })
      .refine((part) => (part.data === undefined) !== (part.url === undefined), "needs one of data and url"),
    source: z.looseObject({ kind: z.literal("source"), ...extras }),
    step: z.looseObject({
      kind: z.literal("step"),
      finishReason: z.string().optional(),
      usage: usageSchema.optional(),
      ...extras,
    }),
    tool: z.looseObject({
      kind: z.literal("tool"),
      tool_id: z.string(),
      name: z.string(),
      input: z.string(),
      output: z.unknown().optional(),
      state: z.enum([
        "input-streaming",
        "input-available",
        "approval-requested",
        "approval-responded",
        "output-available",
        "output-error",
        "output-denied",
      ]),
      started_at: z.number().optional(),
      duration_ms: z.number().optional(),
      provider_executed: z.boolean().optional(),
      approval: z
        .looseObject({
          id: z.string().optional(),
          approved: z.boolean().optional(),
          reason: z.string().optional(),
        })
        .optional(),
      ...extras,
    }),
  }),
);

const anyPart = z.looseObject({ kind: z.string() });

/** Checks a part that a caller hands in: known kinds by their schema, unknown ones by having a kind. */
export const storedPartSchema = z.unknown().transform((value, context): StoredPart => {
  const kind = anyPart.safeParse(value);
  const schema = kind.success ? (knownParts.get(kind.data.kind) ?? anyPart) : anyPart;
  const result = schema.safeParse(value);
  if (!result.success) {
    for (const issue of result.error.issues) context.addIssue({ ...issue, message: issue.message } as never);
    return z.NEVER;
  }
  return value as StoredPart;
});

/** The parts of a stored content: the array where it is one of parts, else undefined. */
export function parseParts(content: string): StoredPart[] | undefined {
  if (!content.startsWith("[")) return undefined;
  let value: unknown;
  try {
    value = JSON.parse(content);
  } catch {
    return undefined; // Not JSON: the content is plain text that begins with a bracket.
  }
  return isPartArray(value) ? value : undefined;
}

/** True for an array of objects that each name a kind. */
export function isPartArray(value: unknown): value is StoredPart[] {
  return (
    Array.isArray(value) &&
    value.every(
      (part) =>
        typeof part === "object" && part !== null && typeof (part as { kind?: unknown }).kind === "string",
    )
  );
}
