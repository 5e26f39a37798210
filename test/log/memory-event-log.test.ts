import { randomUUID } from "node:crypto";
import { describe, expect, it } from "@jest/globals";
import { MemoryEventLog } from "../../src/log/memory-event-log.ts";
import { checkLogIntegrity, gather } from "../../src/testing/check-log-integrity.ts";
import { eventLogContract } from "../../src/testing/event-log-contract.ts";

eventLogContract({
  name: "memory",
  describe,
  it,
  open: async () => {
    const name = randomUUID();
    // Holds the log while the contract closes its handles: this one has no other place to live in.
    const anchor = new MemoryEventLog({ name });
    return {
      log: new MemoryEventLog({ name }),
      reopen: async () => new MemoryEventLog({ name }),
      dispose: () => anchor.close(),
    };
  },
});

describe("the memory log beyond the contract", () => {
  const event = { id: randomUUID(), type: "Happened", data: { n: 1 }, metadata: {} };

  it("is private without a name", async () => {
    const [first, second] = [new MemoryEventLog(), new MemoryEventLog()];
    await first.append("s", [event], "any");
    expect(await second.head()).toBe(-1);
    expect(first.logId).not.toBe(second.logId);
    await Promise.all([first.close(), second.close()]);
  });

  it("of one name is shared until its last handle is closed, and then gone", async () => {
    const name = randomUUID();
    const [first, second] = [new MemoryEventLog({ name }), new MemoryEventLog({ name })];
    await first.append("s", [event], "any");
    await first.close();
    await first.close();
    expect(await gather(second.readAll())).toHaveLength(1);
    const third = new MemoryEventLog({ name, create: false });
    expect(third.logId).toBe(second.logId);
    await second.close();
    await third.close();
    expect(() => new MemoryEventLog({ name, create: false })).toThrow(
      expect.objectContaining({ code: "store-not-found" }),
    );
  });

  it("opened read-only shows what others write and refuses to write itself", async () => {
    const name = randomUUID();
    expect(() => new MemoryEventLog({ name, readOnly: true })).toThrow(
      expect.objectContaining({ code: "store-not-found" }),
    );
    const writer = new MemoryEventLog({ name });
    const reader = new MemoryEventLog({ name, readOnly: true });
    await writer.append("s", [event], "any");
    expect(await gather(reader.readStream("s"))).toMatchObject([event]);
    const refused = expect.objectContaining({ code: "read-only" });
    await expect(reader.append("s", [{ ...event, id: randomUUID() }], "any")).rejects.toEqual(refused);
    await expect(reader.truncate("s", 1)).rejects.toEqual(refused);
    await checkLogIntegrity(writer);
    await Promise.all([writer.close(), reader.close()]);
  });

  it("leaves nothing of a batch that cannot be written as JSON", async () => {
    const log = new MemoryEventLog();
    const circular: { self?: unknown } = {};
    circular.self = circular;
    const bad = { ...event, id: randomUUID(), data: circular as never };
    await expect(log.append("s", [event, bad], "any")).rejects.toThrow();
    expect(await log.head()).toBe(-1);
    await log.close();
  });
});
