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

/** UTF-16 units of text that wait as they came. Few beside an event's: how long they are in JSON is not known yet. */
const MOST_NEW_UNITS = 1024;

/** The parts of a turn, the deltas of the open window, and the content as far as it has been made into events. */
export class TurnContent {
  readonly #turnId: string;
  readonly #messageId: number;
  readonly #parts: TurnParts;
  /** JSON of the parts, without what is pending. */
  readonly #content = new SplicedText("[]");
  readonly #pending = new PendingDeltas();
  /**
   * Deltas of the part that is growing, as they came, and when: of a thousand turns each delta finds another turn's
   * state in no cache of the processor, so it touches no more of it than it must, and a window's are put in together.
   */
  readonly #newTexts: string[] = [];
  readonly #newTimes: number[] = [];
  /** The arrays are filled anew each time: what lies behind is old. */
  #newCount = 0;
  #newUnits = 0;
  /** Undefined where none have come. */
  #newKind: "text" | "reasoning" | undefined;

  constructor(turnId: string, messageId: number) {
    this.#turnId = turnId;
    this.#messageId = messageId;
    this.#parts = new TurnParts(turnId);
  }

  /** The parts as all deltas so far have made them. */
  get parts(): TurnParts {
    this.#putIn();
    return this.#parts;
  }

  /** The window is to be closed, for what it holds. */
  get isFull(): boolean {
    return this.#pending.isFull;
  }

  /** More text for the part that is growing, not empty; false where no such part is, and nothing was done. */
  extend(kind: "text" | "reasoning", text: string): boolean {
    if (kind !== this.#newKind) {
      if (kind !== this.parts.growing) return false;
      this.#newKind = kind;
    }
    this.#newTexts[this.#newCount] = text;
    this.#newTimes[this.#newCount] = Date.now();
    this.#newCount += 1;
    this.#newUnits += text.length;
    if (this.#newUnits >= MOST_NEW_UNITS) this.#putIn();
    return true;
  }

  /** Puts the new deltas into the parts, and into what is pending. */
  #putIn(): void {
    const [kind, count] = [this.#newKind, this.#newCount];
    if (kind === undefined) return;
    this.#newKind = undefined;
    this.#newCount = this.#newUnits = 0;
    for (let index = 0; index < count; index++) {
      const text = this.#newTexts[index] ?? "";
      const time = this.#newTimes[index] ?? 0;
      const ins = this.#parts.extend(text);
      if (ins !== undefined) this.#pending.insert(this.#parts.insertedAt, ins, time);
      else
        for (const splice of this.#parts.write(this.#parts.target(kind, undefined), text, undefined))
          this.#pending.add(splice, time);
    }
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
    this.#putIn();
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
