import { type WriterDescription, writerStream } from "../events/conversation-event.ts";
import { eventCodec } from "../events/event-codec.ts";
import type { EventLog } from "../log/event-log.ts";
import { type ProcessFacts, ownProcessFacts, processStart } from "./process-facts.ts";

/**
 * Whether the writer of a turn still lives.
 *
 * Dead: it said that it stopped; or it ran under this kernel (same boot id and pid namespace) and there is no
 * process of its pid and start time any more; or it runs elsewhere and no newer heartbeat was seen for three
 * intervals by this reader's own clock. Alive: its process is found, or a newer heartbeat was seen. Unknown:
 * anything else, such as a process that is there and has been silent too long.
 */
export type WriterVerdict = "alive" | "dead" | "unknown";

/** A writer, and whether it lives. */
export interface WriterStatus {
  id: string;
  verdict: WriterVerdict;
  /** Where it runs or ran; absent when its stream is gone. */
  description?: WriterDescription;
  /** Epoch ms of the newest sign of life in its own stream. */
  lastSeen?: number;
}

/** Silent intervals after which a writer counts as gone. */
const SILENT_INTERVALS = 3;

interface Sighting {
  revision: number;
  /** Monotonic ms at which this reader first saw that revision. */
  seenAt: number;
  /** A newer heartbeat came after the first look. */
  hasBeaten: boolean;
}

export interface LivenessOptions {
  /** The process that judges. Default: this one. */
  own?: ProcessFacts;
  /** Monotonic ms. */
  now?: () => number;
}

/** Judges writers. Keep one for as long as you watch: what is elsewhere can only be judged by its silence over time. */
export class WriterLiveness {
  readonly #log: EventLog;
  readonly #own: ProcessFacts;
  readonly #now: () => number;
  readonly #ownWriter: string | undefined;
  readonly #sightings = new Map<string, Sighting>();

  /** @param ownWriter id of the caller's own writer, which lives as long as it asks. */
  constructor(log: EventLog, ownWriter?: string, options: LivenessOptions = {}) {
    this.#log = log;
    this.#ownWriter = ownWriter;
    this.#own = options.own ?? ownProcessFacts();
    this.#now = options.now ?? (() => performance.now());
  }

  async judge(writer: string): Promise<WriterStatus> {
    const seen = await this.#newestSign(writer);
    if (seen === undefined) return { id: writer, verdict: writer === this.#ownWriter ? "alive" : "unknown" };
    const { description, lastSeen, revision, hasStopped } = seen;
    const status = { id: writer, description, lastSeen };
    if (hasStopped) return { ...status, verdict: "dead" };
    if (writer === this.#ownWriter) return { ...status, verdict: "alive" };
    const silenceMs = description.heartbeatMs * SILENT_INTERVALS;
    if (ranHere(description, this.#own)) {
      if (processStart(description.pid) !== description.pidStart) return { ...status, verdict: "dead" };
      // The same machine, so the same clock: a process that should beat and does not may hang for good, or be stopped.
      return { ...status, verdict: Date.now() - lastSeen > silenceMs ? "unknown" : "alive" };
    }
    return { ...status, verdict: this.#judgeBySilence(writer, revision, silenceMs) };
  }

  #judgeBySilence(writer: string, revision: number, silenceMs: number): WriterVerdict {
    const now = this.#now();
    const before = this.#sightings.get(writer);
    if (before === undefined || before.revision < revision) {
      this.#sightings.set(writer, { revision, seenAt: now, hasBeaten: before !== undefined });
      return before === undefined ? "unknown" : "alive";
    }
    if (now - before.seenAt >= silenceMs) return "dead";
    return before.hasBeaten ? "alive" : "unknown";
  }

  async #newestSign(
    writer: string,
  ): Promise<
    { description: WriterDescription; lastSeen: number; revision: number; hasStopped: boolean } | undefined
  > {
    let hasStopped = false;
    let newest: { revision: number; lastSeen: number } | undefined;
    for await (const recorded of this.#log.readStream(writerStream(writer), {
      direction: "backwards",
      limit: 2,
    })) {
      const event = eventCodec.decode(recorded);
      if (event === undefined) continue;
      newest ??= { revision: event.revision, lastSeen: event.metadata.time };
      if (event.type === "WriterStopped") hasStopped = true;
      if (event.type === "WriterStarted" || event.type === "WriterHeartbeat") {
        return { description: event.data, ...newest, hasStopped };
      }
    }
    return undefined;
  }
}

/** True where a process of its pid and start time can be looked for: the same boot and pid namespace. */
export function ranHere(description: WriterDescription, own: ProcessFacts): boolean {
  const { bootId, pidNamespace } = own;
  return (
    bootId !== undefined &&
    pidNamespace !== undefined &&
    description.pidStart !== undefined &&
    description.bootId === bootId &&
    description.pidNamespace === pidNamespace
  );
}
