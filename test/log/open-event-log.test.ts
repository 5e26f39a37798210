import { randomUUID } from "node:crypto";
import { mkdtemp, readdir, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { pathToFileURL } from "node:url";
import { describe, expect, it } from "@jest/globals";
import { openEventLog, parseStoreUrl } from "../../src/log/open-event-log.ts";

const sqlite = (path: string): object => ({ engine: "sqlite", path });

describe("a store URL", () => {
  it.each<[string, object]>([
    ["memory:", { engine: "memory" }],
    ["MEMORY:", { engine: "memory" }],
    ["memory:test", { engine: "memory", name: "test" }],
    ["memory:a b:c", { engine: "memory", name: "a b:c" }],
    ["file:./conversations.db", sqlite("./conversations.db")],
    ["file:conversations.db", sqlite("conversations.db")],
    ["File:../up/x.db", sqlite("../up/x.db")],
    ["file:./with%20space%3F.db", sqlite("./with space?.db")],
    ["file:///var/lib/x.db", sqlite("/var/lib/x.db")],
    ["file:/var/lib/x.db", sqlite("/var/lib/x.db")],
    ["file://localhost/var/lib/x.db", sqlite("/var/lib/x.db")],
    ["file:///with%20space.db", sqlite("/with space.db")],
    ["x.db", sqlite("x.db")],
    ["./a:b.db", sqlite("./a:b.db")],
    ["/abs/100%.db", sqlite("/abs/100%.db")],
    ["with space?.db", sqlite("with space?.db")],
    ["2026:11.db", sqlite("2026:11.db")],
    ["C:\\logs\\x.db", sqlite("C:\\logs\\x.db")],
    ["d:/logs/x.db", sqlite("d:/logs/x.db")],
    ["memory", sqlite("memory")],
    ["esdb://host:2113?tls=false", { engine: "eventstoredb", url: "esdb://host:2113?tls=false" }],
    ["esdb+discover://cluster", { engine: "eventstoredb", url: "esdb+discover://cluster" }],
  ])("%p is understood", (url, location) => {
    expect(parseStoreUrl(url)).toEqual(location);
  });

  it.each<[string, RegExp]>([
    ["", /it is empty/],
    ["  ", /it is empty/],
    [":memory:", /is written memory:/],
    ["a\0b.db", /NUL/],
    ["postgres://host/db", /the scheme postgres: is unknown/],
    ["http://host", /the scheme http: is unknown/],
    ["my:store.db", /\.\/a:b\.db where it has a colon/],
    ["esdb:host", /followed by \/\//],
    ["file:", /names no file/],
    ["file://other-host/x.db", /not a path of this machine/],
    ["file:./x.db?mode=ro", /takes no \? or #/],
    ["file:./%zz.db", /not a path of this machine/],
    ["file:./a%00b.db", /names no file/],
  ])("%p is refused with what is wrong and what is known", (url, why) => {
    const parse = (): unknown => parseStoreUrl(url);
    expect(parse).toThrow(expect.objectContaining({ code: "unknown-store-url" }));
    expect(parse).toThrow(why);
    expect(parse).toThrow(/memory:, memory:NAME, file:.*a bare path.*esdb:\/\/.*esdb\+discover:\/\//);
  });

  it("that holds a password does not show it in the error", async () => {
    expect(() => parseStoreUrl("postgres://user:secret@host/db")).toThrow(/^(?!.*secret)/);
    await expect(openEventLog("esdb://user:secret@host:2113?log=a.b")).rejects.toThrow(/^(?!.*secret)/);
    await expect(openEventLog("esdb://user:secret@host:2113?log=x&tls")).rejects.toThrow(
      /^(?!.*secret).*esdb:\/\/host:2113/,
    );
  });
});

describe("opening", () => {
  it("memory: gives a private log each time", async () => {
    const [first, second] = [await openEventLog("memory:"), await openEventLog("memory:")];
    expect(first.logId).not.toBe(second.logId);
    await Promise.all([first.close(), second.close()]);
  });

  it("memory:NAME gives handles on one log", async () => {
    const url = `memory:${randomUUID()}`;
    const [first, second] = [await openEventLog(url), await openEventLog(url, { readOnly: true })];
    expect(first.logId).toBe(second.logId);
    await expect(second.truncate("s", 1)).rejects.toMatchObject({ code: "read-only" });
    await Promise.all([first.close(), second.close()]);
    await expect(openEventLog(url, { create: false })).rejects.toMatchObject({ code: "store-not-found" });
  });

  it("an unknown URL rejects and creates no file of that name", async () => {
    const before = await readdir(".");
    await expect(openEventLog("sqlite:./x.db")).rejects.toMatchObject({ code: "unknown-store-url" });
    expect(await readdir(".")).toEqual(before);
  });

  it("a bare path and a file: URL of it give one SQLite log", async () => {
    const folder = await mkdtemp(join(tmpdir(), "turnlog-open-"));
    try {
      const path = join(folder, "a b.db");
      await expect(openEventLog(path, { create: false })).rejects.toMatchObject({ code: "store-not-found" });
      const [first, second] = [await openEventLog(path), await openEventLog(pathToFileURL(path).href)];
      const event = { id: randomUUID(), type: "Happened", data: {}, metadata: {} };
      const { logId } = first;
      await first.append("s", [event], "no-stream");
      expect(await second.head()).toBeGreaterThanOrEqual(0);
      expect(second.logId).toBe(logId);
      await Promise.all([first.close(), second.close()]);
      const reader = await openEventLog(path, { readOnly: true });
      expect(reader.logId).toBe(logId);
      await reader.close();
    } finally {
      await rm(folder, { recursive: true });
    }
  });
});
