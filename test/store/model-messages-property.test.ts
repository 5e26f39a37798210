import { describe, expect, it } from "@jest/globals";
import { modelMessageSchema, safeValidateUIMessages } from "ai";
import { modelMessageSchema as newestModelMessageSchema } from "ai-newest";
import fc from "fast-check";
import type { ConversationStore } from "../../src/store/conversation-store.ts";
import { openConversationStore } from "../../src/store/open-conversation-store.ts";
import type { ModelMessage } from "../../src/store/model-message-types.ts";
import { anyText, propertyRuns } from "../support/arbitraries.ts";
import { anyPart, anyStoredPart, withUniqueIds } from "../support/part-arbitraries.ts";

/** Any conversation makes a prompt that the SDK accepts, and that comes back when it is put in its own place. */

const message = fc.oneof(
  fc.record({ save: fc.constantFrom("user", "assistant", "system", "tool"), content: anyText() }),
  fc.record({
    save: fc.constantFrom("user", "assistant", "assistant", "system", "tool"),
    content: fc.array(anyPart, { minLength: 1, maxLength: 5 }).map(withUniqueIds),
  }),
  fc.record({
    stub: fc.oneof(
      fc.array(anyStoredPart, { maxLength: 8 }).map((parts) => JSON.stringify(withUniqueIds(parts))),
      anyText(),
      fc.constantFrom("[1]", "{}", "[{}]"),
    ),
    branches: fc.array(
      fc.oneof(fc.array(anyStoredPart, { maxLength: 4 }).map(withUniqueIds), fc.jsonValue()),
      { maxLength: 2 },
    ),
    active: fc.nat(2),
  }),
);

const conversation = fc.array(message, { minLength: 1, maxLength: 6 });
type Conversation = (typeof conversation extends fc.Arbitrary<infer T> ? T : never) & object;

async function write(store: ConversationStore, session: string, messages: Conversation): Promise<void> {
  for (const entry of messages) {
    if ("save" in entry) await store.saveMessage(session, entry.save as "user", entry.content as string);
    else {
      const id = await store.appendAssistantStub(session);
      const branches = entry.branches.length === 0 ? "" : JSON.stringify(entry.branches);
      await store.updateBranches(id, entry.stub, branches, Math.min(entry.active, entry.branches.length));
    }
  }
}

/** The rule that providers have: a result stands behind its call, once, and at once. */
function expectCallsAnswered(prompt: readonly ModelMessage[]): void {
  for (const [index, entry] of prompt.entries()) {
    const before = prompt[index - 1];
    if (entry.role !== "tool") continue;
    const calls = before?.role === "assistant" && typeof before.content !== "string" ? before.content : [];
    const ids = calls.flatMap((part) => (part.type === "tool-call" ? [part.toolCallId] : []));
    const results = entry.content.flatMap((part) => (part.type === "tool-result" ? [part.toolCallId] : []));
    for (const id of results) expect(ids).toContain(id);
  }
  for (const [index, entry] of prompt.entries()) {
    if (entry.role !== "assistant" || typeof entry.content === "string") continue;
    const next = prompt[index + 1];
    const results = next?.role === "tool" ? next.content : [];
    const isLast = index === prompt.length - 1 || (next?.role === "tool" && index === prompt.length - 2);
    const asked = new Set(
      entry.content.flatMap((p) => (p.type === "tool-approval-request" ? [p.toolCallId] : [])),
    );
    for (const part of entry.content) {
      if (part.type !== "tool-call" || part.providerExecuted === true) continue;
      if (isLast && asked.has(part.toolCallId)) continue;
      expect(results).toContainEqual(
        expect.objectContaining({ type: "tool-result", toolCallId: part.toolCallId }),
      );
    }
  }
}

describe("the prompt of any conversation", () => {
  it("is accepted by the SDK, answers every call, and survives its own replacement", async () => {
    const store = await openConversationStore("memory:", { flushIntervalMs: 0 });
    let session = 0;
    try {
      await fc.assert(
        fc.asyncProperty(conversation, fc.integer({ min: 1, max: 6 }), async (messages, limit) => {
          const name = `s${session++}`;
          await write(store, name, messages);

          const short = await store.getMessages(name, { limit });
          expectCallsAnswered(short);
          const prompt = await store.getMessages(name, { limit: Infinity, reasoning: true });
          expectCallsAnswered(prompt);
          for (const entry of [...short, ...prompt]) {
            expect(modelMessageSchema.safeParse(entry)).toMatchObject({ success: true });
            expect(newestModelMessageSchema.safeParse(entry)).toMatchObject({ success: true });
          }

          const shown = await store.toUIMessages(name, { limit: Infinity });
          if (shown.length > 0)
            expect(await safeValidateUIMessages({ messages: shown })).toMatchObject({ success: true });

          await store.replaceMessages(name, prompt);
          expect(await store.getMessages(name, { limit: Infinity, reasoning: true })).toEqual(prompt);
          for (const stored of await store.listMessages(name, { limit: Infinity }))
            expect(stored.content).not.toContain("[Interrupted]");
        }),
        propertyRuns(200),
      );
    } finally {
      await store.close();
    }
  }, 300_000);
});
