import { appendContract } from "./contract/append-contract.ts";
import { appendSyncContract } from "./contract/append-sync-contract.ts";
import { concurrentReadContract } from "./contract/concurrent-read-contract.ts";
import { ContractSuite, type EventLogContractOptions } from "./contract/contract-suite.ts";
import { expectedRevisionContract } from "./contract/expected-revision-contract.ts";
import { lifecycleContract } from "./contract/lifecycle-contract.ts";
import { randomSequenceContract } from "./contract/random-sequence-contract.ts";
import { readContract } from "./contract/read-contract.ts";
import { subscribeContract } from "./contract/subscribe-contract.ts";
import { truncateContract } from "./contract/truncate-contract.ts";

/**
 * Registers the tests that every adapter of the event log port must pass, with the `describe` and `it` of any
 * test framework. Each test opens a log of its own, and fails too when it leaves the log unsound (see
 * `checkLogIntegrity`) or leaves something open that holds the process.
 */
export function eventLogContract(options: EventLogContractOptions): void {
  const suite = new ContractSuite(options);
  suite.group(`the event log contract: ${options.name}`, () => {
    appendContract(suite);
    appendSyncContract(suite);
    expectedRevisionContract(suite);
    readContract(suite);
    concurrentReadContract(suite);
    subscribeContract(suite);
    truncateContract(suite);
    lifecycleContract(suite);
    randomSequenceContract(suite);
  });
}
