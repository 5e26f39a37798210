import type { Usage } from "../events/stored-part.ts";
import { type JsonRecord, isRecord } from "./json-access.ts";
import { KindCounts } from "./kind-counts.ts";
import { sumUsage } from "./provider-usage.ts";
import type { TurnVerb } from "./turn-verb.ts";

/** Normalised; the provider's own word is in the step's providerMetadata. */
export type FinishReason = "stop" | "length" | "tool-calls" | "content-filter" | "error" | "other";

export interface StepEnd {
  finishReason: FinishReason;
  usage: Usage | undefined;
  providerMetadata: Record<string, Record<string, unknown>>;
}

/**
 * Turns the chunks of one provider protocol into the calls of a turn. The input may hold several messages one
 * after the other (the steps of an agent): each message's end is a step's end, and the turn finishes with the
 * input. A reader never throws, whatever the chunks are: what it does not know is counted.
 */
export abstract class StreamReader {
  readonly #unknownKinds = new KindCounts();
  readonly #toolIds = new Set<string>();
  readonly #usages: Usage[] = [];
  #verbs: TurnVerb[] = [];
  #sawUnknown = false;
  #stepsEnded = 0;
  #lastReason: FinishReason | undefined;
  #isOver = false;
  #line = 0;

  /** Kinds of chunks, blocks and fields that were not understood, and how often each came. */
  get unknownKinds(): ReadonlyMap<string, number> {
    return this.#unknownKinds.counts;
  }

  /**
   * What the chunk says; "unknown" where nothing of it was understood. Nothing follows a failure.
   * @param line of the input, for messages
   */
  read(chunk: unknown, line = 0): readonly TurnVerb[] | "unknown" {
    if (this.#isOver) return [];
    this.#line = line;
    this.#verbs = [];
    this.#sawUnknown = false;
    if (isRecord(chunk)) this.readChunk(chunk);
    else this.unknown(chunk === null ? "null" : Array.isArray(chunk) ? "array" : typeof chunk);
    return this.#sawUnknown && this.#verbs.length === 0 ? "unknown" : this.#verbs;
  }

  /** The input has ended: the turn finishes, or fails where the stream's own end was not seen. */
  end(): readonly TurnVerb[] {
    if (this.#isOver) return [];
    this.#verbs = [];
    this.closeMessage();
    if (this.hasOpenMessage || this.#stepsEnded === 0) {
      this.fail(
        "stream-ended-early",
        this.hasOpenMessage ? this.endedEarly : "The input ended before a message began.",
      );
    } else {
      this.say({
        verb: "finish",
        ...(this.#lastReason === undefined ? {} : { finishReason: this.#lastReason }),
        ...this.#usageField(undefined),
      });
      this.#isOver = true;
    }
    return this.#verbs;
  }

  /** Reads one JSON object of the stream. */
  protected abstract readChunk(chunk: JsonRecord): void;

  /** Ends the step of a message that is complete but could still have been added to. */
  protected closeMessage(): void {}

  /** True while a message has begun and its own end has not come. */
  protected abstract get hasOpenMessage(): boolean;

  /** What to say of an input that ends while a message is open. */
  protected get endedEarly(): string {
    return "The input ended before the model's message did.";
  }

  /** The line that is being read. */
  protected get line(): number {
    return this.#line;
  }

  protected say(...verbs: readonly TurnVerb[]): void {
    if (!this.#isOver) this.#verbs.push(...verbs);
  }

  protected unknown(kind: string): void {
    this.#sawUnknown = true;
    this.#unknownKinds.add(kind);
  }

  /** Steps that have ended: a number for names that must differ between messages. */
  protected get step(): number {
    return this.#stepsEnded;
  }

  protected endStep(end: StepEnd): void {
    const { usage, ...step } = end;
    if (usage !== undefined) this.#usages.push(usage);
    this.#lastReason = end.finishReason;
    this.#stepsEnded++;
    this.say({ verb: "step-finish", ...step, ...(usage === undefined ? {} : { usage }) });
  }

  /** Ends the turn as failed. @param usage of the step that failed, where it is known. */
  protected fail(code: string, message: string, usage?: Usage, finishReason?: FinishReason): void {
    this.say({
      verb: "fail",
      error: { message, code },
      ...(finishReason === undefined ? {} : { finishReason }),
      ...this.#usageField(usage),
    });
    this.#isOver = true;
  }

  #usageField(usage: Usage | undefined): { usage?: Usage } {
    const sum = sumUsage(usage === undefined ? this.#usages : [...this.#usages, usage]);
    return sum === undefined ? {} : { usage: sum };
  }

  /** A tool id for the turn: the provider's, made different where another message used it already. */
  protected claimToolId(wanted: string): string {
    let id = wanted;
    for (let copy = 2; this.#toolIds.has(id); copy++) id = `${wanted}-${copy}`;
    this.#toolIds.add(id);
    return id;
  }

  protected hasTool(toolId: string): boolean {
    return this.#toolIds.has(toolId);
  }
}

/** Message and code of a provider's error, in the shapes that they come in. */
export function providerError(error: unknown): { code: string; message: string } {
  if (!isRecord(error)) {
    return {
      code: "provider-error",
      message: typeof error === "string" ? error : "The provider reported an error.",
    };
  }
  const named = [error["code"], error["type"]].find(
    (code) => (typeof code === "string" && code !== "") || typeof code === "number",
  );
  const message = [error["message"], error["detail"]].find((text) => typeof text === "string" && text !== "");
  return {
    code: named === undefined ? "provider-error" : String(named),
    message: typeof message === "string" ? message : "The provider reported an error without a message.",
  };
}
