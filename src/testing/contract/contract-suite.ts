import type { EventLog } from "../../log/event-log.ts";
import { runIsolated } from "./isolated-run.ts";
import type { IsolatedRun } from "./isolated-run.ts";

/** One isolated, empty log, as the author of an adapter provides it to each test. */
export interface EventLogFixture {
  readonly log: EventLog;
  /**
   * Another handle on the same log, which works while `log` is open and after it was closed. Its caller closes
   * it. Where an engine keeps several writers apart (connections, processes), make it one of those.
   */
  reopen?(): Promise<EventLog>;
  /** What the adapter can count as held: subscriptions, cursors, connections. Must be 0 when all handles are closed. */
  openResources?(): number;
  /** Closes what is open and removes the log. Called once, after `log` may have been closed. */
  dispose(): Promise<void>;
}

/** What an engine may lack. */
export type OptionalAbility = "reopen" | "appendSync";

/** `describe` and `it` of jest, vitest, mocha or node:test. */
export interface TestFramework {
  describe(name: string, body: () => void): unknown;
  it: {
    (name: string, body: () => Promise<void>): unknown;
    skip?(name: string, body: () => Promise<void>): unknown;
  };
}

export interface EventLogContractOptions extends TestFramework {
  /** Names the adapter in the tests' titles. */
  name: string;
  /** Makes a new, empty log that shares nothing with the others. Called by each test. */
  open(): Promise<EventLogFixture>;
  /** Abilities that the engine lacks, each with the reason, which the skipped tests show. */
  without?: Partial<Record<OptionalAbility, string>>;
  /** How long a test waits for something that must happen, ms. Nothing waits for this long when it passes. Default: 60,000. */
  deadlineMs?: number;
  /** Seed of the random sequences; a failure prints the one it had. Default: a new one for each run. */
  seed?: number;
  /** Kinds of `process.getActiveResourcesInfo()` that outlive a log by design. */
  ignoredResources?: readonly string[];
}

export type ContractTestBody = (run: IsolatedRun) => Promise<void>;

/** What the parts of the contract are written with. */
export class ContractSuite {
  readonly #options: EventLogContractOptions;

  constructor(options: EventLogContractOptions) {
    this.#options = options;
  }

  get seed(): number | undefined {
    return this.#options.seed;
  }

  group(name: string, body: () => void): void {
    this.#options.describe(name, body);
  }

  /** A test on a log of its own, followed by the checks that every test ends with. */
  test(name: string, body: ContractTestBody): void {
    this.#options.it(name, () => runIsolated(this.#options, body));
  }

  /**
   * One test over many cases on one log, each on a stream of its own; a failure names its case. Opening a log
   * takes real engines longer than such a case.
   */
  table<Case>(
    name: string,
    cases: readonly (readonly [name: string, value: Case])[],
    body: (run: IsolatedRun, value: Case, stream: string) => Promise<void>,
  ): void {
    this.test(name, async (run) => {
      for (const [index, [caseName, value]] of cases.entries()) {
        try {
          await body(run, value, `case-${String(index).padStart(2, "0")}`);
        } catch (failure) {
          throw new Error(`${caseName}: ${failure instanceof Error ? failure.message : String(failure)}`, {
            cause: failure,
          });
        }
      }
    });
  }

  /** As `test`; skipped, with the adapter's reason, where the engine lacks the ability. */
  testWith(ability: OptionalAbility, name: string, body: ContractTestBody): void {
    const reason = this.#options.without?.[ability];
    if (reason === undefined) this.test(name, body);
    else this.#options.it.skip?.(`${name} (no ${ability}: ${reason})`, async () => {});
  }
}
