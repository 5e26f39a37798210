import { randomUUID } from "node:crypto";
import { afterAll, beforeAll, describe, it } from "@jest/globals";
import { openEventStoreDbEventLog } from "../../../src/log/eventstoredb/eventstoredb-event-log.ts";
import { eventLogContract } from "../../../src/testing/event-log-contract.ts";
import { FixtureNode } from "../../support/eventstoredb-fixture/fixture-node.ts";

function contract(name: string, url: () => string): void {
  eventLogContract({
    name,
    describe,
    it,
    without: { appendSync: "answers come over a network" },
    open: async () => {
      // A log of its own on a server that may hold others.
      const own = `${url()}${url().includes("?") ? "&" : "?"}log=contract-${randomUUID()}`;
      const log = await openEventStoreDbEventLog(own);
      return {
        log,
        reopen: () => openEventStoreDbEventLog(own, { internals: { ownConnection: true } }),
        dispose: () => log.close(),
      };
    },
  });
}

describe("on the fixture", () => {
  let node: FixtureNode;
  beforeAll(async () => {
    // As newer servers count: the limit is met sooner.
    node = await FixtureNode.start({ countsEverything: true });
  });
  afterAll(() => node.close());
  contract("EventStoreDB", () => node.url);
});

const server = process.env["TURNLOG_TEST_ESDB"];
if (server === undefined)
  it.skip("on a real server (none: TURNLOG_TEST_ESDB holds no connection string)", () => {});
else describe("on a real server", () => contract("EventStoreDB", () => server));
