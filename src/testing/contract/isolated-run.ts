import assert from "node:assert/strict";
import { setTimeout as pause } from "node:timers/promises";
import { errorCode } from "../../errors.ts";
import type { Observable } from "rxjs";
import type { AppendResult, EventLog, LogSignal, NewEvent, SubscribeOptions } from "../../log/event-log.ts";
import type { ExpectedRevision } from "../../log/expected-revision.ts";
import { checkLogIntegrity } from "../check-log-integrity.ts";
import type { ContractTestBody, EventLogContractOptions, EventLogFixture } from "./contract-suite.ts";
import { EventMaker } from "./sample-events.ts";
import { SignalCollector } from "./signal-collector.ts";

/** Far above what anything takes: a machine may be busy with other things. */
const DEFAULT_DEADLINE_MS = 60_000;

/** One test's log and helpers. What a test opens through it is checked and released when the test ends. */
export class IsolatedRun {
  readonly deadlineMs: number;
  readonly #fixture: EventLogFixture;
  readonly #events = new EventMaker();
  readonly #handles: EventLog[] = [];
  readonly #collectors: SignalCollector[] = [];

  constructor(fixture: EventLogFixture, deadlineMs: number) {
    this.#fixture = fixture;
    this.deadlineMs = deadlineMs;
  }

  get log(): EventLog {
    return this.#fixture.log;
  }

  get canReopen(): boolean {
    return this.#fixture.reopen !== undefined;
  }

  /** Another handle on the same log, closed when the test ends. */
  async reopen(): Promise<EventLog> {
    assert(
      this.#fixture.reopen !== undefined,
      'open() gave no reopen(); where the engine has no second handle, say why in the option without: {reopen: "…"}',
    );
    const handle = await this.#fixture.reopen();
    this.#handles.push(handle);
    return handle;
  }

  /** New events with ids that were never used; `data` tells them apart. */
  events(count: number, label = "event"): NewEvent[] {
    return Array.from({ length: count }, (_, index) => this.event({ label, index }));
  }

  event(data: NewEvent["data"] = {}, metadata: NewEvent["metadata"] = {}): NewEvent {
    return this.#events.make(data, metadata);
  }

  /** Appends `count` new events, or the given ones, and demands that it works. */
  async append(
    stream: string,
    eventsOrCount: readonly NewEvent[] | number = 1,
    expected: ExpectedRevision = "any",
    log: EventLog = this.log,
  ): Promise<{ revision: number; position: number; events: readonly NewEvent[] }> {
    const events = typeof eventsOrCount === "number" ? this.events(eventsOrCount, stream) : eventsOrCount;
    const { revision, position } = succeeded(await log.append(stream, events, expected));
    return { revision, position, events };
  }

  /** Subscribes and collects; unsubscribed when the test ends. */
  collect(
    options: SubscribeOptions = {},
    log: EventLog = this.log,
    onEvent?: (delivered: number) => void,
  ): SignalCollector {
    return this.collectFrom(log.subscribe(options), onEvent);
  }

  /** As `collect`, from an observable that is there already. */
  collectFrom(source: Observable<LogSignal>, onEvent?: (delivered: number) => void): SignalCollector {
    const collector = new SignalCollector(source, this.deadlineMs, onEvent);
    this.#collectors.push(collector);
    return collector;
  }

  async checkIntegrity(): Promise<void> {
    if (await isOpen(this.log)) await checkLogIntegrity(this.log);
    if (this.canReopen) await checkLogIntegrity(await this.reopen());
  }

  async release(): Promise<void> {
    for (const collector of this.#collectors) collector.stop();
    for (const handle of this.#handles) await handle.close();
    await this.log.close();
    const held = this.#fixture.openResources?.() ?? 0;
    await this.#fixture.dispose();
    assert.equal(held, 0, `the adapter still holds ${held} resources after all handles were closed`);
  }
}

/** The result of an append that must not conflict. */
export function succeeded(result: AppendResult): { revision: number; position: number } {
  assert(
    result.ok,
    `the append was refused: the stream is at revision ${result.ok ? "" : result.actualRevision}`,
  );
  return { revision: result.revision, position: result.position };
}

/** Runs a test on a log of its own. Whatever the test says, the log must end sound and leave nothing open. */
export async function runIsolated(options: EventLogContractOptions, body: ContractTestBody): Promise<void> {
  const before = activeResources(options.ignoredResources);
  const deadlineMs = options.deadlineMs ?? DEFAULT_DEADLINE_MS;
  const run = new IsolatedRun(await options.open(), deadlineMs);
  const failures: unknown[] = [];
  const attempt = async (step: () => Promise<void>): Promise<void> => {
    try {
      await step();
    } catch (failure) {
      failures.push(failure);
    }
  };
  await attempt(() => body(run));
  // After a failure the rest would only repeat it in other words; but everything is released all the same.
  if (failures.length === 0) await attempt(() => run.checkIntegrity());
  await attempt(() => run.release());
  if (failures.length === 0) await attempt(() => nothingLeft(before, deadlineMs, options.ignoredResources));
  if (failures.length > 1) throw new AggregateError(failures, failures.map(String).join("\nand then: "));
  if (failures.length === 1) throw failures[0];
}

async function isOpen(log: EventLog): Promise<boolean> {
  try {
    await log.head();
    return true;
  } catch (failure) {
    if (errorCode(failure) === "store-closed") return false;
    throw failure;
  }
}

/** What keeps the process alive, counted by kind. */
function activeResources(ignored: readonly string[] = []): Map<string, number> {
  const counts = new Map<string, number>();
  for (const kind of process.getActiveResourcesInfo()) {
    if (!ignored.includes(kind)) counts.set(kind, (counts.get(kind) ?? 0) + 1);
  }
  return counts;
}

/** What has been released may take a few turns of the event loop to be gone. */
async function nothingLeft(
  before: Map<string, number>,
  deadlineMs: number,
  ignored: readonly string[] = [],
): Promise<void> {
  const deadline = performance.now() + deadlineMs;
  for (;;) {
    const left = [...activeResources(ignored)].filter(([kind, count]) => count > (before.get(kind) ?? 0));
    if (left.length === 0) return;
    if (performance.now() > deadline) {
      const kinds = left.map(([kind, count]) => `${kind} (${before.get(kind) ?? 0} before, ${count} now)`);
      assert.fail(
        `something still holds the process open after all handles were closed: ${kinds.join(", ")}`,
      );
    }
    await pause(5);
  }
}
