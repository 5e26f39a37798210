import { StateError, TurnlogError } from "../errors.ts";
import type { EventLog, NewEvent } from "../log/event-log.ts";

/** Events that wait to be appended together. */
const MOST_EVENTS = 1_000;
/** UTF-16 units of their JSON. */
const MOST_UNITS = 1_048_576;
/** Events of one append. */
const MOST_EVENTS_IN_RUN = 256;
/** An append's share of the log's limit: units of JSON are not bytes, and an escaped one takes six. */
const LIMIT_SHARE = 1 / 6;

interface Run {
  readonly stream: string;
  readonly events: NewEvent[];
  /** Newest revision before it, -1 for none. */
  readonly after: number;
  units: number;
}

/** Ends of things: no more small events follow soon. */
const SEALING: ReadonlySet<string> = new Set(["TurnEnded", "WriterStopped"]);

/**
 * Appends events of any streams in the order in which they come, many at a time. On an engine that commits
 * concurrently, streams may overtake each other within a batch; the newest event of a batch is appended last.
 */
export class TransferBatch {
  readonly #log: EventLog;
  readonly #mostUnitsInRun: number;
  #runs: Run[] = [];
  #events = 0;
  #units = 0;
  /** Events that are in the log by now: by this, and from before. */
  readonly counts = { appended: 0, alreadyThere: 0 };

  constructor(log: EventLog) {
    this.#log = log;
    this.#mostUnitsInRun = Math.floor(log.limits.maxAppendBytes * LIMIT_SHARE);
  }

  /** @param after newest revision of the stream before the event, -1 for none */
  async add(stream: string, event: NewEvent, after: number): Promise<void> {
    const units = JSON.stringify(event.data).length + JSON.stringify(event.metadata).length;
    let run = this.#runs.at(-1);
    const fits =
      run?.stream === stream &&
      run.events.length < MOST_EVENTS_IN_RUN &&
      run.units + units <= this.#mostUnitsInRun;
    if (run === undefined || !fits) {
      run = { stream, events: [], after, units: 0 };
      this.#runs.push(run);
    }
    run.events.push(event);
    run.units += units;
    this.#events += 1;
    this.#units += units;
    if (this.#events >= MOST_EVENTS || this.#units >= MOST_UNITS) await this.flush();
  }

  /** Resolves when all that was added is in the log, safe from a loss of power. @throws {StateError} `target-changed` */
  async flush(): Promise<void> {
    const runs = this.#runs;
    const last = runs.pop();
    this.#runs = [];
    this.#events = 0;
    this.#units = 0;
    if (last === undefined) return;
    const appended = await Promise.allSettled(runs.map((run) => this.#append(run)));
    const failed = appended.find((result) => result.status === "rejected");
    if (failed !== undefined) throw failed.reason;
    await this.#append(last);
  }

  async #append({ stream, events, after }: Run): Promise<void> {
    const expected = after === -1 ? "no-stream" : after;
    const seal = SEALING.has(events.at(-1)?.type ?? "");
    try {
      const result = await this.#log.append(stream, events, expected, { durability: "power", seal });
      if (!result.ok) throw targetChanged(stream);
    } catch (error) {
      if (TurnlogError.isInstance(error) && error.code === "event-too-large") throw tooLarge(stream, error);
      throw error;
    }
    this.counts.appended += events.length;
  }
}

/** Nobody has used it wrongly: the source takes larger events than the target. */
function tooLarge(stream: string, cause: TurnlogError): StateError {
  return new StateError(
    "event-too-large",
    `An event of stream ${JSON.stringify(stream)} is larger than the target takes: ${cause.message} What was copied before is complete.`,
    { cause, details: { stream } },
  );
}

function targetChanged(stream: string): StateError {
  return new StateError(
    "target-changed",
    `Somebody else has written stream "${stream}" of the target meanwhile. What was copied before is complete; run it again to go on.`,
    { details: { stream } },
  );
}
