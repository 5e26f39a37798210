import { describe, expect, it } from "@jest/globals";
import fc from "fast-check";
import type { ConversationEvent } from "../../src/events/conversation-event.ts";
import { eventCodec } from "../../src/events/event-codec.ts";
import { applyEvent, emptyConversation } from "../../src/projections/conversation.ts";
import type { ConversationStore } from "../../src/store/conversation-store.ts";
import { anyText, propertyRuns } from "../support/arbitraries.ts";
import { plain } from "../support/conversation-history.ts";
import { withStore } from "../support/memory-store.ts";

type Step =
  | { call: "save"; role: "user" | "assistant" | "system" | "tool"; text: string }
  | { call: "stub" }
  | { call: "delete" }
  | { call: "update"; which: number; text: string }
  | { call: "end"; which: number }
  | { call: "turn" | "regenerate"; texts: string[]; isEnded: boolean }
  | { call: "replace"; which: number[]; text: string }
  | { call: "title"; text: string };

const which = fc.nat({ max: 8 });
const step: fc.Arbitrary<Step> = fc.oneof(
  fc.record({
    call: fc.constant("save" as const),
    role: fc.constantFrom("user" as const, "assistant" as const, "system" as const, "tool" as const),
    text: anyText(),
  }),
  fc.constantFrom({ call: "stub" as const }, { call: "delete" as const }),
  fc.record({ call: fc.constant("update" as const), which, text: anyText() }),
  fc.record({ call: fc.constant("end" as const), which }),
  fc.record({
    call: fc.constantFrom("turn" as const, "regenerate" as const),
    texts: fc.array(anyText(), { maxLength: 3 }),
    isEnded: fc.boolean(),
  }),
  fc.record({
    call: fc.constant("replace" as const),
    which: fc.uniqueArray(which, { maxLength: 5 }),
    text: anyText(),
  }),
  fc.record({ call: fc.constant("title" as const), text: anyText() }),
);

/** Makes a random history of session "s"; what the store refuses is no part of it. */
async function perform(store: ConversationStore, steps: Step[]): Promise<void> {
  for (const each of steps) {
    const ids = (await store.listMessages("s")).map(({ id }) => id);
    const named = (index: number): number => ids[index % Math.max(1, ids.length)] ?? 1;
    try {
      if (each.call === "save") await store.saveMessage("s", each.role, each.text);
      else if (each.call === "stub") await store.appendAssistantStub("s");
      else if (each.call === "delete") await store.deleteSession("s");
      else if (each.call === "update") await store.updateBranches(named(each.which), each.text, "", 0);
      else if (each.call === "end") await store.endTurn(named(each.which), "failed");
      else if (each.call === "title") await store.updateSession("s", { title: each.text });
      else if (each.call === "replace") {
        const keep = each.which
          .filter((index) => index < ids.length)
          .map((index) => ({ keep: named(index) }));
        await store.replaceMessages("s", [{ role: "system", content: each.text }, ...keep]);
      } else {
        const turn = each.call === "turn" ? await store.beginTurn("s") : await store.regenerate("s");
        for (const text of each.texts) await turn.textDelta(text).then(() => turn.flush());
        if (each.isEnded) await turn.finish();
      }
    } catch (error) {
      expect(["message-not-found", "turn-ended"]).toContain((error as { code?: string }).code);
    }
  }
}

async function historyOf(store: ConversationStore): Promise<ConversationEvent[]> {
  const events: ConversationEvent[] = [];
  for await (const recorded of store.log.readStream("conversation-s")) {
    events.push(eventCodec.decode(recorded)!);
  }
  return events;
}

describe("the fold of a random history", () => {
  it("is the same in one go, in two parts cut anywhere, and with events given twice", () =>
    fc.assert(
      fc.asyncProperty(fc.array(step, { maxLength: 25 }), fc.nat(), (steps, cut) =>
        withStore(async (store) => {
          await perform(store, steps);
          const events = await historyOf(store);
          const whole = emptyConversation();
          for (const event of events) applyEvent(whole, event);

          const parts = emptyConversation();
          const prefix = cut % (events.length + 1);
          for (const event of events.slice(0, prefix)) applyEvent(parts, event);
          plain(parts); // Reading it in between changes nothing.
          for (const event of events.slice(Math.floor(prefix / 2))) applyEvent(parts, event);

          expect(plain(parts)).toEqual(plain(whole));
        }),
      ),
      propertyRuns(80) as object,
    ));

  it("is what the store answers, and may begin at any deletion", () =>
    fc.assert(
      fc.asyncProperty(fc.array(step, { maxLength: 25 }), (steps) =>
        withStore(async (store) => {
          await perform(store, steps);
          const events = await historyOf(store);
          const begin = events.findLastIndex(({ type }) => type === "SessionDeleted");
          const state = emptyConversation();
          for (const event of events.slice(Math.max(0, begin))) applyEvent(state, event);
          const { current, all } = plain(state) as { current: unknown; all: unknown };
          expect(await store.listMessages("s", { limit: Infinity })).toEqual(current);
          expect(await store.listMessages("s", { limit: Infinity, includeReplaced: true })).toEqual(all);
        }),
      ),
      propertyRuns(80) as object,
    ));
});
