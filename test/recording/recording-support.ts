import { readFileSync } from "node:fs";
import { fileURLToPath } from "node:url";
import type { StoredPart } from "../../src/events/stored-part.ts";
import { type RecordOptions, type RecordSummary, recordLines } from "../../src/recording/record-stream.ts";
import type { StreamReader } from "../../src/recording/stream-reader.ts";
import type { TurnVerb } from "../../src/recording/turn-verb.ts";
import type { Turn } from "../../src/store/turn.ts";
import type { StoredMessage } from "../../src/projections/stored-message.ts";
import { withStore } from "../support/memory-store.ts";

export function readSample(name: string): string {
  return readFileSync(fileURLToPath(new URL(`../samples/${name}`, import.meta.url)), "utf8");
}

export function readDemo(name: string): string {
  return readFileSync(fileURLToPath(new URL(`../../demo/${name}`, import.meta.url)), "utf8");
}

/** The input as a program would get it: bytes, cut without regard to lines and characters. */
export async function* inPieces(text: string, size = 97): AsyncGenerator<Uint8Array> {
  const bytes = Buffer.from(text, "utf8");
  for (let at = 0; at < bytes.length; at += size) yield bytes.subarray(at, at + size);
}

export function jsonLines(...chunks: readonly unknown[]): string {
  return chunks.map((chunk) => `${JSON.stringify(chunk)}\n`).join("");
}

export interface Recorded {
  summary: RecordSummary;
  message: StoredMessage;
  parts: StoredPart[];
}

/** Records the input as a turn of a real store in memory and reads the message back. */
export async function record(
  input: string | AsyncIterable<Uint8Array | string>,
  options?: RecordOptions,
): Promise<Recorded> {
  return withStore(async (store) => {
    const turn = await store.beginTurn("s");
    const summary = await recordLines(turn, typeof input === "string" ? inPieces(input) : input, options);
    const [message] = await store.listMessages("s");
    if (message === undefined) throw new Error("the turn left no message");
    return { summary, message, parts: message.parts };
  });
}

/** The verbs of the chunks, and of the input's end. */
export function verbsOf(reader: StreamReader, ...chunks: readonly unknown[]): TurnVerb[] {
  const verbs = chunks.flatMap((chunk) => {
    const read = reader.read(chunk);
    return read === "unknown" ? [] : read;
  });
  return [...verbs, ...reader.end()];
}

/** The joined text of one kind of parts. */
export function joined(parts: readonly StoredPart[], kind: "text" | "reasoning"): string {
  return parts.flatMap((part) => (part.kind === kind ? [String(part["text" as never])] : [])).join("");
}

/** The parts without what depends on the clock, which must be there where a tool ran and nowhere else. */
export function withoutTimes(parts: readonly StoredPart[]): unknown[] {
  return parts.map((part) => {
    const { started_at, duration_ms, ...rest } = part as Record<string, unknown>;
    return started_at === undefined && duration_ms === undefined
      ? rest
      : { ...rest, ran: typeof started_at === "number" && typeof duration_ms === "number" };
  });
}

/** A chunk of a chat message. */
export function chatChunk(text: string, finish_reason: string | null = null): object {
  return { id: "c1", choices: [{ index: 0, delta: { content: text }, finish_reason }] };
}

/** A turn whose calls all succeed, but for those given; with the names of the calls that were made. */
export function fakeTurn(methods: Partial<Turn> = {}): { turn: Turn; calls: string[] } {
  const calls: string[] = [];
  const turn = new Proxy(methods as Turn, {
    get:
      (target, name: keyof Turn) =>
      (...args: never[]) => {
        calls.push(name);
        const method = target[name] as ((...args: never[]) => Promise<void>) | undefined;
        return method?.(...args) ?? Promise.resolve();
      },
  });
  return { turn, calls };
}
