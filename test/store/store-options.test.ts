import { describe, expect, it } from "@jest/globals";
import { openConversationStore } from "../../src/store/open-conversation-store.ts";

describe("options that cannot work", () => {
  it.each([
    { flushIntervalMs: -1 },
    { flushIntervalMs: Number.NaN },
    { heartbeatMs: 0 },
    { heartbeatMs: Infinity },
    { cachedSessions: 0 },
  ])("refuses %j", async (options) => {
    await expect(openConversationStore("memory:", options)).rejects.toMatchObject({ code: "invalid-option" });
  });

  it("takes a window of 0: every tick", async () => {
    const store = await openConversationStore("memory:", {
      flushIntervalMs: 0,
      heartbeatMs: 1,
      cachedSessions: 1,
    });
    await store.close();
  });
});
