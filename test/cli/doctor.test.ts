import { createServer, type AddressInfo } from "node:net";
import { once } from "node:events";
import { afterAll, beforeAll, describe, expect, it } from "@jest/globals";
import { openConversationStore } from "../../src/store/open-conversation-store.ts";
import {
  type Certificate,
  hasOpenssl,
  makeCertificate,
} from "../support/eventstoredb-fixture/certificate.ts";
import { FixtureNode, startCluster } from "../support/eventstoredb-fixture/fixture-node.ts";
import { type CliResult, run } from "./cli-support.ts";

/** `turnlog doctor`: what is right and wrong with a server, each in one line. */

interface Finding {
  check: string;
  isGood: boolean;
  text: string;
  details: Record<string, unknown>;
}

function doctor(url: string, ...more: string[]): Promise<CliResult> {
  return run(["doctor", "--store", url, ...more]);
}

/** The findings of `--json`, by check. */
async function findings(url: string): Promise<{ code: number | null; checks: Record<string, Finding> }> {
  const { code, stdout, stderr } = await doctor(url, "--json");
  expect(stderr).toBe("");
  const { checks } = JSON.parse(stdout) as { checks: Finding[] };
  return { code, checks: Object.fromEntries(checks.map((each) => [each.check, each])) };
}

function wrong(checks: Record<string, Finding>): string[] {
  return Object.values(checks)
    .filter(({ isGood }) => !isGood)
    .map(({ check }) => check);
}

/** What a check says that should have been good: the reason, where a test fails. */
function complaints(checks: Record<string, Finding>): string[] {
  return Object.values(checks)
    .filter(({ isGood }) => !isGood)
    .map(({ check, text }) => `${check}: ${text}`);
}

async function withNode<T>(
  options: Parameters<typeof FixtureNode.start>[0],
  use: (node: FixtureNode) => Promise<T>,
): Promise<T> {
  const node = await FixtureNode.start(options);
  try {
    return await use(node);
  } finally {
    await node.close();
  }
}

describe("turnlog doctor", () => {
  it("finds all good: one line a check, exit 0", () =>
    withNode({}, async (node) => {
      const { code, stdout, stderr } = await doctor(node.url);
      expect({ code, stderr }).toEqual({ code: 0, stderr: "" });
      const latency = String.raw`[\d.]+ ms \(p50 of 9; the slowest [\d.]+ ms\)`;
      const lines = [
        String.raw`connection    esdb://127\.0\.0\.1:${node.proxy.port} answers \([\d.]+ ms\)`,
        String.raw`version       23\.10\.7`,
        String.raw`leader        127\.0\.0\.1:${node.proxy.port} \(1 of 1 node alive\)`,
        `append        ${latency}`,
        `read          ${latency}`,
        "metadata      the user may truncate streams",
        String.raw`subscription  caught up from the head in [\d.]+ ms`,
        String.raw`clock         the server's is \d+ ms (ahead of|behind) this machine's`,
        'log           "turnlog" is not there yet; the first writer makes it',
      ];
      expect(stdout).toMatch(new RegExp(`^${lines.map((line) => `good   ${line}\n`).join("")}$`));
    }));

  it("--json: one document with the figures", () =>
    withNode({}, async (node) => {
      const { code, checks } = await findings(node.url);
      expect(code).toBe(0);
      const ms = expect.any(Number);
      const details = Object.values(checks).map((each) => [each.check, each.details]);
      expect(Object.fromEntries(details)).toEqual({
        connection: { ms },
        version: { version: "23.10.7" },
        leader: { leader: `127.0.0.1:${node.proxy.port}`, nodes: 1, alive: 1 },
        append: { p50Ms: ms, mostMs: ms },
        read: { p50Ms: ms, mostMs: ms },
        metadata: {},
        subscription: { ms },
        clock: { aheadMs: ms },
        log: { name: "turnlog", logId: null, head: -1 },
      });
    }));

  it("leaves no trace in a log, and says where its log stands", () =>
    withNode({}, async (node) => {
      const url = `${node.url}&log=mine`;
      const store = await openConversationStore(url);
      await store.saveMessage("s", "user", "hello");
      const head = await store.log.head();
      const { logId } = store.log;
      const { code, checks } = await findings(url);
      expect({ code, log: checks["log"]?.details }).toEqual({ code: 0, log: { name: "mine", logId, head } });
      expect(await store.log.head()).toBe(head);
      await store.close();
    }));

  it("a server that is not there: one line, exit 3", async () => {
    const listener = createServer().listen(0, "127.0.0.1");
    await once(listener, "listening");
    const { port } = listener.address() as AddressInfo;
    listener.close();
    await once(listener, "close");
    const { code, stdout } = await doctor(`esdb://127.0.0.1:${port}?tls=false`);
    expect(code).toBe(3);
    expect(stdout).toMatch(
      new RegExp(`^WRONG  connection    .*127\\.0\\.0\\.1:${port}.*ECONNREFUSED.*Check that it runs.*\n$`),
    );
  });

  it("a server too old for subscriptions", () =>
    withNode({ version: "22.10.3" }, async (node) => {
      const { code, checks } = await findings(node.url);
      expect({ code, wrong: wrong(checks) }).toEqual({ code: 1, wrong: ["version"] });
      expect(checks["version"]?.text).toBe(
        "22.10.3 is too old: subscriptions need 23.10; upgrade the server",
      );
    }));

  it("a server that names its version otherwise is taken by its numbers", () =>
    withNode({ version: "26.0.3-nightly" }, async (node) => {
      expect((await findings(node.url)).code).toBe(0);
    }));

  it.each([
    ["ahead of", 90_000],
    ["behind", -90_000],
  ])("a server whose clock is %s this machine's", (side, clockAheadMs) =>
    withNode({ clockAheadMs }, async (node) => {
      const { code, checks } = await findings(node.url);
      expect({ code, wrong: wrong(checks) }).toEqual({ code: 1, wrong: ["clock"] });
      expect(checks["clock"]?.text).toMatch(
        new RegExp(`^the server's is (89|90)\\d{3} ms ${side} this machine's: set both by a time server`),
      );
    }),
  );

  it("a cluster without a leader: says so, and looks no further", async () => {
    const { nodes, url } = await startCluster(3);
    for (const node of nodes) node.isLeader = false;
    const { code, checks } = await findings(url);
    expect({ code, wrong: wrong(checks) }).toEqual({ code: 1, wrong: ["leader"] });
    expect(checks["leader"]?.text).toBe(
      "none (3 of 3 nodes alive): a majority of the nodes must run and reach each other",
    );
    expect(Object.keys(checks)).toEqual(["connection", "version", "leader"]);
    for (const node of nodes) await node.close();
  });

  it("a cluster that lost a node works, and says what to do", async () => {
    const { nodes, url } = await startCluster(3);
    await nodes[2]?.kill();
    const { code, checks } = await findings(url);
    expect({ code, wrong: wrong(checks) }).toEqual({ code: 1, wrong: ["leader"] });
    expect(checks["leader"]?.text).toMatch(/\(2 of 3 nodes alive\): start the others/);
    expect(checks["log"]?.isGood).toBe(true);
    for (const node of nodes) await node.close();
  });

  it("asked through a follower: goes to the leader", async () => {
    const { nodes } = await startCluster(2);
    const { code, checks } = await findings(nodes[1]?.url ?? "");
    expect({ code, wrong: complaints(checks) }).toEqual({ code: 0, wrong: [] });
    expect(checks["leader"]?.details["leader"]).toBe(`127.0.0.1:${nodes[0]?.proxy.port}`);
    for (const node of nodes) await node.close();
  });

  it("what a server says cannot act on the terminal", () =>
    withNode({ version: "9\u001b[2J\u202e" }, async (node) => {
      const { stdout } = await doctor(node.url);
      expect(stdout).toContain("9\\x1b[2J\\u{202e} is too old");
    }));

  it.each([
    ["./turnlog.db", "unsupported-store", /turnlog verify/],
    ["memory:", "unsupported-store", /turnlog verify/],
    ["esdb://ops:secret@host?log=a.b", "invalid-connection-string", /is not a log's name/],
  ])("%s is wrong usage: exit 2", async (url, _code, why) => {
    const { code, stdout, stderr } = await doctor(url);
    expect({ code, stdout }).toEqual({ code: 2, stdout: "" });
    expect(stderr).toMatch(why);
    expect(stderr).not.toContain("secret");
  });
});

if (!hasOpenssl()) {
  it.skip("turnlog doctor with TLS (there is no openssl here to make certificates with)", () => {});
} else {
  describe("turnlog doctor with TLS", withTls);
}

function withTls(): void {
  let made: Certificate;
  let node: FixtureNode;
  beforeAll(async () => {
    made = makeCertificate();
    const { key, certificate } = made;
    const reader = { user: "reader", password: "reads" };
    node = await FixtureNode.start({
      security: { key, certificate, user: "ops", password: "secret", reader },
    });
  });
  afterAll(async () => {
    await node.close();
    made.remove();
  });
  const url = (credentials: string, parameters = `tls=true&tlsCaFile=${made.file}`): string =>
    `esdb://${credentials}localhost:${node.proxy.port}?${parameters}`;

  it("with a user who may write: all good", async () => {
    expect(await findings(url("ops:secret@"))).toMatchObject({ code: 0 });
  });

  it("a wrong password: says so once, and never shows it", async () => {
    const { code, stdout } = await doctor(url("ops:wrong-one@"));
    expect(code).toBe(3);
    expect(stdout).toMatch(/^WRONG  connection    .*does not know this user and password\.\n$/);
    expect(stdout).not.toContain("wrong-one");
  });

  it("no user: may not write", async () => {
    const { code, checks } = await findings(url(""));
    expect(code).toBe(1);
    expect(checks["append"]?.text).toMatch(/may not do this \(or no user is given\)\. Give one in the URL/);
  });

  it("a user who may only read: what needs writing is wrong, the rest is good", async () => {
    const { code, checks } = await findings(url("reader:reads@"));
    expect({ code, wrong: wrong(checks) }).toEqual({ code: 1, wrong: ["append", "metadata", "clock"] });
    expect(checks["append"]).toMatchObject({ details: { code: "access-denied" } });
    expect(checks["clock"]?.text).toBe("not compared, because nothing could be appended");
  });

  it("TLS, and an authority that is not named", async () => {
    const { code, stdout } = await doctor(url("ops:secret@", "tls=true"));
    expect(code).toBe(3);
    expect(stdout).toMatch(/^WRONG  connection    .*Name the certificate authority with tlsCaFile=PATH.*\n$/);
  });

  it("no TLS, and a server that wants it", async () => {
    const { code, stdout } = await doctor(url("ops:secret@", "tls=false"));
    expect(code).toBe(3);
    expect(stdout).toMatch(/^WRONG  connection    .*tls=true or tls=false\.\n$/);
  });

  it("TLS, and a server without it", () =>
    withNode({}, async (plain) => {
      const { code, stdout } = await doctor(`esdb://localhost:${plain.proxy.port}?tls=true`);
      expect(code).toBe(3);
      expect(stdout).toMatch(/^WRONG  connection    .*for a server without TLS say tls=false\.\n$/);
    }));
}
