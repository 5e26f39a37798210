import { afterAll, beforeAll, describe, it, jest } from "@jest/globals";
import { openEventStoreDbEventLog } from "../../../src/log/eventstoredb/eventstoredb-event-log.ts";
import { eventLogContract } from "../../../src/testing/event-log-contract.ts";
import { FixtureNode } from "../../support/eventstoredb-fixture/fixture-node.ts";
import { NO_REAL_SERVER, ownLog, realServer } from "../../support/real-server.ts";

jest.setTimeout(180_000);

function contract(name: string, url: () => string): void {
  eventLogContract({
    name,
    describe,
    it,
    // Client and server share a core or two with other tests here.
    deadlineMs: 60_000,
    without: { appendSync: "answers come over a network" },
    open: async () => {
      // A log of its own on a server that may hold others.
      const own = ownLog(url());
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

const server = realServer();
if (server === undefined) it.skip(`on a real EventStoreDB server (${NO_REAL_SERVER})`, () => {});
else describe("on a real EventStoreDB server", () => contract("EventStoreDB", () => server));
