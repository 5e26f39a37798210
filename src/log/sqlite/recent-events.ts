import type { StoredEvent } from "./stored-rows.ts";

const MOST_EVENTS = 8_192;
/** Of events, roughly. A commit that is larger is kept alone. */
const MOST_BYTES = 4_194_304;

interface RecentCommit {
  readonly events: readonly StoredEvent[];
  readonly bytes: number;
}

/**
 * The newest commits of this process, without a gap: who follows the log beside its writer need not decode what has
 * just been encoded.
 */
export class RecentEvents {
  #commits: RecentCommit[] = [];
  #events = 0;
  #bytes = 0;

  /** Takes in a commit's events, at least one, in order of position. `bytes`: their size, roughly. */
  add(events: readonly StoredEvent[], bytes: number): void {
    const newest = this.#commits.at(-1)?.events.at(-1);
    // Another process has committed in between.
    if (newest !== undefined && events[0]?.position !== newest.position + 1) this.clear();
    this.#commits.push({ events, bytes });
    this.#events += events.length;
    this.#bytes += bytes;
    while (this.#commits.length > 1 && (this.#events > MOST_EVENTS || this.#bytes > MOST_BYTES)) {
      const oldest = this.#commits.shift();
      this.#events -= oldest?.events.length ?? 0;
      this.#bytes -= oldest?.bytes ?? 0;
    }
  }

  clear(): void {
    this.#commits = [];
    this.#events = 0;
    this.#bytes = 0;
  }

  /** At most `most` events from a position on; undefined where the event there is not among them. */
  from(position: number, most: number): StoredEvent[] | undefined {
    const start = this.#commits.findLastIndex(({ events }) => (events[0]?.position ?? Infinity) <= position);
    if (start === -1) return undefined;
    const found: StoredEvent[] = [];
    for (let index = start; index < this.#commits.length && found.length < most; index++) {
      for (const event of this.#commits[index]?.events ?? [])
        if (event.position >= position && found.length < most) found.push(event);
    }
    return found.length === 0 ? undefined : found;
  }
}
