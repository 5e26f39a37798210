import { randomBytes } from "node:crypto";
import { readFileSync, readlinkSync } from "node:fs";
import { hostname } from "node:os";
import { type EncodedEvent, eventCodec } from "../events/event-codec.ts";
import { type EventDraft, type WriterDescription, writerStream } from "../events/conversation-event.ts";
import type { EventLog } from "../log/event-log.ts";

export const LIBRARY = "turnlog 0.1.0";

export interface WriterOptions {
  /** What to call this writer in forensics: the name of the service, say. */
  label?: string | undefined;
  /** Interval of its heartbeats while a turn is open, ms. */
  heartbeatMs: number;
}

/** A draft with the moment it was made, where that is not the moment it is encoded. */
export type TimedDraft = EventDraft & { time?: number };

/**
 * One opened store that appends. It names itself in the log before its first event, gives every event a UUIDv8
 * (its own random prefix and a counter, so that runs of ids pack to almost nothing) and counts its events
 * without holes.
 */
export class Writer {
  /** 20 hexadecimal digits: the prefix of the ids of its events without the dashes. */
  readonly id: string;
  readonly #idPrefix: string;
  readonly #log: EventLog;
  readonly #options: WriterOptions;
  #nextEvent = 0;
  #nextCount = 0;
  /** Counts of events that the log refused: the next events take them, so that a hole always proves a loss. */
  readonly #returnedCounts: number[] = [];
  #revision = -1;
  #started: Promise<void> | undefined;

  constructor(log: EventLog, options: WriterOptions) {
    this.#log = log;
    this.#options = options;
    this.#idPrefix = randomUuidV8Prefix();
    this.id = this.#idPrefix.replaceAll("-", "");
  }

  get hasStarted(): boolean {
    return this.#started !== undefined;
  }

  /** Appends WriterStarted, once; every other append waits for it. */
  start(): Promise<void> {
    this.#started ??= this.#appendOwn({ type: "WriterStarted", data: this.#describe() }).catch((error) => {
      this.#started = undefined; // The next append tries again.
      throw error;
    });
    return this.#started;
  }

  /** Says that this writer will append no more. Does nothing where it never appended. */
  async stop(): Promise<void> {
    if (this.#started === undefined) return;
    await this.#started;
    await this.#appendOwn({ type: "WriterStopped", data: {} }, true);
  }

  encode(drafts: readonly TimedDraft[]): EncodedEvent[] {
    const now = Date.now();
    return drafts.map((draft) =>
      eventCodec.encode(draft, {
        id: this.#idPrefix + (this.#nextEvent++).toString(16).padStart(12, "0"),
        writer: this.id,
        n: this.#returnedCounts.shift() ?? this.#nextCount++,
        time: draft.time ?? now,
      }),
    );
  }

  /** Takes back the counts of events that were certainly not appended. */
  takeBack(events: readonly EncodedEvent[]): void {
    for (const event of events) this.#returnedCounts.push((event.metadata as { n: number }).n);
    this.#returnedCounts.sort((a, b) => a - b);
  }

  async #appendOwn(draft: EventDraft, seal = false): Promise<void> {
    const result = await this.#log.append(
      writerStream(this.id),
      this.encode([draft]),
      this.#revision === -1 ? "no-stream" : this.#revision,
      { seal },
    );
    if (result.ok) this.#revision = result.revision;
  }

  #describe(): WriterDescription {
    return {
      host: hostname(),
      ...processFacts(),
      pid: process.pid,
      heartbeatMs: this.#options.heartbeatMs,
      library: LIBRARY,
      ...(this.#options.label === undefined ? {} : { label: this.#options.label }),
    };
  }
}

/** The first 24 characters of a UUID of version 8 (RFC 9562): 74 random bits. */
function randomUuidV8Prefix(): string {
  const hex = randomBytes(10).toString("hex");
  const variant = "89ab"[Number.parseInt(hex.charAt(16), 16) & 3];
  return `${hex.slice(0, 8)}-${hex.slice(8, 12)}-8${hex.slice(13, 16)}-${variant}${hex.slice(17, 20)}-`;
}

/** What tells this process from another that gets the same pid: Linux only, elsewhere absent. */
function processFacts(): Pick<WriterDescription, "bootId" | "pidStart" | "pidNamespace"> {
  const facts: Pick<WriterDescription, "bootId" | "pidStart" | "pidNamespace"> = {};
  if (process.platform !== "linux") return facts;
  const bootId = attempt(() => readFileSync("/proc/sys/kernel/random/boot_id", "utf8").trim());
  const pidStart = attempt(() => processStart(process.pid));
  const pidNamespace = attempt(() => readlinkSync("/proc/self/ns/pid"));
  if (bootId !== undefined) facts.bootId = bootId;
  if (pidStart !== undefined) facts.pidStart = pidStart;
  if (pidNamespace !== undefined) facts.pidNamespace = pidNamespace;
  return facts;
}

/** Start time of a process in clock ticks since boot: field 22 of /proc/PID/stat, see proc(5). */
export function processStart(pid: number): string | undefined {
  const stat = readFileSync(`/proc/${pid}/stat`, "utf8");
  // The second field, the command in parentheses, may itself hold spaces and parentheses.
  return stat
    .slice(stat.lastIndexOf(")") + 2)
    .split(" ")
    .at(19);
}

/** A fact that this system does not tell (a hardened /proc) is left out. */
function attempt<T>(read: () => T): T | undefined {
  try {
    return read();
  } catch {
    return undefined;
  }
}
