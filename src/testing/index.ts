/** Published as `turnlog/testing`: what authors of adapters, and of stores on top of logs, test with. */
export { checkLogIntegrity } from "./check-log-integrity.ts";
export type {
  EventLogContractOptions,
  EventLogFixture,
  OptionalAbility,
  TestFramework,
} from "./contract/contract-suite.ts";
export { eventLogContract } from "./event-log-contract.ts";
export { FaultyEventLog } from "./faulty-event-log.ts";
export type { Fault, FaultTarget, InjectedFault } from "./faulty-event-log.ts";
