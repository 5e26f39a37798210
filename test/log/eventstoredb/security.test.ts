import { createServer } from "node:net";
import type { AddressInfo } from "node:net";
import { afterAll, beforeAll, describe, expect, it } from "@jest/globals";
import { openEventLog } from "../../../src/log/open-event-log.ts";
import { openEventStoreDbEventLog } from "../../../src/log/eventstoredb/eventstoredb-event-log.ts";
import {
  type Certificate,
  hasOpenssl,
  makeCertificate,
} from "../../support/eventstoredb-fixture/certificate.ts";
import { FixtureNode } from "../../support/eventstoredb-fixture/fixture-node.ts";
import { ownLog } from "../../support/real-server.ts";
import { event } from "./fault-scenario.ts";

const SOON = { attemptTimeoutMs: 500, openDeadlineMs: 500 };

if (!hasOpenssl()) {
  it.skip("a server with TLS and users (there is no openssl here to make certificates with)", () => {});
} else {
  describe("a server with TLS and users", secured);
}

function secured(): void {
  let certificate: Certificate;
  let node: FixtureNode;
  beforeAll(async () => {
    certificate = makeCertificate();
    const { key, certificate: chain } = certificate;
    node = await FixtureNode.start({
      security: { key, certificate: chain, user: "ops", password: "p:w@d" },
    });
  });
  afterAll(async () => {
    await node.close();
    certificate.remove();
  });
  const url = (parameters: string, credentials = "ops:p%3Aw%40d@"): string =>
    ownLog(`esdb://${credentials}localhost:${node.proxy.port}?${parameters}`);

  it("is used with its authority's certificate and a user", async () => {
    const log = await openEventStoreDbEventLog(url(`tls=true&tlsCaFile=${certificate.file}`));
    expect(await log.append("s", [event()], "no-stream")).toMatchObject({ ok: true });
    await log.close();
  });

  it.each<[what: string, parameters: () => string, credentials: string | undefined, code: string]>([
    ["no authority's certificate", () => "tls=true", undefined, "tls-failed"],
    [
      "a certificate file that is not there",
      () => `tls=true&tlsCaFile=${certificate.folder}/none.crt`,
      undefined,
      "tls-failed",
    ],
    ["no TLS", () => "tls=false", undefined, "server-unavailable"],
    ["no user", () => `tls=true&tlsCaFile=${certificate.file}`, "", "access-denied"],
    ["a wrong password", () => `tls=true&tlsCaFile=${certificate.file}`, "ops:wrong@", "access-denied"],
  ])("%s is said, and the password is not", async (_what, parameters, credentials, code) => {
    const opened = openEventStoreDbEventLog(url(parameters(), credentials), SOON);
    await expect(opened).rejects.toMatchObject({ code });
    await expect(opened).rejects.toThrow(/^(?!.*(p:w@d|p%3Aw%40d|wrong)).*localhost:/);
  });
}

describe("a store URL that cannot work", () => {
  it.each([
    ["esdb://user:secret@host?tls=true&log=a.b", /log="a\.b" is not a log's name/],
    ["esdb://host?log=", /is not a log's name/],
    ["esdb://host?maxAppendBytes=many", /maxAppendBytes="many"/],
    ["esdb://host?tlsVerifyCert=false", /tlsVerifyCert=false has no effect/],
    ["esdb://host:port", /hosts or its parameters/],
    ["esdb://?tls=false", /hosts or its parameters/],
    ["esdb://user:secret@host?keepAliveInterval=-5", /keepAliveInterval/],
  ])("%s says what is wrong, without credentials", async (url, why) => {
    const opened = openEventLog(url);
    await expect(opened).rejects.toMatchObject({ code: "invalid-connection-string" });
    await expect(opened).rejects.toThrow(why);
    await expect(opened).rejects.toThrow(/^(?!.*secret)/);
  });

  it("names a server that is not there", async () => {
    const listener = createServer().listen(0, "127.0.0.1");
    await new Promise((resolve) => listener.once("listening", resolve));
    const { port } = listener.address() as AddressInfo;
    await new Promise((resolve) => listener.close(resolve));
    await expect(openEventStoreDbEventLog(`esdb://127.0.0.1:${port}?tls=false`, SOON)).rejects.toMatchObject({
      code: "server-unavailable",
      message: expect.stringContaining(`esdb://127.0.0.1:${port}`),
    });
  });

  it("names something that is no EventStoreDB", async () => {
    const listener = createServer((socket) => {
      socket.end("HTTP/1.1 400 Bad Request\r\n\r\n", () => socket.destroy());
    }).listen(0, "127.0.0.1");
    await new Promise((resolve) => listener.once("listening", resolve));
    const { port } = listener.address() as AddressInfo;
    await expect(openEventStoreDbEventLog(`esdb://127.0.0.1:${port}?tls=false`, SOON)).rejects.toMatchObject({
      code: "server-unavailable",
    });
    await new Promise((resolve) => listener.close(resolve));
  });

  it("a read-only log is never made, and never written", async () => {
    const node = await FixtureNode.start();
    const url = ownLog(node.url);
    await expect(openEventStoreDbEventLog(url, { readOnly: true })).rejects.toMatchObject({
      code: "store-not-found",
    });
    await expect(openEventStoreDbEventLog(url, { create: false })).rejects.toMatchObject({
      code: "store-not-found",
    });
    expect(node.database.all).toEqual([]);
    const writer = await openEventStoreDbEventLog(url);
    const reader = await openEventStoreDbEventLog(url, { readOnly: true });
    await expect(reader.append("s", [event()], "any")).rejects.toMatchObject({ code: "read-only" });
    await expect(reader.truncate("s", 1)).rejects.toMatchObject({ code: "read-only" });
    expect(reader.logId).toBe(writer.logId);
    await reader.close();
    await writer.close();
    await node.close();
  });

  it("a log is made once, however many open it at the same time", async () => {
    const node = await FixtureNode.start();
    const url = ownLog(node.url);
    const open = (): ReturnType<typeof openEventStoreDbEventLog> =>
      openEventStoreDbEventLog(url, { internals: { ownConnection: true } });
    const logs = await Promise.all(Array.from({ length: 8 }, open));
    expect(new Set(logs.map(({ logId }) => logId)).size).toBe(1);
    for (const log of logs) await log.close();
    await node.close();
  });

  it("a configured limit is the log's limit", async () => {
    const node = await FixtureNode.start({ maxAppendBytes: 4 * 1024 * 1024, countsEverything: true });
    const log = await openEventStoreDbEventLog(ownLog(`${node.url}&maxAppendBytes=${4 * 1024 * 1024}`));
    expect(log.limits.maxAppendBytes).toBe(4 * 1024 * 1024);
    const large = { ...event(), data: "x".repeat(3_500_000) };
    expect(await log.append("s", [large], "any")).toMatchObject({ ok: true });
    await log.close();
    // A server with a smaller limit than it is told refuses, and says how to mend it.
    const small = await FixtureNode.start();
    const wrong = await openEventStoreDbEventLog(ownLog(`${small.url}&maxAppendBytes=${4 * 1024 * 1024}`));
    await expect(wrong.append("s", [{ ...large, id: event().id }], "any")).rejects.toMatchObject({
      code: "event-too-large",
      message: expect.stringContaining("maxAppendBytes"),
    });
    await wrong.close();
    for (const each of [node, small]) await each.close();
  });
});
