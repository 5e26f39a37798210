import assert from "node:assert/strict";
import { randomInt } from "node:crypto";
import type {
  AppendResult,
  EventLog,
  NewEvent,
  ReadStreamOptions,
  RecordedEvent,
} from "../../log/event-log.ts";
import type { ExpectedRevision } from "../../log/expected-revision.ts";
import { gather } from "../check-log-integrity.ts";
import type { ContractSuite } from "./contract-suite.ts";
import type { IsolatedRun } from "./isolated-run.ts";
import { NaiveLog } from "./naive-log.ts";

const SEQUENCES = 4;
const STEPS = 250;
const STREAMS = ["a", "b", "ab", "c-1", "c-2"] as const;

/** Random calls, each answer compared with a model that is too simple to be wrong. */
export function randomSequenceContract(suite: ContractSuite): void {
  suite.group("random sequences of calls agree with a naive model", () => {
    for (let sequence = 0; sequence < SEQUENCES; sequence += 1) {
      suite.test(`sequence ${sequence + 1} of ${SEQUENCES}`, async (run) => {
        const seed = ((suite.seed ?? randomInt(2 ** 31)) + sequence) >>> 0;
        const steps: string[] = [];
        try {
          await new RandomSequence(run, random(seed), steps).run();
        } catch (failure) {
          const seedOption = (seed - sequence) >>> 0;
          const message = `step ${steps.length} of sequence ${sequence + 1} (option seed: ${seedOption}): ${String(failure)}\nlast steps:\n${steps.slice(-8).join("\n")}`;
          throw new Error(message, { cause: failure });
        }
      });
    }
  });
}

class RandomSequence {
  readonly #run: IsolatedRun;
  readonly #below: (bound: number) => number;
  readonly #steps: string[];
  readonly #model = new NaiveLog();
  readonly #landed: { stream: string; events: NewEvent[]; expected: ExpectedRevision }[] = [];
  #log: EventLog;

  constructor(run: IsolatedRun, below: (bound: number) => number, steps: string[]) {
    this.#run = run;
    this.#log = run.log;
    this.#below = below;
    this.#steps = steps;
  }

  async run(): Promise<void> {
    for (let step = 0; step < STEPS; step += 1) {
      const kind = this.#below(20);
      if (kind < 8) await this.#append(1 + this.#below(3));
      else if (kind < 9) await this.#append(1 + this.#below(150));
      else if (kind < 11) await this.#appendAtOnce();
      else if (kind < 13) await this.#retry();
      else if (kind < 16) await this.#readStream();
      else if (kind < 18) await this.#readAll();
      else if (kind < 19) await this.#truncate();
      else await this.#reopen();
      assert.equal(await this.#log.head(), this.#model.head);
    }
  }

  async #append(size: number): Promise<void> {
    const [stream, expected, events] = [this.#stream(), this.#expected(), this.#events(size)];
    const sync = this.#log.appendSync !== undefined && this.#below(4) === 0;
    this.#note(sync ? "appendSync" : "append", stream, expected, `${size} events`);
    const result = sync
      ? this.#log.appendSync?.(stream, events, expected)
      : await this.#log.append(stream, events, expected, { seal: this.#below(5) === 0 });
    await this.#check(stream, events, expected, result);
  }

  async #appendAtOnce(): Promise<void> {
    const calls = Array.from({ length: 2 + this.#below(6) }, () => {
      return { stream: this.#stream(), expected: this.#expected(), events: this.#events(1 + this.#below(4)) };
    });
    this.#note("append at once", calls.map(({ stream, expected }) => `${stream} ${expected}`).join(", "));
    const results = await Promise.all(
      calls.map(({ stream, events, expected }) => this.#log.append(stream, events, expected)),
    );
    for (const [index, { stream, events, expected }] of calls.entries()) {
      await this.#check(stream, events, expected, results[index]);
    }
  }

  async #retry(): Promise<void> {
    const batch = this.#landed[this.#below(this.#landed.length)];
    const first = batch && this.#model.resultOf(batch.events);
    // A batch that was truncated cannot be told from one that never came.
    if (batch === undefined || first === undefined) return;
    this.#note("retry", batch.stream, batch.expected);
    assert.deepEqual(await this.#log.append(batch.stream, batch.events, batch.expected), first);
  }

  async #readStream(): Promise<void> {
    const stream = this.#stream();
    const options: ReadStreamOptions = {
      ...(this.#below(3) > 0 && { from: this.#below(this.#model.revision(stream) + 10) }),
      ...(this.#below(2) === 0 && { limit: this.#below(200) }),
      ...(this.#below(2) === 0 && { direction: this.#below(2) === 0 ? "backwards" : "forwards" }),
    };
    this.#note("readStream", stream, JSON.stringify(options));
    this.#same(await gather(this.#log.readStream(stream, options)), this.#model.readStream(stream, options));
  }

  async #readAll(): Promise<void> {
    const options = {
      ...(this.#below(3) > 0 && { after: this.#below(this.#model.head + 10) - 1 }),
      ...(this.#below(2) === 0 && { limit: this.#below(300) }),
      ...(this.#below(2) === 0 && { streamPrefix: ["a", "c-", "ab", "z"][this.#below(4)] ?? "" }),
    };
    this.#note("readAll", JSON.stringify(options));
    this.#same(await gather(this.#log.readAll(options)), this.#model.readAll(options));
  }

  async #truncate(): Promise<void> {
    const stream = this.#stream();
    const before = this.#below(this.#model.revision(stream) + 5);
    this.#note("truncate", stream, before);
    await this.#log.truncate(stream, before);
    this.#model.truncate(stream, before);
  }

  async #reopen(): Promise<void> {
    if (!this.#run.canReopen) return;
    this.#note("reopen");
    const next = await this.#run.reopen();
    await this.#log.close();
    this.#log = next;
  }

  async #check(
    stream: string,
    events: NewEvent[],
    expected: ExpectedRevision,
    result: AppendResult | undefined,
  ): Promise<void> {
    const modelled = this.#model.append(stream, events, expected);
    assert.deepEqual(result?.ok ? { ok: true, revision: result.revision } : result, modelled);
    if (!result?.ok) return;
    const from = result.revision - events.length + 1;
    const stored = await gather(this.#log.readStream(stream, { from, limit: events.length }));
    assert.deepEqual(
      stored.map(({ id }) => id),
      events.map(({ id }) => id),
    );
    assert.equal(stored.at(-1)?.position, result.position);
    this.#model.place(
      events,
      stored.map(({ position }) => position),
    );
    if (typeof expected === "number" || expected === "no-stream")
      this.#landed.push({ stream, events, expected });
  }

  #same(actual: readonly RecordedEvent[], expected: readonly Partial<RecordedEvent>[]): void {
    const place = ({
      stream,
      revision,
      position,
      id,
      type,
      data,
      metadata,
    }: Partial<RecordedEvent>): unknown[] => {
      return [stream, revision, position, id, type, data, metadata];
    };
    assert.deepEqual(actual.map(place), expected.map(place));
  }

  #stream(): string {
    return STREAMS[this.#below(STREAMS.length)] ?? "a";
  }

  #expected(): ExpectedRevision {
    const kind = this.#below(10);
    if (kind < 5) return "any";
    if (kind === 5) return "no-stream";
    if (kind === 6) return "stream-exists";
    // One of the stream's newest revisions, whose stream is chosen independently: hits and misses both occur.
    return Math.max(0, this.#model.revision(this.#stream()) - this.#below(2));
  }

  #events(count: number): NewEvent[] {
    return Array.from({ length: count }, (_, index) =>
      this.#run.event(
        [{ text: "x".repeat(this.#below(20)), index }, [index, 0, "🦉"], null, { nested: { index } }][
          this.#below(4)
        ] ?? null,
        this.#below(2) === 0 ? {} : { n: index, cause: "delta" },
      ),
    );
  }

  #note(...words: unknown[]): void {
    this.#steps.push(words.join(" "));
  }
}

/** mulberry32: small, and the same everywhere. */
function random(seed: number): (bound: number) => number {
  let state = seed;
  return (bound) => {
    state = (state + 0x6d2b79f5) >>> 0;
    let mixed = Math.imul(state ^ (state >>> 15), state | 1);
    mixed ^= mixed + Math.imul(mixed ^ (mixed >>> 7), mixed | 61);
    return Math.floor((((mixed ^ (mixed >>> 14)) >>> 0) / 2 ** 32) * bound);
  };
}
