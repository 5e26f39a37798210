import { StoreError } from "../../errors.ts";
import type { AppendResult } from "../event-log.ts";
import { type ExpectedRevision, matchesExpectedRevision, retryRevision } from "../expected-revision.ts";
import type { CommittedState } from "./committed-state.ts";
import type { FlatEvent } from "./event-shape.ts";
import { PACKED_AT_EVENTS, type Packer } from "./packing.ts";
import { type StoredEvent, encodeHotRow } from "./stored-rows.ts";
import { positionOfRetry } from "./stream-pages.ts";

/** An append as it was called for; the events are a snapshot. */
export interface AppendRequest {
  readonly stream: string;
  readonly events: readonly FlatEvent[];
  readonly expectedRevision: ExpectedRevision;
  readonly seal: boolean;
}

/** What became of one append of a commit. */
export interface AppendOutcome {
  /** Undefined where it failed. */
  readonly result: AppendResult | undefined;
  readonly error: unknown;
}

/**
 * All appends of one commit: each is judged by what was committed and by those before it, then all are written as
 * one hot row. Streams that are due are packed on the way, their new events without ever being hot.
 */
export class AppendCommit {
  readonly #state: CommittedState;
  readonly #packer: Packer;
  readonly #recordedAt: number;
  readonly #events: StoredEvent[] = [];
  /** This commit's events of each stream. */
  readonly #streams = new Map<string, StoredEvent[]>();
  readonly #sealed = new Set<string>();

  constructor(state: CommittedState, packer: Packer) {
    this.#state = state;
    this.#packer = packer;
    // The clock may be set back; the order of the log may not.
    this.#recordedAt = Math.max(Date.now(), state.recordedAt);
  }

  add(request: AppendRequest): AppendOutcome {
    try {
      return { result: this.#evaluate(request), error: undefined };
    } catch (error) {
      // What this stream holds cannot be read: no reason to fail the others.
      return { result: undefined, error };
    }
  }

  #evaluate({ stream, events, expectedRevision, seal }: AppendRequest): AppendResult {
    const staged = this.#streams.get(stream);
    const head = staged?.at(-1)?.revision ?? this.#state.head(stream);
    if (!matchesExpectedRevision(expectedRevision, head)) {
      return this.#findRetry(stream, events, expectedRevision, head) ?? { ok: false, actualRevision: head };
    }
    checkNumbers(
      stream,
      head + events.length,
      this.#state.highestPosition + this.#events.length + events.length,
    );
    const streamEvents = staged ?? [];
    if (staged === undefined) this.#streams.set(stream, streamEvents);
    let revision = head;
    let position = this.#state.highestPosition + this.#events.length;
    for (const flat of events) {
      revision += 1;
      position += 1;
      const event = { stream, revision, position, recordedAt: this.#recordedAt, flat };
      this.#events.push(event);
      streamEvents.push(event);
    }
    if (seal) this.#sealed.add(stream);
    return { ok: true, revision, position };
  }

  /** An identical batch at the revision that this one would have had. It may span what is stored and this commit. */
  #findRetry(
    stream: string,
    events: readonly FlatEvent[],
    expectedRevision: ExpectedRevision,
    head: number,
  ): AppendResult | undefined {
    const first = retryRevision(expectedRevision);
    if (first === undefined || first + events.length - 1 > head) return undefined;
    const staged = this.#streams.get(stream) ?? [];
    const firstStaged = staged[0]?.revision ?? head + 1;
    const last = first + events.length - 1;
    const stored = events.slice(0, Math.max(0, firstStaged - first));
    const storedPosition =
      stored.length === 0
        ? -1
        : positionOfRetry(
            this.#state,
            stream,
            first,
            stored.map((event) => event.id),
          );
    if (storedPosition === undefined) return undefined;
    let position = storedPosition;
    for (const [index, event] of events.slice(stored.length).entries()) {
      const found = staged[first + stored.length + index - firstStaged];
      if (found?.flat.id !== event.id) return undefined;
      position = found.position;
    }
    return { ok: true, revision: last, position };
  }

  /**
   * Writes what was added. The committed state is ahead of the tables until the transaction commits.
   * @returns roughly how many bytes of events were written.
   */
  write(): number {
    if (this.#events.length === 0) return 0;
    const packedNow = this.#packDue();
    const hotEvents =
      packedNow.size === 0 ? this.#events : this.#events.filter((event) => !packedNow.has(event.stream));
    const state = this.#state;
    if (hotEvents.length > 0) {
      const row = encodeHotRow(hotEvents);
      state.tables.insertHot(row);
      state.hot.add(row.position, row.payload.length, hotEvents);
    }
    this.#packer.packOldest(this.#events.length);
    const highestPosition = state.highestPosition + this.#events.length;
    if (this.#packer.hasDroppedRows || hotEvents.at(-1)?.position !== highestPosition) {
      this.#packer.hasDroppedRows = false;
      state.tables.setState({
        highestPosition,
        recordedAt: this.#recordedAt,
        hotGeneration: state.hotGeneration,
      });
    }
    const bytes = this.#events.reduce((sum, event) => sum + event.flat.size, 0);
    state.recent.add(this.#events, bytes);
    state.highestPosition = highestPosition;
    state.recordedAt = this.#recordedAt;
    for (const [stream, events] of this.#streams) {
      const head = events.at(-1)?.revision;
      if (head !== undefined) state.setHead(stream, head);
    }
    return bytes;
  }

  /** Packs the streams whose turn it is, with what this commit appends to them. */
  #packDue(): Set<string> {
    for (const [stream, events] of this.#streams) {
      const hotEvents = this.#state.hot.stream(stream).length + events.length;
      if (hotEvents >= PACKED_AT_EVENTS || this.#sealed.has(stream)) this.#packer.request(stream);
    }
    const packed = new Set<string>();
    for (const stream of this.#packer.takeDue(this.#events.length)) {
      this.#packer.pack(stream, this.#streams.get(stream));
      packed.add(stream);
    }
    return packed;
  }
}

/** @throws {StoreError} `numbers-exhausted` rather than number two events alike. */
function checkNumbers(stream: string, revision: number, position: number): void {
  if (Number.isSafeInteger(revision) && Number.isSafeInteger(position)) return;
  throw new StoreError(
    "numbers-exhausted",
    `The log has no numbers left for stream "${stream}"; nothing was written. Copy it to a new log.`,
    { details: { stream, revision, position } },
  );
}
