import { type TurnlogError, errorCode } from "../errors.ts";
import type { Outcome } from "../events/conversation-event.ts";
import type { Turn } from "../store/turn.ts";
import type { AIStreamPart } from "./ai-stream-part.ts";
import { AIStreamRecorder, type RecordedStream, messageOf } from "./ai-stream-recorder.ts";
import { TurnToolCalls } from "./turn-tool-calls.ts";

/** How recordStream ends. */
export interface RecordStreamOptions {
  /**
   * Whether a stream that ran to its end ends the turn. Default true. With false the turn stays open for the next
   * stream: after a tool approval, or in a runtime that calls the model step by step. Errors and aborts always
   * end it.
   */
  endTurn?: boolean | undefined;
}

/**
 * Records `streamText(…).fullStream` of the Vercel AI SDK as the turn, part by part as it arrives, then the turn's
 * end. A stream that fails does not throw: an error part, an iterator that throws, and a stream that stops before
 * its finish (`stream-ended-early`) end the turn as failed, an abort as aborted, and the result says so.
 *
 * A call of a local tool is recorded as started when the stream brings it: the stream does not tell when the SDK
 * runs it, and a tool that may have run must not be taken for one that has not. Tools wrapped by `recordedTools`
 * record their start themselves, exactly. Preliminary results are not kept: after a crash one would be taken for
 * the outcome.
 *
 * @throws what the turn throws when the log fails (`disk-full`, …) or the turn is lost (`turn-lost`), and for a part
 * that cannot be recorded (`event-too-large`); the turn is failed then, where that is possible, and the stream
 * cancelled. A turn that was ended by someone else, by its signal for one, is no error.
 */
export async function recordStream(
  turn: Turn,
  fullStream: AsyncIterable<{ readonly type: string }>,
  options: RecordStreamOptions = {},
): Promise<RecordedStream> {
  const recorder = new AIStreamRecorder(turn);
  const calls = TurnToolCalls.of(turn);
  let failure: { error: unknown } | undefined;
  calls.streamBegins();
  try {
    for await (const part of fullStream) {
      try {
        await recorder.read(part as AIStreamPart);
      } catch (error) {
        failure = { error };
        break; // Which cancels the stream.
      }
    }
  } catch (error) {
    recorder.streamFailed(error);
  } finally {
    calls.streamEnds();
  }
  try {
    if (failure !== undefined) throw failure.error;
    return await recorder.end(options.endTurn ?? true);
  } catch (error) {
    const outcome = endedElsewhere(error);
    if (outcome !== undefined) return recorder.result(outcome);
    // Best effort: where the log fails or the turn is lost, this fails too, and the first error is the one to tell.
    await turn.fail(toError(error)).catch(() => undefined);
    throw error;
  }
}

function endedElsewhere(error: unknown): Outcome | undefined {
  if (errorCode(error) !== "turn-ended") return undefined;
  return (error as TurnlogError).details["outcome"] as Outcome | undefined;
}

const toError = (error: unknown): Error => (error instanceof Error ? error : new Error(messageOf(error)));

export type { PendingApproval, RecordedStream } from "./ai-stream-recorder.ts";
