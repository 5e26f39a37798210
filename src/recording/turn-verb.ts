import * as z from "zod";
import { type Usage, usageSchema } from "../events/stored-part.ts";
import type { Turn } from "../store/turn.ts";

/**
 * A call of a turn's method as a JSON value: what the readers make of a provider's stream, and a protocol of its
 * own for runtimes that are no JavaScript. One verb for each method of `Turn`; the fields are named as its options.
 */

const providerMetadata = z.record(z.string(), z.record(z.string(), z.unknown())).optional();
const toolId = z.string();

const delta = { text: z.string(), block: z.string().optional(), providerMetadata };
const call = { toolId, name: z.string(), providerExecuted: z.boolean().optional(), providerMetadata };
const toolEnd = { durationMs: z.number().min(0).optional(), providerMetadata };
const usage: z.ZodType<Usage> = usageSchema;
const ending = { finishReason: z.string().optional(), usage: usage.optional() };

/** Strict: a misspelt field would be lost without a word. */
export const turnVerbSchema = z.discriminatedUnion("verb", [
  z.strictObject({ verb: z.literal("text"), ...delta }),
  z.strictObject({ verb: z.literal("reasoning"), ...delta }),
  z.strictObject({ verb: z.literal("tool-input-start"), ...call }),
  z.strictObject({ verb: z.literal("tool-input-delta"), toolId, text: z.string() }),
  z.strictObject({ verb: z.literal("tool-call"), ...call, input: z.string().optional() }),
  z.strictObject({
    verb: z.literal("tool-approval"),
    toolId,
    approval: z.enum(["requested", "approved", "denied"]),
    approvalId: z.string().optional(),
    reason: z.string().optional(),
    providerMetadata,
  }),
  z.strictObject({ verb: z.literal("tool-started"), toolId }),
  z.strictObject({ verb: z.literal("tool-result"), toolId, output: z.unknown(), ...toolEnd }),
  z.strictObject({ verb: z.literal("tool-error"), toolId, errorText: z.string(), ...toolEnd }),
  z.strictObject({ verb: z.literal("source"), source: z.record(z.string(), z.unknown()) }),
  z
    .strictObject({
      verb: z.literal("file"),
      mediaType: z.string(),
      filename: z.string().optional(),
      data: z.string().optional(),
      url: z.string().optional(),
      providerMetadata,
    })
    .refine((file) => (file.data === undefined) !== (file.url === undefined), "needs one of data and url"),
  z.strictObject({ verb: z.literal("step-finish"), ...ending, providerMetadata }),
  z.strictObject({ verb: z.literal("finish"), ...ending }),
  z.strictObject({
    verb: z.literal("fail"),
    error: z.strictObject({ message: z.string(), code: z.string().optional() }),
    ...ending,
  }),
  z.strictObject({ verb: z.literal("abort"), reason: z.string().optional() }),
  z.strictObject({ verb: z.literal("flush") }),
]);

/** A call of the turn writer as data: what a line of the record protocol holds. */
export type TurnVerb = z.infer<typeof turnVerbSchema>;

/** Makes the call that the verb names. Resolves and rejects as that method of the turn does. */
export function applyVerb(turn: Turn, verb: TurnVerb): Promise<void> {
  switch (verb.verb) {
    case "text":
      return turn.textDelta(verb.text, { block: verb.block, providerMetadata: verb.providerMetadata });
    case "reasoning":
      return turn.reasoningDelta(verb.text, { block: verb.block, providerMetadata: verb.providerMetadata });
    case "tool-input-start":
      return turn.toolInputStart(withoutVerb(verb));
    case "tool-input-delta":
      return turn.toolInputDelta(verb.toolId, verb.text);
    case "tool-call":
      return turn.toolCall(withoutVerb(verb));
    case "tool-approval": {
      const { toolId, approval, ...options } = withoutVerb(verb);
      return turn.toolApproval(toolId, approval, options);
    }
    case "tool-started":
      return turn.toolStarted(verb.toolId);
    case "tool-result": {
      const { toolId, output, ...options } = withoutVerb(verb);
      return turn.toolResult(toolId, output, options);
    }
    case "tool-error": {
      const { toolId, errorText, ...options } = withoutVerb(verb);
      return turn.toolError(toolId, errorText, options);
    }
    case "source":
      return turn.source(verb.source);
    case "file":
      return turn.file(withoutVerb(verb));
    case "step-finish":
      return turn.stepFinish(withoutVerb(verb));
    case "finish":
      return turn.finish(withoutVerb(verb));
    case "fail": {
      const { error, ...options } = withoutVerb(verb);
      return turn.fail(error, options);
    }
    case "abort":
      return turn.abort(verb.reason);
    case "flush":
      return turn.flush();
  }
}

function withoutVerb<V extends TurnVerb>(verb: V): Omit<V, "verb"> {
  const { verb: _verb, ...fields } = verb;
  return fields;
}
