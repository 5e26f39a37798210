import { contentChecksum } from "../events/content-checksum.ts";
import type { Cause, Splice } from "../events/conversation-event.ts";
import { SplicedText } from "../events/text-splice.ts";
import { LONGEST_EVENT, PendingDeltas } from "./pending-deltas.ts";
import { TurnParts } from "./turn-parts.ts";
import type { TimedDraft } from "./writer.ts";

/** An event of a turn, with what it takes on its way. */
export interface UpdateDraft {
  readonly draft: TimedDraft;
  /** UTF-16 units of its text. */
  readonly units: number;
  /** Most bytes that its text takes in JSON. */
  readonly bytes: number;
}

/** The parts of a turn, the deltas of the open window, and the content as far as it has been made into events. */
export class TurnContent {
  readonly parts: TurnParts;
  readonly #turnId: string;
  readonly #messageId: number;
  /** JSON of the parts, without what is pending. */
  readonly #content = new SplicedText("[]");
  readonly #pending = new PendingDeltas();

  constructor(turnId: string, messageId: number) {
    this.#turnId = turnId;
    this.#messageId = messageId;
    this.parts = new TurnParts(turnId);
  }

  /** The window is to be closed, for what it holds. */
  get isFull(): boolean {
    return this.#pending.isFull;
  }

  /** More text for the part that is growing, the short way; false where it is not so simple, and nothing was done. */
  extend(kind: "text" | "reasoning", text: string): boolean {
    const ins = this.parts.extend(kind, text);
    if (ins === undefined) return false;
    this.#pending.insert(this.parts.insertedAt, ins, Date.now());
    return true;
  }

  /** A change of the parts that waits for the end of the window. Returns what has to go before it. */
  addDelta(splice: Splice): UpdateDraft | undefined {
    // A giant goes alone, or no append could hold it.
    const before = splice[2].length >= LONGEST_EVENT ? this.takeDeltas() : undefined;
    this.#pending.add(splice, Date.now());
    return before;
  }

  /** What is pending, as one event. */
  takeDeltas(): UpdateDraft | undefined {
    const deltas = this.#pending.take();
    if (deltas === undefined) return undefined;
    const { time, splices, marks } = deltas;
    return this.update("delta", splices, time, marks === undefined ? {} : { marks });
  }

  /** Changes of the parts, as an event. Nothing may be pending. */
  update(
    cause: Cause,
    splices: Splice[],
    time: number,
    extra: { marks?: [number, number][] } = {},
  ): UpdateDraft {
    let units = 0;
    for (const [at, del, ins] of splices) {
      this.#content.splice(at, del, ins);
      units += ins.length;
    }
    const data = { messageId: this.#messageId, content: splices, length: this.#content.length, ...extra };
    const bytes = units * 6 + splices.length * 32 + (extra.marks?.length ?? 0) * 32;
    const draft: TimedDraft = { type: "BranchesUpdated", data, cause, turnId: this.#turnId, time };
    return { draft, units, bytes };
  }

  /** Of what has been made into events. */
  checksum(): ReturnType<typeof contentChecksum> {
    return contentChecksum(this.#content.toString());
  }
}
