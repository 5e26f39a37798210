import fc from "fast-check";
import { TurnlogError } from "../../../src/errors.ts";
import type { ConversationStore } from "../../../src/store/conversation-store.ts";
import { anyText } from "../../support/arbitraries.ts";

/** What happens to a conversation, by the store's public methods. `which` picks one of its messages. */
export type ConversationStep = { session: number } & (
  | {
      call: "save";
      role: "user" | "assistant" | "system" | "tool";
      text: string;
      externalId: string | undefined;
    }
  | { call: "stub" | "delete" }
  | { call: "update"; which: number; text: string; branches: string }
  | { call: "end" | "select"; which: number }
  | { call: "turn" | "regenerate"; texts: string[]; isEnded: boolean }
  | { call: "replace"; which: number[]; text: string }
  | { call: "title"; title: string | null; metadata: Record<string, unknown> | null }
);

export const SESSIONS = ["a", "b 😀", "a/1"];

const which = fc.nat({ max: 12 });
const session = fc.nat({ max: SESSIONS.length - 1 });

export const conversationStep: fc.Arbitrary<ConversationStep> = fc.oneof(
  {
    weight: 3,
    arbitrary: fc.record({
      session,
      call: fc.constant("save" as const),
      role: fc.constantFrom("user" as const, "assistant" as const, "system" as const, "tool" as const),
      text: anyText(),
      externalId: fc.constantFrom(undefined, undefined, "x1", "x2\0"),
    }),
  },
  fc.record({ session, call: fc.constant("stub" as const) }),
  {
    weight: 2,
    arbitrary: fc.record({
      session,
      call: fc.constant("update" as const),
      which,
      text: anyText(),
      branches: fc.constantFrom("", "", '[["x"],"\\ud800"]'),
    }),
  },
  fc.record({ session, call: fc.constantFrom("end" as const, "select" as const), which }),
  {
    weight: 3,
    arbitrary: fc.record({
      session,
      call: fc.constantFrom("turn" as const, "turn" as const, "regenerate" as const),
      texts: fc.array(anyText(), { maxLength: 4 }),
      isEnded: fc.boolean(),
    }),
  },
  fc.record({
    session,
    call: fc.constant("replace" as const),
    which: fc.uniqueArray(which, { maxLength: 5 }),
    text: anyText(),
  }),
  fc.record({
    session,
    call: fc.constant("title" as const),
    title: fc.option(anyText()),
    metadata: fc.option(fc.dictionary(anyText(6), anyText(6), { maxKeys: 2 })),
  }),
);

/** Also deletions, which leave little to look at where they are common. */
export const conversationStepOrDeletion: fc.Arbitrary<ConversationStep> = fc.oneof(
  { weight: 20, arbitrary: conversationStep },
  fc.record({ session, call: fc.constant("delete" as const) }),
);

/** Plays the step; what the store refuses (a message that is gone, a turn that is open) writes nothing. */
export async function playStep(store: ConversationStore, step: ConversationStep): Promise<void> {
  try {
    await play(store, step);
  } catch (error) {
    if (!TurnlogError.isInstance(error)) throw error;
  }
}

async function play(store: ConversationStore, step: ConversationStep): Promise<void> {
  const name = SESSIONS[step.session] ?? "a";
  const pick = async (which: number): Promise<number> => {
    const all = await store.listMessages(name, { limit: Infinity, includeReplaced: true });
    return all[which % Math.max(1, all.length)]?.id ?? 1_000_000;
  };
  switch (step.call) {
    case "save":
      await store.saveMessage(name, step.role, step.text, { externalId: step.externalId });
      return;
    case "stub":
      await store.appendAssistantStub(name);
      return;
    case "delete":
      return store.deleteSession(name);
    case "update":
      return store.updateBranches(await pick(step.which), step.text, step.branches);
    case "end":
      return store.endTurn(await pick(step.which), "finished", { usage: { inputTokens: 3 } });
    case "select":
      return store.selectBranch(await pick(step.which), 0);
    case "turn":
    case "regenerate": {
      const turn =
        step.call === "turn"
          ? await store.beginTurn(name, { user: "go on" })
          : await store.regenerate(name, { model: "m" });
      for (const text of step.texts) await turn.textDelta(text);
      await turn.flush();
      if (step.isEnded) await turn.finish();
      return;
    }
    case "replace": {
      const kept = await Promise.all(step.which.map(pick));
      const keeps = [...new Set(kept)].map((keep) => ({ keep }));
      return store.replaceMessages(name, [...keeps, { role: "user", content: step.text }]);
    }
    case "title":
      return store.updateSession(name, { title: step.title, metadata: step.metadata });
  }
}
