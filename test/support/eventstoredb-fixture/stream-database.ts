/**
 * What a server keeps, with the semantics that were measured on version 23.10.7: idempotent appends compare ids
 * only, a soft delete keeps the numbering, `$all` shows what streams hide, positions are byte offsets.
 */
export interface StoredEvent {
  readonly id: string;
  readonly type: string;
  readonly contentType: string;
  readonly data: Uint8Array;
  readonly metadata: Uint8Array;
}

export interface StoredRecord extends StoredEvent {
  readonly stream: string;
  readonly revision: number;
  readonly position: number;
  /** In ticks of 100 ns since 1970. */
  readonly created: string;
}

export type Expectation = number | "no-stream" | "stream-exists" | "any";

export type AppendOutcome =
  | { readonly kind: "success"; readonly revision: number; readonly position: number | undefined }
  | { readonly kind: "wrong-version"; readonly current: number }
  | { readonly kind: "deleted" };

export type StreamState = "there" | "not-found" | "deleted";

const RECORD_OVERHEAD = 120;
/** Where a soft delete says that the stream begins: 2^63 - 1, which JavaScript rounds. */
const NOTHING_LEFT = "9223372036854775807";
/** Ids that an append with "any" is compared with. */
const REMEMBERED_IDS = 1_000;

export class StreamDatabase {
  readonly all: StoredRecord[] = [];
  readonly #streams = new Map<string, StoredRecord[]>();
  readonly #tombstones = new Set<string>();
  readonly #recentIds = new Map<string, StoredRecord>();
  readonly #listeners = new Set<() => void>();
  readonly #clockAheadMs: number;
  #end = 1_024;

  constructor(clockAheadMs = 0) {
    this.#clockAheadMs = clockAheadMs;
  }

  append(stream: string, events: readonly StoredEvent[], expected: Expectation): AppendOutcome {
    if (this.#tombstones.has(stream)) return { kind: "deleted" };
    const records = this.#streams.get(stream) ?? [];
    const current = records.length - 1;
    const first = expected === "no-stream" ? 0 : typeof expected === "number" ? expected + 1 : undefined;
    const isSoftDeleted = this.state(stream) === "not-found" && current >= 0;
    if (first === undefined) {
      if (expected === "stream-exists" && (current < 0 || isSoftDeleted))
        return { kind: "wrong-version", current };
      const earlier = events.map(({ id }) => this.#recentIds.get(id));
      if (events.length > 0 && earlier.every((record) => record?.stream === stream)) {
        return this.#idempotent(stream, earlier.at(-1)?.revision ?? 0);
      }
    } else if (first - 1 < current) {
      const known = records.slice(first, first + events.length);
      const isRetry =
        known.length === events.length && known.every(({ id }, index) => id === events[index]?.id);
      if (isRetry && events.length > 0) return this.#idempotent(stream, first + events.length - 1);
      if (!(expected === "no-stream" && isSoftDeleted)) return { kind: "wrong-version", current };
    } else if (first - 1 > current) {
      return { kind: "wrong-version", current };
    }
    if (isSoftDeleted) this.#setMetadata(stream, { $tb: current + 1 });
    return this.#write(stream, records, events);
  }

  /** Revisions that a read of the stream shows. */
  read(stream: string): readonly StoredRecord[] {
    const records = this.#streams.get(stream) ?? [];
    const { $tb = 0, $maxCount = Infinity } = this.#metadata(stream);
    const oldest = Math.max($tb, records.length - $maxCount);
    return oldest <= 0 ? records : records.slice(oldest);
  }

  state(stream: string): StreamState {
    if (this.#tombstones.has(stream)) return "deleted";
    const isGone = (this.#metadata(stream).$tb ?? 0) >= Number(NOTHING_LEFT);
    return this.#streams.has(stream) && !isGone ? "there" : "not-found";
  }

  /** Of the newest event, -1 where there is none; deleted streams count on. */
  newestRevision(stream: string): number {
    return (this.#streams.get(stream)?.length ?? 0) - 1;
  }

  softDelete(stream: string): void {
    this.#setMetadata(stream, { $tb: Number(NOTHING_LEFT) });
  }

  tombstone(stream: string): void {
    this.#tombstones.add(stream);
  }

  /** Index of the first record at or after a position; undefined where no record begins there. */
  indexOf(position: number): number | undefined {
    const last = this.all.at(-1)?.position ?? -1;
    if (position > last) return this.all.length;
    let low = 0;
    let high = this.all.length;
    while (low < high) {
      const middle = (low + high) >>> 1;
      if ((this.all[middle]?.position ?? Infinity) >= position) high = middle;
      else low = middle + 1;
    }
    return this.all[low]?.position === position ? low : undefined;
  }

  /** @returns what ends it */
  onAppended(listener: () => void): () => void {
    this.#listeners.add(listener);
    return () => void this.#listeners.delete(listener);
  }

  #idempotent(stream: string, revision: number): AppendOutcome {
    const record = this.#streams.get(stream)?.[revision];
    const isLeft = record !== undefined && this.read(stream).includes(record);
    return { kind: "success", revision, position: isLeft ? record.position : undefined };
  }

  #write(stream: string, records: StoredRecord[], events: readonly StoredEvent[]): AppendOutcome {
    const created = String(BigInt(Date.now() + this.#clockAheadMs) * 10_000n);
    for (const event of events) {
      const record = { ...event, stream, revision: records.length, position: this.#end, created };
      this.#end += RECORD_OVERHEAD + event.data.length + event.metadata.length;
      records.push(record);
      this.all.push(record);
      this.#recentIds.set(event.id, record);
    }
    for (const id of this.#recentIds.keys()) {
      if (this.#recentIds.size <= REMEMBERED_IDS) break;
      this.#recentIds.delete(id);
    }
    this.#streams.set(stream, records);
    const last = records.at(-1);
    for (const listener of this.#listeners) listener();
    // An empty append "succeeds" and makes nothing.
    return { kind: "success", revision: last?.revision ?? 0, position: last?.position };
  }

  #metadata(stream: string): { $tb?: number; $maxCount?: number } {
    const newest = stream.startsWith("$$") ? undefined : this.#streams.get(`$$${stream}`)?.at(-1);
    if (newest === undefined) return {};
    return JSON.parse(Buffer.from(newest.data).toString("utf8")) as { $tb?: number; $maxCount?: number };
  }

  #setMetadata(stream: string, changes: object): void {
    const metastream = `$$${stream}`;
    const data = Buffer.from(JSON.stringify({ ...this.#metadata(stream), ...changes }));
    const event = { id: crypto.randomUUID(), type: "$metadata", contentType: "application/json" };
    this.append(metastream, [{ ...event, data, metadata: Buffer.alloc(0) }], "any");
  }
}
