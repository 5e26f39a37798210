import { setTimeout as delay } from "node:timers/promises";
import { InvalidInputError, errorCode } from "../errors.ts";
import type { Usage } from "../events/stored-part.ts";
import type { Turn } from "../store/turn.ts";
import { InterruptibleIterator } from "./interruptible-iterator.ts";
import { type RecordProtocol, createStreamReader, detectProtocol } from "./detect-protocol.ts";
import { KindCounts } from "./kind-counts.ts";
import { parseLine } from "./json-line.ts";
import { type StreamLine, streamLines } from "./stream-lines.ts";
import type { StreamReader } from "./stream-reader.ts";
import { type TurnVerb, applyVerb } from "./turn-verb.ts";
import { type FailedCall, type RefusedVerb, VerbCalls, type VerbReports } from "./verb-calls.ts";

export interface RecordProgress {
  /** The line that was recorded just now; not durable yet. */
  line: number;
  chunks: number;
  deltas: number;
  verbs: readonly TurnVerb[];
}

/** How recordLines reads, and whom it tells. */
export interface RecordOptions {
  /** Default: auto, a provider's, told from the first chunk that is known. */
  protocol?: "auto" | RecordProtocol | undefined;
  /** How long to wait between chunks, ms. Default 0. */
  paceMs?: number | undefined;
  /** Called after each chunk. What it throws ends the recording. */
  onProgress?: ((progress: RecordProgress) => void) | undefined;
  /** Protocol turnlog: everything up to this line is durable. Called after each structural verb and flush, in order. */
  onDurable?: ((line: number) => void | Promise<void>) | undefined;
  /** Protocol turnlog: the turn refused a call and goes on without it. */
  onRefused?: ((refused: RefusedVerb) => void | Promise<void>) | undefined;
  /** Ends the turn as aborted. */
  signal?: AbortSignal | undefined;
}

export interface RecordError {
  message: string;
  code?: string | undefined;
  /** The line of the input that it is about. */
  line?: number | undefined;
}

/** What was recorded of an input, and how the turn ended. */
export interface RecordSummary {
  /** Undefined where no chunk told. */
  protocol: RecordProtocol | undefined;
  /** The last line that was read; 0 where there was none. */
  line: number;
  /** JSON values read. */
  chunks: number;
  /** Kinds that were not understood, and how often each came. */
  unknownKinds: Record<string, number>;
  /** Pieces of text, reasoning and tool input. */
  deltas: number;
  toolCalls: number;
  /** Calls that the turn refused, going on without them: protocol turnlog only. */
  refused: number;
  outcome: "finished" | "failed" | "aborted";
  finishReason?: string | undefined;
  usage?: Usage | undefined;
  /** Why it failed, or why it was aborted. */
  error?: RecordError | undefined;
}

/**
 * Records a stream, one JSON chunk a line, as the turn: each chunk as it arrives, then the turn's end. The chunks
 * are a provider's, or verbs of the turn (protocol turnlog, see docs/record-protocol.md).
 * Bad input never throws: the turn ends as failed, and the summary says why and where. It stops reading at a
 * failure. After an abort it does not wait for an input that is silent; the caller closes that.
 *
 * @throws what the turn throws when the log fails (`disk-full`, …) or the turn is lost (`turn-lost`): then nothing
 * is ended. `invalid-pace` before anything is done.
 */
export async function recordLines(
  turn: Turn,
  input: AsyncIterable<Uint8Array | string>,
  options: RecordOptions = {},
): Promise<RecordSummary> {
  const { paceMs = 0 } = options;
  if (!(paceMs >= 0 && paceMs <= 2 ** 31 - 1)) {
    throw new InvalidInputError(
      "invalid-pace",
      `The pace must be a number of milliseconds from 0, not ${paceMs}.`,
    );
  }
  return new Recorder(turn, options).run(input);
}

class Recorder {
  readonly #turn: Turn;
  readonly #options: RecordOptions;
  readonly #summary: Omit<RecordSummary, "outcome" | "unknownKinds">;
  readonly #calls: VerbCalls;
  readonly #undetected = new KindCounts();
  #reader: StreamReader | undefined;
  #outcome: RecordSummary["outcome"] | undefined;

  constructor(turn: Turn, options: RecordOptions) {
    this.#turn = turn;
    this.#options = options;
    const { protocol = "auto" } = options;
    this.#summary = { protocol: undefined, line: 0, chunks: 0, deltas: 0, toolCalls: 0, refused: 0 };
    this.#calls = new VerbCalls(turn, protocol === "turnlog" ? this.#reports() : {});
    if (protocol !== "auto") this.#useProtocol(protocol);
  }

  /** Of a provider's stream a refused call is an error: nobody is there to answer it. */
  #reports(): VerbReports {
    const { onDurable, onRefused } = this.#options;
    return {
      onDurable,
      onRefused: (refused) => {
        this.#summary.refused++;
        return onRefused?.(refused);
      },
    };
  }

  async run(input: AsyncIterable<Uint8Array | string>): Promise<RecordSummary> {
    const { signal } = this.#options;
    const lines = new InterruptibleIterator(streamLines(input), signal);
    try {
      while (this.#outcome === undefined) {
        const line = await this.#next(lines);
        if (line === "interrupted") await this.#abort();
        else if (line instanceof InputFailure) await this.#fail("input-failed", line.message);
        else if (line === undefined) await this.#endOfInput();
        else await this.#recordLine(line);
      }
    } finally {
      await lines.close();
    }
    return this.#toSummary(this.#outcome);
  }

  async #next(
    lines: InterruptibleIterator<StreamLine>,
  ): Promise<StreamLine | "interrupted" | undefined | InputFailure> {
    try {
      return await lines.next();
    } catch (error) {
      return new InputFailure(error);
    }
  }

  async #recordLine(line: StreamLine): Promise<void> {
    if (this.#summary.chunks > 0 && !(await this.#pace())) return this.#abort();
    this.#summary.line = line.number;
    const chunk = parseLine(line);
    if ("code" in chunk) return this.#fail(chunk.code, chunk.message);
    this.#summary.chunks++;
    const verbs = this.#read(chunk.value);
    await this.#applyAll(verbs);
    const { chunks, deltas } = this.#summary;
    this.#options.onProgress?.({ line: line.number, chunks, deltas, verbs });
  }

  /** False where the signal came meanwhile. */
  async #pace(): Promise<boolean> {
    const { paceMs = 0, signal } = this.#options;
    if (paceMs === 0) return true;
    try {
      await delay(paceMs, undefined, signal === undefined ? {} : { signal });
      return true;
    } catch (error) {
      if (signal?.aborted === true) return false;
      throw error;
    }
  }

  #read(chunk: unknown): readonly TurnVerb[] {
    if (this.#reader === undefined) {
      const protocol = detectProtocol(chunk);
      if (protocol === undefined) {
        this.#undetected.add(chunkKind(chunk));
        return [];
      }
      this.#useProtocol(protocol);
    }
    const verbs = this.#reader?.read(chunk, this.#summary.line) ?? [];
    return verbs === "unknown" ? [] : verbs;
  }

  #useProtocol(protocol: RecordProtocol): void {
    this.#summary.protocol = protocol;
    this.#reader = createStreamReader(protocol);
  }

  async #endOfInput(): Promise<void> {
    if (this.#reader !== undefined) return this.#applyAll(this.#reader.end());
    return this.#summary.chunks === 0
      ? this.#fail("stream-ended-early", "The input ended before a message began.")
      : this.#fail(
          "unknown-protocol",
          "No chunk of the input is of a protocol that is known; name the protocol.",
        );
  }

  async #applyAll(verbs: readonly TurnVerb[]): Promise<void> {
    for (const verb of verbs) {
      if (this.#outcome === undefined) await this.#apply(verb);
    }
  }

  async #apply(verb: TurnVerb): Promise<void> {
    switch (verb.verb) {
      case "finish":
      case "fail":
      case "abort":
        return this.#end(verb);
      case "text":
      case "reasoning":
      case "tool-input-delta":
        if (verb.text !== "") this.#summary.deltas++;
        break;
      case "tool-call":
        this.#summary.toolCalls++;
        break;
    }
    await this.#calls.make(verb, this.#summary.line);
    const failed = this.#calls.takeFailure();
    if (failed !== undefined) await this.#failAsTurnDid(failed);
  }

  async #end(verb: Extract<TurnVerb, { verb: "finish" | "fail" | "abort" }>): Promise<void> {
    await this.#calls.settle();
    const failed = this.#calls.takeFailure();
    if (failed !== undefined) return this.#failAsTurnDid(failed);
    await applyVerb(this.#turn, verb);
    if (verb.verb === "finish") this.#outcome = "finished";
    else if (verb.verb === "fail") this.#outcome = "failed";
    else this.#outcome = "aborted";
    if (verb.verb === "abort") {
      if (verb.reason !== undefined) this.#summary.error = { message: verb.reason };
      return;
    }
    this.#summary.finishReason = verb.finishReason;
    this.#summary.usage = verb.usage;
    if (verb.verb === "fail") this.#summary.error = { ...verb.error, line: this.#summary.line };
  }

  /**
   * The turn refused a call for what was in it (`event-too-large`): bad input. Anything else is the log's failure,
   * or the turn is no longer ours.
   */
  async #failAsTurnDid({ error, line }: FailedCall): Promise<void> {
    if (error instanceof InvalidInputError) return this.#fail(error.code, `line ${line}: ${error.message}`);
    if (this.#options.signal?.aborted === true && errorCode(error) === "turn-ended") return this.#abort();
    throw error;
  }

  async #fail(code: string, message: string): Promise<void> {
    await this.#end({ verb: "fail", error: { message, code } });
  }

  async #abort(): Promise<void> {
    const reason: unknown = this.#options.signal?.reason;
    const message = reason instanceof Error ? reason.message : undefined;
    await this.#calls.settle();
    try {
      await this.#turn.abort(message);
    } catch (error) {
      // The same signal may have been given to the turn, which has then aborted itself.
      if (errorCode(error) !== "turn-ended") throw error;
      await this.#turn.flush();
    }
    this.#outcome = "aborted";
    if (message !== undefined) this.#summary.error = { message };
  }

  #toSummary(outcome: RecordSummary["outcome"] | undefined): RecordSummary {
    if (outcome === undefined) throw new Error("the recording ended without an outcome");
    const kinds = new Map(this.#undetected.counts);
    for (const [kind, times] of this.#reader?.unknownKinds ?? [])
      kinds.set(kind, (kinds.get(kind) ?? 0) + times);
    return { ...this.#summary, unknownKinds: Object.fromEntries(kinds), outcome };
  }
}

class InputFailure {
  readonly message: string;

  constructor(error: unknown) {
    this.message = `The input could not be read: ${error instanceof Error ? error.message : String(error)}`;
  }
}

function chunkKind(chunk: unknown): string {
  if (typeof chunk !== "object" || chunk === null) return chunk === null ? "null" : typeof chunk;
  const { type } = chunk as { type?: unknown };
  if (typeof type === "string" && type !== "") return type;
  return Array.isArray(chunk) ? "array" : "chunk without a type";
}
